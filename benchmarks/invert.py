"""How exactly are photographs inverted, how long does it take, and do edits do the same in them as in samples?

    python benchmarks/invert.py STUDY --out DIR
    python benchmarks/invert.py STUDY --out DIR --photographs 48 --steps 20 80 --layers layer4

The photographs are rendered scenes that no model has seen, of the category that the bundled generator was trained on;
their labels are known exactly. Writes invert.json, invert.md and a sheet of photographs and reconstructions.

Effects: for each concept the units of greatest IoU are ablated everywhere, and all units of a layer are set at one
place to what they are where the concept is. Samples and the same samples inverted say what inversion changes;
samples, all or those that show as much of the concept, and photographs say what the content changes.
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
AT_ONCE, SHOWN, TOP, CELL, POOL = 4, 8, 20, 4, 4
SAME, ANY, LIKE = "samples, the same inverted", "samples, photographs", "samples of like area, photographs"
COLUMNS = ("one", "other", "difference")


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
class Comparison:
    """What an edit does to the share of pixels that show a concept, in two groups of images, with standard errors.

    Attributes:
        groups: which images: those of `one`, and those of `other`.
        difference: other - one; its error is that of pairs, where the groups are pairs.
    """

    edit: str
    concept: str
    groups: str
    one: float
    one_error: float
    other: float
    other_error: float
    difference: float
    difference_error: float

    @classmethod
    def of(cls, names: tuple[str, str, str], one: Tensor, other: Tensor, *, pairs: bool) -> "Comparison":
        """Return the comparison of changes, one number an image; `names` are edit, concept and groups."""
        means, errors = [float(each.mean()) for each in (one, other)], [error_of(each) for each in (one, other)]
        error = error_of(other - one) if pairs else math.hypot(*errors)
        return cls(*names, means[0], errors[0], means[1], errors[1], means[1] - means[0], error)

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than two standard errors of their difference."""
        return abs(self.difference) <= 2 * self.difference_error


def error_of(values: Tensor) -> float:
    """Return the standard error of a mean."""
    return float(values.std() / len(values) ** 0.5)


def matched(areas: Tensor, pool: Tensor) -> list[int]:
    """Return for each area the place of one as great in a pool, each at most once: the nearest, great areas first.

    >>> matched(torch.tensor([0.1, 0.5]), torch.tensor([0.5, 0.45, 0.2]))
    [2, 0]
    """
    found, left = [0] * len(areas), pool.clone()
    for i in areas.argsort(descending=True).tolist():
        found[i] = int((left - areas[i]).abs().argmin())
        left[found[i]] = torch.inf
    return found


class Benchmark:
    """Scenes, and the model that they are inverted for."""

    def __init__(self, source: DissectedModel, count: int, steps: int, latent_steps: int) -> None:
        self.steps, self.latent_steps = steps, latent_steps
        self.source, self.generator, self.segmenter = source, source.models.generator, source.models.segmenter
        spec = InvertSpec(**source.names())
        size = self.generator.observe(self.generator.latents(range(1), 0), ()).images.shape[-1]
        self.photographs = Photographs(source, spec, (), (size, size))
        start = process_time()
        self.drawn = self.photographs.drawn()
        self.once = process_time() - start
        name = source.dissection.spec.generator.partition("?")[0].partition(":")[2]
        scenes = open_images(f"scenes:{card(name)['category']}")
        own = scenes.sample_indices(range(FIRST, FIRST + count), SEED)
        self.images, self.truth = scenes.images(own, CropSpec(size)), scenes.labels(own, CropSpec(size))
        self.labels = self.segmenter(self.images)

    def how(self, steps: int) -> Optimisation:
        """Return how images are inverted in so many steps."""
        return Optimisation(steps=steps, latent_steps=self.latent_steps)

    def invert(self, images: Images, steps: int, layer: str) -> tuple[Inverted, float]:
        """Invert images; return how many seconds of the processor each took, too."""
        inverter = inverter_of(self.generator, self.photographs.network, layer, self.how(steps))
        begun, found = process_time(), list[Inverted]()
        for part in torch.split(images, AT_ONCE):
            found.append(inverted(inverter, part, self.photographs.nearest(part, self.drawn)[0]))
        seconds = (process_time() - begun) / len(images)
        z, offset, drawn = (torch.cat([getattr(own, name) for own in found]) for name in ("z", "offset", "images"))
        return Inverted(z, offset, drawn, inverter.layer), seconds

    def exactness(self, steps: int, layer: str) -> tuple[Inverted, Exactness]:
        """Invert all scenes, and say how exactly they are drawn."""
        found, seconds = self.invert(self.images, steps, layer)
        return found, self._exactness(found.layer, steps, seconds, found.images)

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
            kept_error=error_of(kept),
            right=float((again == self.truth).double().mean()),
        )

    def effects(self, found: Inverted, concepts: Sequence[str], layer: str) -> list[Comparison]:
        """Compare the effects of edits of a layer in samples, in the same samples inverted, and in photographs."""
        count, spec = len(found.z), self.photographs.spec
        first = spec.first + spec.images  # no inversion starts from these
        samples = self.generator.latents(range(first, first + POOL * count), spec.seed)
        again, _ = self.invert(self.generator.observe(samples[:count], ()).images.clamp(-1, 1), self.steps, "")
        comparisons = []
        for concept in concepts:
            c = self.source.concept(concept)
            for name, edit in self._edits(concept, c, layer, samples[:96]):
                areas, changes = self._changes(samples, [], edit, c)
                _, inverted_changes = self._changes(again.z, _offsets(again), edit, c)
                own_areas, own = self._changes(found.z, _offsets(found), edit, c)
                near = matched(own_areas, areas)
                comparisons += [
                    Comparison.of((name, concept, SAME), changes[:count], inverted_changes, pairs=True),
                    Comparison.of((name, concept, ANY), changes, own, pairs=False),
                    Comparison.of((name, concept, LIKE), changes[near], own, pairs=True),
                ]
        return comparisons

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

    def _changes(self, z: Latents, offsets: Sequence[Offset], edit: Edit, c: int) -> tuple[Tensor, Tensor]:
        """Return the share of pixels that show a concept, and how an edit changes it, of each image."""
        shares = []
        for first in range(0, len(z), AT_ONCE):
            rows = slice(first, first + AT_ONCE)
            own: list[Edit] = [Offset(each.layer, each.values[rows]) for each in offsets]
            drawn = [self.generator.edited(z[rows], edits) for edits in (own, [*own, edit])]
            shares.append(torch.stack([(self.segmenter(each) == c).any(1).double().mean((1, 2)) for each in drawn]))
        before, after = torch.cat(shares, 1)
        return before, after - before


def _offsets(found: Inverted) -> list[Offset]:
    return [Offset(found.layer, found.offset)] if found.layer else []


def markdown(found: dict[str, Any]) -> str:
    """Return the tables of a page."""
    head = "| layer | steps | seconds a photograph | error | PSNR | labels kept | labels right |\n"
    head += "|---|--:|--:|--:|--:|--:|--:|\n"
    lines = [
        f"| {x['layer']} | {x['steps']} | {x['seconds']:.1f} | {100 * x['error']:.1f} % | {x['psnr']:.1f} dB | "
        f"{100 * x['kept']:.1f} ± {100 * x['kept_error']:.1f} % | {100 * x['right']:.1f} % |\n"
        for x in found["exactness"]
    ]
    effects = "\n| edit | concept | compared | one | other | difference | |\n|---|---|---|--:|--:|--:|---|\n"
    rows = [
        f"| {x['edit']} | {x['concept']} | {x['groups']} | "
        + " | ".join(f"{100 * x[name]:+.2f} ± {100 * x[f'{name}_error']:.2f} %" for name in COLUMNS)
        + f" | {'agree' if x['agrees'] else 'differ'} |\n"
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
    parser.add_argument("--latent-steps", type=int, default=Optimisation.latent_steps, help="before those of --steps")
    parser.add_argument("--layers", nargs="*", default=["layer2", "layer6"], help="tried besides the default one")
    parser.add_argument("--concepts", nargs="+", default=["tree", "door"])
    parser.add_argument("--edited", default="layer5", help="the layer that is edited")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    source = open_source(arguments.study, "cpu")
    benchmark = Benchmark(source, arguments.photographs, max(arguments.steps), arguments.latent_steps)
    results, shown = list[Exactness](), [benchmark.images[:SHOWN]]
    optimised = isinstance(inverter_of(benchmark.generator, benchmark.photographs.network), OffsetInverter)
    for steps in sorted(arguments.steps) if optimised else [0]:
        found, exactness = benchmark.exactness(steps, "")
        results.append(exactness)
        shown.append(found.images[:SHOWN])
    for layer in arguments.layers if optimised else ():
        other, exactness = benchmark.exactness(max(arguments.steps), layer)
        results.append(exactness)
        shown.append(other.images[:SHOWN])
    effects = benchmark.effects(found, arguments.concepts, arguments.edited)
    content = {
        "ganatomy": ganatomy.__version__,
        "generator": benchmark.source.dissection.spec.generator,
        "photographs": arguments.photographs,
        "latent steps": arguments.latent_steps,
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
