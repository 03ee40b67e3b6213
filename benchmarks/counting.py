"""What counting an activation costs at every size of grid: by rows and levels, pixel by pixel, and the simple way.

    python benchmarks/counting.py                          8 and 32 images against 256² pixels, and against 64²
    python benchmarks/counting.py --batches 8 --pixels 256 --units 16

Activations are those of the bundled generator, upsampled and roughened where it has no layer so fine; labels are those
of rendered scenes. Below stand the worst cases: white noise on every grid, and labels that change with every pixel.
Nanoseconds of processor time, the least of several turns, in which the ways take turns. Cutting the labels into
patches, once a layer, is shared among as many units as a layer of that grid has.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from dissect import models
from torch import Tensor

from ganatomy.core.resample import labels_at
from ganatomy.scenes.render import render
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.combinations import Combinations, index_labels, numbers
from ganatomy.stats.counting import count_on_device
from ganatomy.stats.crossings import CROWD
from ganatomy.stats.kernels import add_rows, count_unit
from ganatomy.stats.levels import exact_levels, fractions
from ganatomy.stats.patches import lay_patches
from ganatomy.stats.rows import UnitRows

UNITS = {4: 512, 8: 512, 16: 512, 32: 256, 64: 128, 128: 64, 256: 32}
"""Units of each of the two layers of a grid, of a ProGAN of 256 pixels."""
WAYS = ("ours", "pixel by pixel", "simple")


def activations(images: int, units: int) -> dict[int, Tensor]:
    """Return features of the bundled generator by the side of their grid, finer ones made of the finest."""
    generator, _ = models()
    names = {shape.height: name for name, shape in generator.layers.items()}
    parts = []
    with torch.no_grad():
        for first in range(0, images, 8):
            z = generator.latents(range(first, min(first + 8, images)), 0)
            parts.append(generator.observe(z, list(names.values())).features)
    found = {side: torch.cat([part[name][:, :units] for part in parts]) for side, name in names.items() if side <= 64}
    g = torch.Generator().manual_seed(0)
    for side in (128, 256):
        smooth = F.interpolate(found[64], (side, side), mode="bicubic")
        found[side] = F.leaky_relu(smooth + 0.1 * smooth.std() * torch.randn(smooth.shape, generator=g), 0.2)
    return found


def cases(images: int, pixels: int, units: int) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """Yield what is counted: its name, side, features, labels."""
    labels = torch.from_numpy(render("church", range(images), 256).labels).long()
    labels = labels_at(labels, (pixels, pixels))
    features = {side: r for side, r in activations(images, units).items() if side <= pixels}
    for side, r in features.items():
        yield "smooth", side, r, labels
    g = torch.Generator().manual_seed(1)
    noise = torch.randint(12, labels.shape, generator=g)
    for side, r in features.items():
        yield "white noise", side, torch.randn(r.shape, generator=g), labels
        yield "noisy labels", side, r, noise


def ways(r: Tensor, labels: Combinations, levels: Tensor, units: int) -> list[Callable[[], float]]:
    """Return what counts all units in each way, and says how many seconds a unit took."""
    maps = r.contiguous().numpy()
    axes = tuple(tuple(axis) for axis in labels.grid.axes(maps.shape[-2:]))
    found = np.zeros((2, labels.count, labels.bins), np.uint32)
    take = Agreement(levels, int(labels.concepts[-1]) + 1, 10**9).taking(labels)
    concepts, starts, members = len(labels.concepts), numbers(labels.starts), numbers(labels.members)
    rows = UnitRows.empty(2 * concepts, labels.bins)
    rows.kinds[:], rows.places[:] = np.repeat([0, 1], concepts), np.tile(np.arange(concepts), 2)

    def compiled(crowd: float) -> float:
        start = time.process_time()
        patches = lay_patches(labels.arrays[0], axes, crowd)
        laid = time.process_time()
        for u in range(maps.shape[1]):
            found[:], rows.counts[:], rows.units[:] = 0, 0, u
            count_unit(maps, u, axes, levels[u].numpy(), *labels.arrays, patches, found)
            for kind, own in zip(found, np.split(rows.counts, 2), strict=True):
                add_rows(kind, starts, members, own)
            take(rows)
        return (time.process_time() - laid) / maps.shape[1] + (laid - start) / units

    def simple() -> float:
        start = time.process_time()
        count_on_device(levels[:1], r[:, :1], labels, [lambda *_: None])
        return time.process_time() - start

    return [partial(compiled, CROWD), partial(compiled, 0.0), simple]


def main() -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32], help="images counted at once")
    parser.add_argument("--pixels", type=int, nargs="+", default=[256, 64], help="side of the label maps")
    parser.add_argument("--units", type=int, default=8, help="of each layer")
    parser.add_argument("--repeats", type=int, default=8, help="turns in each order")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| images | pixels | activations | grid |", " | ".join(WAYS), "|")
    print("| ---: | ---: | --- | ---: |", " ---: |" * len(WAYS))
    for images in given.batches:
        for pixels in given.pixels:
            total, all_units = np.zeros(len(WAYS)), 0
            for name, side, r, labels in cases(images, pixels, given.units):
                combined = index_labels(labels, len(fractions()) + 1)
                every = ways(r, combined, exact_levels(r, combined.grid, fractions()), UNITS[side])
                turns = [[way() for way in every[:2]] for _ in range(given.repeats + 1)]
                turns += [[way() for way in every[1::-1]][::-1] for _ in range(given.repeats)]
                compiled = np.array(turns[1:]).min(0)
                took = np.append(compiled, min(every[2]() for _ in range(2)))
                took *= 1e9 / (images * pixels**2)
                print(
                    f"| {images} | {pixels} | {name} | {side} |", " | ".join(f"{x:.2f}" for x in took), "|", flush=True
                )
                if name == "smooth":
                    total, all_units = total + UNITS[side] * took, all_units + UNITS[side]
            mean = " | ".join(f"{x:.2f}" for x in total / all_units)
            print(f"| {images} | {pixels} | smooth, mean over units | |", mean, "|", flush=True)


if __name__ == "__main__":
    main()
