"""What units are where a concept is, place by place: k(place), and what they are there in pictures without it (SPEC 6).

A class constant k is one value a unit, the same everywhere. What a layer does at a place depends on the place, too: at
the foot of a building it is not what it is in the sky. So k(place) is the mean activation at that very place.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from ganatomy.execute import Executor, local
from ganatomy.experiments.causal.pool import PoolSpec
from ganatomy.experiments.causal.source import Source
from ganatomy.experiments.causal.trials import batches
from ganatomy.progress import Progress
from ganatomy.stats.base import Accumulator, Merge, add
from ganatomy.stats.regions import place_counts
from ganatomy.study import Study
from ganatomy.types import PerPlace, PerUnit

LEAST = 1.0
"""A place has a constant of its own where the concept covers as much as one whole place, all pictures together."""
ENOUGH = 20
"""From so many pictures without the concept on, they say what units are without it."""


@dataclass(frozen=True)
class PlacesSpec(PoolSpec):
    """Of which concept the constants of every place are measured, and on which pictures: those of the pool."""

    concept: str = ""


class PlaceMeans(Accumulator):
    """Sums of activations at every place of a layer's grid, with a concept and without it.

    Attributes:
        shown: float64 [u, h, w], Σ r_p m_p over pictures; m_p is the share of place p's area that shows the concept.
        mass: float64 [h, w], Σ m_p.
        without: float64 [u, h, w], Σ r_p over the pictures that show nothing of it.
        pictures: float64 [1], how many these are.
        free: float64 [u, h, w], Σ r_p over the pictures that show nothing of it at p.
        times: float64 [h, w], how many these are.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = dict.fromkeys(
        ("shown", "mass", "without", "pictures", "free", "times"), add
    )

    def __init__(self, shape: tuple[int, int, int], device: torch.device | str = "cpu") -> None:
        self.shown, self.without, self.free = torch.zeros(3, *shape, dtype=torch.float64, device=device)
        self.mass, self.times = torch.zeros(2, *shape[1:], dtype=torch.float64, device=device)
        self.pictures = torch.zeros(1, dtype=torch.float64, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], share of each place that shows the concept [b, h, w])."""
        r, share = batch[0].double(), batch[1].double()
        lacking = (share.flatten(1).sum(1) == 0).double()
        nothing = (share == 0).double()
        self.shown += (r * share[:, None]).sum(0)
        self.mass += share.sum(0)
        self.without += (r * lacking[:, None, None, None]).sum(0)
        self.pictures += lacking.sum()
        self.free += (r * nothing[:, None]).sum(0)
        self.times += nothing.sum(0)

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
        """Return what units are at each place in pictures without the concept.

        Where hardly any picture is without it, in those that do not show it at that place; at a place that always
        shows it, as at the nearest that does not.
        """
        if float(self.pictures) >= ENOUGH:
            found: Tensor = self.without / self.pictures
            return found.float()
        known = self.times > 0
        if not bool(known.any()):
            return torch.zeros_like(self.free).float()
        means = (self.free / self.times.clamp(min=1)).flatten(1)
        found = means[:, nearest(known).flatten()]
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


def place_means(
    source: Source,
    layer: str,
    concept: str,
    pictures: tuple[int, int],
    execute: Executor = local,
    progress: Progress | None = None,
) -> PlaceMeans:
    """Return the means of a layer's units at every place, which lie beside the dissection; made if they are not there.

    Args:
        source: the models.
        layer: whose units.
        concept: its name.
        pictures: how many are measured, those of the pool; and how many at once, which changes nothing.
        execute, progress: the engine, and who shows how far it is.
    """
    images, batch = pictures
    spec = PlacesSpec(**source.names(), layer=layer, concept=concept, images=images)
    name = f"places-{concept}" if images == PoolSpec.images else f"places-{concept}-{images}"
    with Study.create(source.beside(layer, name), spec, source.facts(), execute, progress) as study:
        work = partial(count_places, source, dataclasses.replace(spec, batch=batch))
        means = study.sharded("places", PlaceMeans, work, spec.shards())
        if not study.finished:
            study.finish()
    return means


def count_places(source: Source, spec: PlacesSpec, ids: range) -> PlaceMeans:
    """Measure the pictures of one shard."""
    shape, concept = source.shape(spec.layer), source.concept(spec.concept)
    means = PlaceMeans((shape.units, shape.height, shape.width), source.models.generator.device)
    for seen in batches(source, spec, ids):
        shown = (seen.labels == concept).any(1, keepdim=True).long()
        counts = place_counts(shown, 2, (shape.height, shape.width)).double()
        means.update(seen.features, counts[:, 1] / counts[:, 0])
    return means
