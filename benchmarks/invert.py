"""How exactly are photographs inverted, how long does it take, and do edits do the same in them as in samples?

    python benchmarks/invert.py STUDY --out DIR
    python benchmarks/invert.py STUDY --out DIR --photographs 48 --steps 20 80 --layers layer4

The photographs are rendered scenes that no model has seen, of the category that the bundled generator was trained on;
their labels are known exactly. Writes invert.json, invert.md and a sheet of photographs and reconstructions.

Effects: for each concept the units of greatest IoU are ablated everywhere, and all units of a layer are set at one
place to what they are where the concept is; both in samples of the model and in reconstructions of photographs.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import ganatomy
from ganatomy.core.resample import pooled
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.datasets import CropSpec, open_images
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.inversion.found import InvertSpec
from ganatomy.experiments.inversion.photographs import Photographs
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators.photographs import Offset
from ganatomy.models.generators.protocol import Edit
from ganatomy.models.inversion import Inverted, inverted, inverter_of
from ganatomy.models.inversion.optimisation import OffsetInverter, Optimisation
from ganatomy.models.weights import card

SEED, FIRST = 3, 900_000
"""Of the scenes: no recipe trains on these."""
AT_ONCE, SHOWN, TOP, CELL = 4, 8, 20, 4


@dataclass(frozen=True)
class Exactness:
    """How exactly photographs were drawn.

    Attributes:
        seconds: of the processor, one thread, a photograph.
        kept, right: shares of labels that are as in the photograph, and as the renderer says.
    """

    layer: str
    steps: int
    seconds: float
    error: float
    psnr: float
    kept: float
    kept_error: float
    right: float


@dataclass(frozen=True)
class EffectPair:
    """What an edit does to the share of a concept, in samples and in photographs, with standard errors."""

    edit: str
    concept: str
    samples: float
    samples_error: float
    photographs: float
    photographs_error: float

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than two standard errors of their difference."""
        error = math.hypot(self.samples_error, self.photographs_error)
        return abs(self.samples - self.photographs) <= 2 * error


class Benchmark:
    """Scenes, and the model that they are inverted for."""

    def __init__(self, source: DissectedModel, count: int) -> None:
        self.source, self.generator, self.segmenter = source, source.models.generator, source.models.segmenter
        spec = InvertSpec(**source.names())
        size = self.generator.observe(self.generator.latents(range(1), 0), ()).images.shape[-1]
        self.photographs = Photographs(source, spec, (), (size, size))
        start = process_time()
        drawn = self.photographs.drawn()
        self.once = process_time() - start
        name = source.dissection.spec.generator.partition("?")[0].partition(":")[2]
        scenes = open_images(f"scenes:{card(name)['category']}")
        own = scenes.sample_indices(range(FIRST, FIRST + count), SEED)
        self.images, self.truth = scenes.images(own, CropSpec(size)), scenes.labels(own, CropSpec(size))
        self.labels = self.segmenter(self.images)
        parts = [self.photographs.nearest(part, drawn) for part in torch.split(self.images, AT_ONCE)]
        self.start = torch.cat([z for z, _ in parts])

    def invert(self, steps: int, layer: str) -> tuple[Inverted, Exactness]:
        """Invert all scenes."""
        inverter = inverter_of(self.generator, self.photographs.network, layer, Optimisation(steps=steps))
        start, found = process_time(), list[Inverted]()
        for images, z in zip(torch.split(self.images, AT_ONCE), torch.split(self.start, AT_ONCE), strict=True):
            found.append(inverted(inverter, images, z))
        seconds = (process_time() - start) / len(self.images)
        z, offset, images = (torch.cat([getattr(own, name) for own in found]) for name in ("z", "offset", "images"))
        return Inverted(z, offset, images, inverter.layer), self._exactness(inverter.layer, steps, seconds, images)

    def _exactness(self, layer: str, steps: int, seconds: float, images: Images) -> Exactness:
        again = self.segmenter(images)
        kept = (again == self.labels).double().mean((1, 2, 3))
        difference = (images.clamp(-1, 1) - self.images).double() / 2
        return Exactness(
            layer=layer,
            steps=steps,
            seconds=seconds,
            error=float(difference.abs().mean()),
            psnr=float((-10 * difference.square().mean((1, 2, 3)).log10()).mean()),
            kept=float(kept.mean()),
            kept_error=float(kept.std() / len(kept) ** 0.5),
            right=float((again == self.truth).double().mean()),
        )

    def effects(self, found: Inverted, concepts: Sequence[str], layer: str) -> list[EffectPair]:
        """Compare the effects of edits of a layer in samples and in photographs."""
        samples = self.generator.latents(range(self.photographs.spec.first, self.photographs.spec.first + 96), 0)
        pairs = []
        for concept in concepts:
            c = self.source.concept(concept)
            for name, edit in self._edits(concept, c, layer, samples):
                rows = [self._changes(samples, [], edit, c)]
                rows.append(self._changes(found.z, [found.offset] if found.layer else [], edit, c, found.layer))
                numbers = [x for row in rows for x in (float(row.mean()), float(row.std() / len(row) ** 0.5))]
                pairs.append(EffectPair(name, concept, *numbers))
        return pairs

    def _edits(self, concept: str, c: int, layer: str, samples: Latents) -> list[tuple[str, Intervention]]:
        shape = self.source.shape(layer)
        ranked = self.source.dissection.ranked(concept)
        units = ranked[ranked.layer == layer].head(TOP).unit.tolist()
        seen = self.generator.observe(samples, [layer])
        there = pooled((self.segmenter(seen.images) == c).any(1).float(), (shape.height, shape.width), "mean")
        k = torch.einsum("buhw,bhw->u", seen.features[layer], there) / there.sum().clamp(min=1e-6)
        row, column = divmod(int(there.mean(0)[: -CELL + 1, : -CELL + 1].argmax()), shape.width - CELL + 1)
        where = place((shape.height, shape.width), row, column, CELL)
        every = list(range(shape.units))
        return [
            (f"ablate {len(units)} units of {layer}", Intervention.ablate(layer, shape, units)),
            (f"insert at {row},{column} of {layer}", Intervention.insert(layer, shape, every, k, where)),
        ]

    def _changes(self, z: Latents, offsets: Sequence[Tensor], edit: Edit, c: int, layer: str = "") -> Tensor:
        """Return the change of the share of pixels that show a concept, of each image."""
        changes = []
        for first in range(0, len(z), AT_ONCE):
            rows = slice(first, first + AT_ONCE)
            own: list[Edit] = [Offset(layer, each[rows]) for each in offsets]
            drawn = [self.generator.edited(z[rows], edits) for edits in (own, [*own, edit])]
            before, after = ((self.segmenter(each) == c).any(1).double().mean((1, 2)) for each in drawn)
            changes.append(after - before)
        return torch.cat(changes)


def markdown(found: dict[str, Any]) -> str:
    """Return the tables of a page."""
    head = "| layer | steps | seconds a photograph | error | PSNR | labels kept | labels right |\n"
    head += "|---|--:|--:|--:|--:|--:|--:|\n"
    lines = [
        f"| {x['layer']} | {x['steps']} | {x['seconds']:.1f} | {100 * x['error']:.1f} % | {x['psnr']:.1f} dB | "
        f"{100 * x['kept']:.1f} ± {100 * x['kept_error']:.1f} % | {100 * x['right']:.1f} % |\n"
        for x in found["exactness"]
    ]
    effects = "\n| edit | concept | in samples | in photographs | |\n|---|---|--:|--:|---|\n"
    rows = [
        f"| {x['edit']} | {x['concept']} | {100 * x['samples']:+.2f} ± {100 * x['samples_error']:.2f} % | "
        f"{100 * x['photographs']:+.2f} ± {100 * x['photographs_error']:.2f} % | "
        f"{'agree' if x['agrees'] else 'differ'} |\n"
        for x in found["effects"]
    ]
    return head + "".join(lines) + effects + "".join(rows)


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photographs", type=int, default=24)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20, 40, 80])
    parser.add_argument("--layers", nargs="+", default=["layer2", "layer6"], help="tried besides the default one")
    parser.add_argument("--concepts", nargs="+", default=["tree", "door"])
    parser.add_argument("--edited", default="layer5", help="the layer that is edited")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(open_source(arguments.study, "cpu"), arguments.photographs)
    results, shown = list[Exactness](), [benchmark.images[:SHOWN]]
    optimised = isinstance(inverter_of(benchmark.generator, benchmark.photographs.network), OffsetInverter)
    for steps in sorted(arguments.steps) if optimised else [0]:
        found, exactness = benchmark.invert(steps, "")
        results.append(exactness)
        shown.append(found.images[:SHOWN])
    for layer in arguments.layers if optimised else ():
        other, exactness = benchmark.invert(max(arguments.steps), layer)
        results.append(exactness)
        shown.append(other.images[:SHOWN])
    effects = benchmark.effects(found, arguments.concepts, arguments.edited)
    content = {
        "ganatomy": ganatomy.__version__,
        "generator": benchmark.source.dissection.spec.generator,
        "photographs": arguments.photographs,
        "seconds once": benchmark.once,
        "exactness": [asdict(each) for each in results],
        "effects": [{**asdict(each), "agrees": each.agrees} for each in effects],
    }
    (arguments.out / "invert.json").write_text(json.dumps(content, indent=1) + "\n")
    (arguments.out / "invert.md").write_text(markdown(content))
    sheet = torch.cat([torch.cat(list(as_bytes(row)), 2) for row in shown], 1)
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(arguments.out / "invert.png")
    print(markdown(content), end="")


if __name__ == "__main__":
    main()
