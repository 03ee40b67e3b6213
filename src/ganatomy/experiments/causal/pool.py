"""What is measured once for all concepts of a layer: class constants, where each concept is, how strong each unit is.

A pool is a study of its own, shared by every causal question about the layer (S-6.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ganatomy.errors import BadValue
from ganatomy.execute import Engine, local
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.experiments.causal.trials import batches
from ganatomy.progress import Progress
from ganatomy.stats.base import Accumulator, Merge, add, concat
from ganatomy.stats.regions import occurring, only, place_counts
from ganatomy.study import Study
from ganatomy.types import PerUnit

AT_ONCE = 1 << 26
"""Images are taken in together as long as a table by image, place and concept that they show takes fewer bytes."""


@dataclass(frozen=True)
class PoolSpec(SampleSpec):
    """Which images to pool: at the published setting 10,000 (S-6.4; SPEC 5)."""

    images: int = 2000
    first: int = 500_000
    shard: int = 256


class Pool(Accumulator):
    """Sums over the pool, and for each image the place that shows most of each concept.

    Attributes:
        drawn: float64 [concepts, u], Σ r_p m_p over images and places; m_p is the share of place p's area that
            shows the concept.
        mass: float64 [concepts], Σ m_p.
        occupancy: float64 [concepts, h, w], Σ m_p over images.
        strength: float64 [u], Σ |r_p|.
        best: float32 [images, concepts], the greatest m_p of each image.
        place: int32 [images, concepts], its place, row-major; of equals the first.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        "drawn": add,
        "mass": add,
        "occupancy": add,
        "strength": add,
        "best": concat,
        "place": concat,
    }

    def __init__(self, concepts: int, shape: tuple[int, int, int], device: torch.device | str = "cpu") -> None:
        units, height, width = shape
        self.drawn = torch.zeros(concepts, units, dtype=torch.float64, device=device)
        self.mass = torch.zeros(concepts, dtype=torch.float64, device=device)
        self.occupancy = torch.zeros(concepts, height, width, dtype=torch.float64, device=device)
        self.strength = torch.zeros(units, dtype=torch.float64, device=device)
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
        """Take in some images, labelled by the place of a concept in `seen`."""
        counts = place_counts(labels, len(seen), (r.shape[2], r.shape[3])).double()
        shares = counts / counts[:, :1]
        self.drawn.index_add_(0, seen, torch.einsum("bchw,buhw->cu", shares, r))
        self.mass.index_add_(0, seen, shares.sum((0, 2, 3)))
        self.occupancy.index_add_(0, seen, shares.sum(0))
        self.strength += r.abs().sum((0, 2, 3))
        most, where = shares.flatten(2).max(2)
        best = torch.zeros(len(r), len(self.mass), device=r.device)
        place = torch.zeros(best.shape, dtype=torch.int32, device=r.device)
        best[:, seen], place[:, seen] = most.float(), where.to(torch.int32)
        self.best, self.place = torch.cat([self.best, best]), torch.cat([self.place, place])

    def constant(self, concept: int) -> PerUnit:
        """Return k of a concept: the mean activation where it is, weighted by how much of the place it covers (S-6.4).

        Raises:
            BadValue: the pool never shows it.
        """
        if not float(self.mass[concept]) > 0:
            raise BadValue(f"none of the {len(self.best)} pooled images shows the concept; pool more of them")
        return (self.drawn[concept] / self.mass[concept]).float()

    def magnitude(self) -> PerUnit:
        """Return the mean absolute value of each unit."""
        places = self.occupancy.shape[1] * self.occupancy.shape[2]
        return (self.strength / (len(self.best) * places)).float()


def pool_shard(source: Source, spec: PoolSpec, ids: range) -> Pool:
    """Measure the images of one shard."""
    pool = Pool(source.concepts, source.shape(spec.layer), source.models.generator.device)
    for seen in batches(source, spec, ids):
        pool.update(seen.features, seen.labels)
    return pool


def pool_home(source: Source, layer: str, images: int, seed: int = PoolSpec.seed) -> Path:
    """Return where the pool of so many images lies, beside the dissection: one for all causal questions of a layer."""
    name = "pool" if images == PoolSpec.images else f"pool-{images}"
    return source.beside(layer, name if seed == PoolSpec.seed else f"{name}-seed-{seed}")


def open_pool(
    source: Source, spec: PoolSpec, directory: Path, execute: Engine = local, progress: Progress | None = None
) -> Pool:
    """Measure a pool in a study directory, or read it where it is there already."""
    source.shape(spec.layer)
    with Study.create(directory, spec, source.facts(), execute, progress) as study:
        spec = study.begun(spec)
        pool = study.sharded("pool", Pool, partial(pool_shard, source, spec), spec.shards())
        if not study.finished:
            study.finish()
    return pool
