"""Class constants: what the units of a layer are where a concept is, measured on a pool of images (S-6.4; SPEC 5-6).

A `Pool` has one value k a unit, for all concepts of a layer at once; `PlaceMeans` has k(place) of one concept, a value
for each unit at each place of the grid. Both are studies next to the dissection, shared by every causal question.
"""

import contextlib
import glob
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.errors import BadValue, StudyError
from ganatomy.core.layer_steps import spanned
from ganatomy.core.progress import Progress
from ganatomy.core.tensor_types import Labels, PerPlace, PerUnit
from ganatomy.engines import Engine, local
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
from ganatomy.experiments.causal.trials import baselines
from ganatomy.stats.base import Accumulator, Merge, add, concat
from ganatomy.stats.regions import occurring, only, place_counts
from ganatomy.study import Study, is_study

AT_ONCE = 1 << 26
"""Images are taken in together as long as a table by image, place and concept that they show takes fewer bytes."""
LEAST = 1.0
"""A place has a constant of its own where the concept covers as much as one whole place, all images together."""
SHARD = 256
"""Pooled images between two savings, whatever a study of other images asks."""
ENOUGH = 20
"""From so many images without the concept on, they say what units are without it."""


@dataclass(frozen=True)
class PoolSpec(SampleSpec):
    """Which images to pool: at the published setting 10,000 (S-6.4; SPEC 5)."""

    images: int = 2000
    first: int = 500_000


class Pool(Accumulator):
    """Sums over the pool, and for each image the place that shows most of each concept.

    Attributes:
        drawn: float64 [concepts, u], Σ r_p m_p over images and places; m_p is the share of place p's area that
            shows the concept.
        mass: float64 [concepts], Σ m_p.
        occupancy: float64 [concepts, h, w], Σ m_p over images.
        best: float32 [images, concepts], the greatest m_p of each image.
        place: int32 [images, concepts], its place, row-major; of equals the first.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **dict.fromkeys(("drawn", "mass", "occupancy"), add),
        **dict.fromkeys(("best", "place"), concat),
    }

    def __init__(self, concepts: int, shape: tuple[int, int, int], device: torch.device | str = "cpu") -> None:
        units, height, width = shape
        self.drawn = torch.zeros(concepts, units, dtype=torch.float64, device=device)
        self.mass = torch.zeros(concepts, dtype=torch.float64, device=device)
        self.occupancy = torch.zeros(concepts, height, width, dtype=torch.float64, device=device)
        self.best = torch.zeros(0, concepts, device=device)
        self.place = torch.zeros(0, concepts, dtype=torch.int32, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W])."""
        r, labels = batch
        there = occurring(labels)
        half = len(r) // 2
        if half and 8 * r[:, 0].numel() * (1 + len(there)) > AT_ONCE:
            self.update(r[:half], labels[:half])
            self.update(r[half:], labels[half:])
        else:
            self._add(r.double(), only(labels, there, len(self.mass)), torch.tensor([0, *there], device=labels.device))

    def _add(self, r: Tensor, labels: Tensor, seen: Tensor) -> None:
        """Take in some images, whose labels are indices into `seen`."""
        counts = place_counts(labels, len(seen), (r.shape[2], r.shape[3])).double()
        shares = counts / counts[:, :1]
        self.drawn.index_add_(0, seen, torch.einsum("bchw,buhw->cu", shares, r))
        self.mass.index_add_(0, seen, shares.sum((0, 2, 3)))
        self.occupancy.index_add_(0, seen, shares.sum(0))
        most, where = shares.flatten(2).max(2)
        best = torch.zeros(len(r), len(self.mass), device=r.device)
        place = torch.zeros(best.shape, dtype=torch.int32, device=r.device)
        best[:, seen], place[:, seen] = most.float(), where.to(torch.int32)
        self.best, self.place = torch.cat([self.best, best]), torch.cat([self.place, place])

    def constant(self, concept: int) -> PerUnit:
        """Return k of a concept: the mean activation where it is, weighted by its share of each place (S-6.4)."""
        if not float(self.mass[concept]) > 0:
            raise BadValue(f"none of the {len(self.best)} pooled images shows the concept; pool more of them")
        return (self.drawn[concept] / self.mass[concept]).float()


def pool_shard(source: DissectedModel, spec: PoolSpec, ids: Sequence[int], pool: Pool | None = None) -> Pool:
    """Measure the images of one shard, or add some to what a pool has of it."""
    if pool is None:
        pool = Pool(source.concepts, source.shape(spec.layer), source.models.generator.device)
    for given in baselines(source, spec, ids):
        pool.update(given.features, given.labels)
    return pool


def pooling(source: DissectedModel) -> DissectedModel:
    """Return the source with the shards of pools."""
    return replace(source, run=replace(source.run, shard=SHARD))


def pool_path(source: DissectedModel, layer: str, images: int, seed: int = PoolSpec.seed) -> Path:
    """Return the default directory of the pool of so many images."""
    name = "pool" if images == PoolSpec.images else f"pool-{images}"
    return source.sibling_path(layer, name if seed == PoolSpec.seed else f"{name}-seed-{seed}")


def open_pool(
    source: DissectedModel, spec: PoolSpec, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> Pool:
    """Measure a pool in a study directory, or read it where it is there already."""
    source.shape(spec.layer)
    with source.begin(directory, spec, engine, progress) as (study, source):
        pool = study.sharded("pool", Pool, partial(pool_shard, source, spec), source.run.shards(spec.ids()))
        if not study.finished:
            study.finish()
    return pool


def layer_pool(
    source: DissectedModel, layer: str, images: int, engine: Engine = local, progress: Progress | None = None
) -> Pool:
    """Return the layer's pool of so many images in its default directory; measured where it is not there yet."""
    spec = PoolSpec(**source.names(), layer=layer, images=images)
    return open_pool(pooling(source), spec, pool_path(source, layer, images), engine, progress)


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

    The numbers of all layers follow one after the other; `of` returns those of one.

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
        everywhere = [lacking[:, None, None]] * len(shares)
        for total, weights in ((self.shown, shares), (self.without, everywhere), (self.free, nothing)):
            sums = [(r * own[:, None]).sum(0).flatten() for r, own in zip(features, weights, strict=True)]
            total += torch.cat(sums)

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

    def mean(self) -> PerUnit:
        """Return the class constant k, as `Pool.constant`."""
        if not float(self.mass.sum()) > 0:
            raise BadValue("none of the pooled images shows the concept; pool more of them")
        return (self.shown.sum((1, 2)) / self.mass.sum()).float()

    def constant(self, k: PerUnit) -> PerPlace:
        """Return k(place): the mean activation at each place where the concept is there (SPEC 6).

        Where too little of the concept was ever seen, it is that of the nearest place where enough was (the first of
        equals, row by row); where there is none at all, k.
        """
        known = self.mass >= LEAST
        if not bool(known.any()):
            return k[:, None, None].expand(self.shown.shape).clone()
        return _from_nearest(self.shown / self.mass.clamp(min=1e-9), known)

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
        return _from_nearest(self.free / self.times.clamp(min=1), known)


def _from_nearest(means: Tensor, known: Tensor) -> PerPlace:
    found: Tensor = means.flatten(1)[:, nearest(known).flatten()]
    return found.reshape(means.shape).float()


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


def places_path(source: DissectedModel, layers: Sequence[str], concept: str, images: int) -> Path:
    """Return the default directory of the means at every place of so many images."""
    name = f"places-{concept}" if images == PoolSpec.images else f"places-{concept}-{images}"
    return source.sibling_path("+".join(spanned(layers)), name)


def place_means(
    source: DissectedModel,
    layers: Sequence[str],
    concept: str,
    images: int,
    engine: Engine = local,
    progress: Progress | None = None,
) -> dict[str, LayerMeans]:
    """Return the means of layers' units at every place, in their default directory; measured if they are not there.

    The images are so many of the pool.
    """
    first, *others = layers = _measured_together(source, layers, concept, images)
    spec = PlacesSpec(**source.names(), layer=first, more=tuple(others), concept=concept, images=images)
    directory = places_path(source, layers, concept, images)
    with pooling(source).begin(directory, spec, engine, progress) as (study, source):
        work = partial(count_places, source, spec)
        means = study.sharded("places", PlaceMeans, work, source.run.shards(spec.ids()))
        if not study.finished:
            study.finish()
    shapes = [source.shape(layer) for layer in layers]
    return {layer: means.of(shapes, i) for i, layer in enumerate(layers)}


def _measured_together(source: DissectedModel, layers: Sequence[str], concept: str, images: int) -> list[str]:
    """Return the layers of a finished study that has some layers among its own; those alone where there is none."""
    own = places_path(source, layers, concept, images)
    for directory in (own, *sorted(own.parent.parent.glob(f"*/{glob.escape(own.name)}"))):
        if is_study(directory):
            with contextlib.suppress(StudyError):  # it is not finished, or damaged
                study = Study.open(directory)
                found = [study.spec_json["layer"], *study.spec_json["more"]]
                if set(layers) <= set(found) and study.spec_json["dissection"] == source.dissection.study.digest:
                    return found
    return list(layers)


def count_places(source: DissectedModel, spec: PlacesSpec, ids: range) -> PlaceMeans:
    """Measure the images of one shard."""
    layers, concept = (spec.layer, *spec.more), source.concept(spec.concept)
    means = PlaceMeans([source.shape(layer) for layer in layers], source.models.generator.device)
    for given in baselines(source, spec, ids, layers):
        means.update(*with_shares([given.layers[layer] for layer in layers], given.labels, concept))
    return means


def with_shares(features: Sequence[Tensor], labels: Labels, concept: int) -> list[Tensor]:
    """Return the features [b, u, h, w] of each layer, and after them the share of each place that shows a concept."""
    shown = (labels == concept).any(1, keepdim=True).long()
    batch: list[Tensor] = []
    for r in features:
        counts = place_counts(shown, 2, (r.shape[2], r.shape[3])).double()
        batch += [r, counts[:, 1] / counts[:, 0]]
    return batch
