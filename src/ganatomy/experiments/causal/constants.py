"""What units are where a concept is, place by place: k(place), and what they are there in images without it (SPEC 6).

A class constant k is one value a unit, the same everywhere. What a layer does at a place depends on the place, too: at
the foot of a building it is not what it is in the sky. So k(place) is the mean activation at that very place.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ganatomy.execute import Engine, local
from ganatomy.experiments.causal.pool import PoolSpec
from ganatomy.experiments.causal.source import Source
from ganatomy.progress import Progress, report_progress
from ganatomy.stats.base import Accumulator, Merge, add
from ganatomy.stats.regions import place_counts
from ganatomy.study import Study
from ganatomy.types import PerPlace, PerUnit

LEAST = 1.0
"""A place has a constant of its own where the concept covers as much as one whole place, all images together."""
ENOUGH = 20
"""From so many images without the concept on, they say what units are without it."""


@dataclass(frozen=True)
class PlacesSpec(PoolSpec):
    """Of which concept and layers the constants of every place are measured, and on which images: those of the pool.

    Attributes:
        concept: its name.
        more: further layers, measured in the same pass.
    """

    concept: str = ""
    more: tuple[str, ...] = ()


class PlaceMeans(Accumulator):
    """Sums of activations at every place of some layers' grids, with a concept and without it.

    The numbers of all layers stand one after the other; `of` returns those of one.

    Attributes:
        shown: float64 [Σ u·h·w], Σ r_p m_p over images; m_p is the share of place p's area that shows the concept.
        mass: float64 [Σ h·w], Σ m_p.
        without: float64 [Σ u·h·w], Σ r_p over the images that show nothing of it.
        images: float64 [1], how many these are.
        free: float64 [Σ u·h·w], Σ r_p over the images that show nothing of it at p.
        times: float64 [Σ h·w], how many these are.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = dict.fromkeys(("shown", "mass", "without", "images", "free", "times"), add)

    def __init__(self, shapes: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> None:
        numbers, places = (sum(math.prod(shape[i:]) for shape in shapes) for i in (0, 1))
        self.shown, self.without, self.free = torch.zeros(3, numbers, dtype=torch.float64, device=device)
        self.mass, self.times = torch.zeros(2, places, dtype=torch.float64, device=device)
        self.images = torch.zeros(1, dtype=torch.float64, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in, for each layer, (features [b, u, h, w], share of each place that shows the concept [b, h, w])."""
        features, shares = [r.double() for r in batch[::2]], [share.double() for share in batch[1::2]]
        lacking = (shares[0].flatten(1).sum(1) == 0).double()
        nothing = [(share == 0).double() for share in shares]
        self.images += lacking.sum()
        self.mass += torch.cat([share.sum(0).flatten() for share in shares])
        self.times += torch.cat([own.sum(0).flatten() for own in nothing])
        for name, weights in (
            ("shown", shares),
            ("without", [lacking[:, None, None]] * len(shares)),
            ("free", nothing),
        ):
            sums = [(r * own[:, None]).sum(0).flatten() for r, own in zip(features, weights, strict=True)]
            setattr(self, name, getattr(self, name) + torch.cat(sums))

    def of(self, shapes: Sequence[Sequence[int]], which: int) -> "LayerMeans":
        """Return the sums of one layer, given the shapes of all."""
        numbers, places = ([math.prod(shape[i:]) for shape in shapes] for i in (0, 1))
        shape = tuple(shapes[which])
        shown, without, free = (
            torch.split(own, numbers)[which].reshape(shape) for own in (self.shown, self.without, self.free)
        )
        mass, times = (torch.split(own, places)[which].reshape(shape[1:]) for own in (self.mass, self.times))
        return LayerMeans(shown, without, free, mass, times, float(self.images))


class LayerMeans(NamedTuple):
    """The sums of one layer, as in `PlaceMeans`: [u, h, w], and [h, w] of mass and times."""

    shown: Tensor
    without: Tensor
    free: Tensor
    mass: Tensor
    times: Tensor
    images: float

    def constant(self, k: PerUnit) -> PerPlace:
        """Return k(place): the mean activation at each place where the concept is there (SPEC 6).

        Where too little of the concept was ever seen, it is that of the nearest place where enough was (the first of
        equals, row by row); where there is none at all, k.
        """
        known = self.mass >= LEAST
        if not bool(known.any()):
            return k[:, None, None].expand(self.shown.shape).clone()
        means = (self.shown / self.mass.clamp(min=1e-9)).flatten(1)
        found: Tensor = means[:, nearest(known).flatten()]
        return found.reshape(self.shown.shape).float()

    def absent(self) -> PerPlace:
        """Return what units are at each place in images without the concept.

        Where hardly any image is without it, in those that do not show it at that place; at a place that always
        shows it, as at the nearest that does not.
        """
        if self.images >= ENOUGH:
            return (self.without / self.images).float()
        known = self.times > 0
        if not bool(known.any()):
            return torch.zeros_like(self.free).float()
        means = (self.free / self.times.clamp(min=1)).flatten(1)
        found: Tensor = means[:, nearest(known).flatten()]
        return found.reshape(self.free.shape).float()


def nearest(known: Tensor) -> Tensor:
    """Return for each place of a grid the number, row-major, of the nearest one that is known; itself where it is.

    >>> nearest(torch.tensor([[True, False, False], [False, False, True]]))
    tensor([[0, 0, 5],
            [0, 5, 5]])
    """
    rows, columns = known.shape
    at = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(known.device)
    own = at[known.flatten()]
    distance = ((at[:, None] - own[None]) ** 2).sum(2)
    found = own[distance.argmin(1)]
    return (found[:, 0] * columns + found[:, 1]).reshape(rows, columns)


def places_home(source: Source, layers: Sequence[str], concept: str, images: int) -> Path:
    """Return where the means at every place of so many images lie, beside the dissection."""
    name = f"places-{concept}" if images == PoolSpec.images else f"places-{concept}-{images}"
    return source.beside("+".join(layers), name)


def place_means(
    source: Source,
    layers: Sequence[str],
    concept: str,
    pictures: tuple[int, int],
    execute: Engine = local,
    progress: Progress | None = None,
) -> dict[str, LayerMeans]:
    """Return the means of layers' units at every place, which lie beside the dissection; made if they are not there.

    Args:
        source: the models.
        layers: whose units, all read in one pass.
        concept: its name.
        pictures: how many images are measured, those of the pool; and how many at once, which changes nothing.
        execute, progress: the engine, and who shows how far it is.
    """
    (images, batch), (first, *others) = pictures, layers
    spec = PlacesSpec(**source.names(), layer=first, more=tuple(others), concept=concept, images=images, batch=batch)
    with Study.create(places_home(source, layers, concept, images), spec, source.facts(), execute, progress) as study:
        spec = study.begun(spec)
        work = partial(count_places, source, spec)
        means = study.sharded("places", PlaceMeans, work, spec.shards())
        if not study.finished:
            study.finish()
    shapes = [source.shape(layer) for layer in layers]
    return {layer: means.of(shapes, i) for i, layer in enumerate(layers)}


def count_places(source: Source, spec: PlacesSpec, ids: range) -> PlaceMeans:
    """Measure the images of one shard."""
    layers, concept = (spec.layer, *spec.more), source.concept(spec.concept)
    shapes = [source.shape(layer) for layer in layers]
    generator = source.models.generator
    means = PlaceMeans(shapes, generator.device)
    for part in source.parts(ids, spec.batch):
        seen = generator.observe(generator.latents(part, spec.seed), layers)
        shown = (source.models.segmenter(seen.images) == concept).any(1, keepdim=True).long()
        counts = [place_counts(shown, 2, (shape.height, shape.width)).double() for shape in shapes]
        shares = [own[:, 1] / own[:, 0] for own in counts]
        means.update(
            *(each for pair in zip((seen.features[layer] for layer in layers), shares, strict=True) for each in pair)
        )
        report_progress(len(part))
    return means
