"""How long the unified parser takes for an image, and for a baseline; and what bfloat16 changes.

Give the directory of its published files; without one, random weights of the published shapes are made, whose norms
are fitted to rendered scenes: as fast, and with labels, though of no meaning.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganatomy import open_segmenter
from ganatomy.models.segmenters.checkpoint_loading import find_weights
from ganatomy.models.segmenters.resnet import ResNet, Stage
from ganatomy.models.segmenters.unified import COLOURS, read_lists
from ganatomy.models.segmenters.upernet import UPerNet
from ganatomy.models.weights import fit_state, read_state
from ganatomy.scenes import render

HEADS = ("object", "material", "part")

STAGES = (Stage(3, 64, 256), Stage(4, 128, 512), Stage(6, 256, 1024), Stage(3, 512, 2048))
PARTS = {"sky": 2, "building": 24, "person": 15, "wall": 386}
"""How many channels the parts of an object have: of 427, 41 are read."""


class Usual(UPerNet):
    """The decoder as it is usually written: all levels are upsampled, joined, and convolved at full resolution."""

    def _fused(self, pyramid: Sequence[Tensor]) -> Tensor:
        size = pyramid[0].shape[2:]
        levels = [pyramid[0], *(F.interpolate(level, size, mode="bilinear") for level in pyramid[1:])]
        fused: Tensor = self.conv_fusion(torch.cat(levels, 1))
        return fused


def networks(parts: int) -> tuple[ResNet, Usual]:
    """Networks of the published shapes, with random weights."""
    encoder = ResNet((64, 64, 128), STAGES)
    return encoder, Usual(encoder.widths, 512, 512, {"object": 336, "material": 26, "part": parts})


def write_random(directory: Path) -> None:
    """Write a directory as if it had been fetched; norms are fitted to images, so that activations stay in bounds."""
    torch.manual_seed(0)
    encoder, decoder = networks(sum(PARTS.values()))
    for m in (*encoder.modules(), *decoder.modules()):
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None  # keeps the mean over all batches
    with torch.no_grad():
        decoder(encoder(prepared(scenes(2))), HEADS)
    names = {kind: ["-", *(f"{kind} {i}" for i in range(1, n))] for kind, n in (("object", 336), ("material", 26))}
    names["object"][1:5] = PARTS
    parts = {owner: ["-", *(f"{owner} part {i}" for i in range(1, n))] for owner, n in PARTS.items()}
    (directory / "labels.json").write_text(json.dumps({**names, "object_part": parts}))
    torch.save(encoder.state_dict(), directory / "encoder_epoch_40.pth")
    torch.save(decoder.state_dict(), directory / "decoder_epoch_40.pth")


def baseline(directory: Path) -> Callable[[Tensor], Tensor]:
    """Norms of their own, all channels of parts, every softmax at the size of the image; returns the objects."""
    owners = [len(names) for names in read_lists(directory / "labels.json").parts.values()]
    encoder, decoder = networks(sum(owners))
    fit_state(encoder, read_state(find_weights(directory, "encoder")), "encoder")
    state = read_state(find_weights(directory, "decoder"))
    fit_state(decoder, {name: each for name, each in state.items() if not name.startswith("scene_head.")}, "decoder")
    encoder.eval()
    decoder.eval()

    @torch.no_grad()
    def labels(images: Tensor) -> Tensor:
        logits = decoder(encoder(prepared(images)), HEADS)
        full = {head: F.interpolate(each, images.shape[2:], mode="bilinear") for head, each in logits.items()}
        groups = [full["object"], full["material"], *full["part"].split(owners, 1)]
        every = [each.softmax(1).argmax(1) for each in groups]
        return every[0]

    return labels


def prepared(images: Tensor) -> Tensor:
    """Return images as the network wants them."""
    return (images.flip(1) + 1) * 127.5 - torch.tensor(COLOURS.means).view(3, 1, 1)


def scenes(count: int) -> Tensor:
    """Return rendered scenes, 256 px."""
    drawn = torch.from_numpy(render("church", range(count), seed=0).images) / 127.5 - 1
    return F.interpolate(drawn, (256, 256), mode="bicubic").clamp(-1, 1)


def least(function: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return wall and processor seconds of the fastest of some calls, after one that is not counted."""
    function()
    took = []
    for _ in range(repeats):
        before = time.perf_counter(), time.process_time()
        function()
        took.append((time.perf_counter() - before[0], time.process_time() - before[1]))
    return min(took)


def measure(directory: Path, threads: Sequence[int], batch: int, repeats: int) -> None:
    """Print a line for each way and number of threads, then what bfloat16 and the way of computing change."""
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "float32": open_segmenter(f"unified:{directory}"),
        "bfloat16": open_segmenter(f"unified:{directory}?dtype=bfloat16"),
        "baseline": baseline(directory),
    }
    images = scenes(batch)
    for n in threads:
        torch.set_num_threads(n)
        for name, way in ways.items():
            one, cpu = least(lambda way=way: way(images[:1]), repeats)
            each, each_cpu = (t / batch for t in least(lambda way=way: way(images), 1))
            alone, among = f"{one:.2f} s (cpu {cpu:.2f})", f"{each:.2f} s (cpu {each_cpu:.2f})"
            print(f"{name}, {n} threads: one image {alone}, one of a batch {among}")
    exact = ways["float32"](images)
    rounded = ways["float32"](((images + 1) * 127.5).round() / 127.5 - 1)
    half = ways["bfloat16"](images)
    for i, plane in enumerate(("objects", "materials", "parts")):
        by_type, by_bytes = ((other != exact)[:, i].double().mean() for other in (half, rounded))
        print(f"{plane}: bfloat16 changes {by_type:.2%} of labels, rounding the images to bytes {by_bytes:.2%}")
    print(f"the baseline differs in {(ways['baseline'](images) != exact[:, 0]).double().mean():.3%} of objects")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, help="of the published files")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if given.directory is None:
            write_random(Path(made))
        measure(given.directory or Path(made), given.threads, given.batch, given.repeats)


if __name__ == "__main__":
    main()
