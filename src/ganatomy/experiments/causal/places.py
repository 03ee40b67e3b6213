"""Units inserted at one place of a layer's grid at a time, and what is then to be seen there (SPEC 4, 6).

A place is a square of cells of the grid. Many places of many images are drawn in one batch, a row each: what comes
before the layer is computed once an image.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from ganatomy.edit import blend, check_units
from ganatomy.errors import BadFile, BadValue
from ganatomy.execute import Engine, local
from ganatomy.experiments.causal.choice import random_sets
from ganatomy.experiments.causal.pool import Pool, PoolSpec, open_pool, pool_home
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.experiments.causal.trials import Untouched
from ganatomy.progress import Progress
from ganatomy.stats.regions import occurring, only, place_counts
from ganatomy.study import Study
from ganatomy.types import Images, Labels, PerUnit, Where

S = TypeVar("S", bound=SampleSpec)
LayerUnits = tuple[str, tuple[int, ...]]
"""A layer, and some of its units."""


@dataclass(frozen=True, kw_only=True)
class PlaceSpec(SampleSpec):
    """What is inserted, and how large a place is.

    Attributes:
        concept: of which k is the class constant, and whose pixels are counted.
        units: which units are set to k.
        chosen: how they were chosen, in words.
        multiple: they are set to this many times k.
        constant: ``k``, one value a unit, or ``place``, one a unit at each place.
        more: later layers of which units are set, too, each to its own constant.
        cell: a place is cell × cell of the layer's grid; of several layers, of the last one's.
        pool: how many images k is measured on.
    """

    concept: str
    units: tuple[int, ...]
    chosen: str
    multiple: float = 1.0
    constant: str = "k"
    more: tuple[LayerUnits, ...] = ()
    cell: int = 1
    pool: int = PoolSpec.images

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        object.__setattr__(self, "units", checked_set(self.units))
        object.__setattr__(self, "more", tuple((layer, checked_set(units)) for layer, units in self.more))
        at_least(self, cell=1, pool=2)
        if not (math.isfinite(self.multiple) and self.multiple):
            raise BadValue(f"multiple={self.multiple} is no number to take k by")

    @property
    def place_layer(self) -> str:
        """The layer whose grid the places are of."""
        return self.more[-1][0] if self.more else self.layer


def at_least(spec: SampleSpec, **least: int) -> None:
    """Refuse fields that are too small.

    Raises:
        BadValue: names the first.
    """
    for name, smallest in least.items():
        if getattr(spec, name) < smallest:
            raise BadValue(f"{name}={getattr(spec, name)} is too few; give at least {smallest}")


def checked_set(units: Sequence[int]) -> tuple[int, ...]:
    """Return a set of units as a tuple.

    Raises:
        BadValue: it is empty, or names a unit twice.
    """
    if not units or len(set(units)) < len(units):
        raise BadValue(f"units={list(units)}: give at least one, each once")
    return tuple(units)


def corners(grid: tuple[int, int], cell: int, stride: int = 1) -> Int64[Tensor, "places 2"]:
    """Return the top left row and column of every place that is wholly in the grid, row by row.

    Raises:
        BadValue: the grid is smaller than a place.
    """
    if cell > min(grid):
        raise BadValue(f"cell={cell}: a place of {cell} × {cell} does not fit the layer's {grid[0]} × {grid[1]}")
    rows, columns = (torch.arange(0, side - cell + 1, stride) for side in grid)
    return torch.cartesian_prod(rows, columns)


def masks(grid: tuple[int, int], at: Int64[Tensor, "n 2"], cell: int) -> Where:
    """Return the map of each place, given its top left corner."""
    down, across = (torch.arange(side) - at[:, i : i + 1] for i, side in enumerate(grid))
    inside = [(offset >= 0) & (offset < cell) for offset in (down, across)]
    return (inside[0][:, :, None] & inside[1][:, None]).float()


class Rows(NamedTuple):
    """One insertion a row.

    Attributes:
        picture: int64 [n], its number in the batch of untouched images.
        where: [n, h, w], its place.
    """

    picture: Tensor
    where: Tensor

    def split(self, size: int) -> Iterator["Rows"]:
        """Return the rows in parts of at most so many."""
        for i in range(0, len(self.picture), size):
            yield Rows(self.picture[i : i + size], self.where[i : i + size])


@torch.no_grad()
def insert_at(
    source: Source, layer: str, given: Untouched, rows: Rows, alpha: Float[Tensor, "#n u"], value: PerUnit
) -> Images:
    """Draw one image a row, units set to `value` at the row's place as far as alpha says."""
    where = rows.where.to(given.features)[:, None]
    r = blend(given.features[rows.picture], alpha.to(given.features)[:, :, None, None] * where, value)
    return source.models.generator.render(r, layer, given.z[rows.picture])


class Shown(NamedTuple):
    """How many pixels show a concept, int64 [n] each: at the row's place, out of how many there; in the image."""

    at: Tensor
    area: Tensor
    picture: Tensor


def read_at(labels: Labels, concept: int, where: Where) -> Shown:
    """Count the pixels that show a concept, in one image a row, at the row's place and in all."""
    shown = (labels == concept).any(1, keepdim=True).long()
    counts = place_counts(shown, 2, (where.shape[1], where.shape[2]))
    inside = (where > 0).to(labels.device)
    return Shown((counts[:, 1] * inside).sum((1, 2)), (counts[:, 0] * inside).sum((1, 2)), counts[:, 1].sum((1, 2)))


def cell_counts(
    labels: Labels, among: Sequence[int], grid: tuple[int, int], cell: int
) -> Int64[Tensor, "b entries rows columns"]:
    """Count the pixels of every place, by its top left corner: all of them, then those that show each of `among`."""
    labels = only(labels, among, max([int(labels.max()), *among]) + 1)
    counts = place_counts(labels, 1 + len(among), grid).double()
    return (F.avg_pool2d(counts, cell, stride=1) * cell * cell).round().long()


def majority(labels: Labels, among: Sequence[int], grid: tuple[int, int], cell: int) -> Int64[Tensor, "b rows columns"]:
    """Return which concept most pixels of a place show, out of `among`; 0 where more show none of them.

    Of equals it is nothing, then the first of `among`. One image after the other, by the concepts that it shows.
    """
    found = []
    for own in torch.split(labels, 1):
        seen = set(occurring(own))
        there = [c for c in among if c in seen]
        counts = cell_counts(own, there, grid, cell)
        counts[:, 0] -= counts[:, 1:].sum(1)
        found.append(torch.tensor([0, *there], device=labels.device)[counts.argmax(1)])
    return torch.cat(found)


def carriers(source: Source) -> list[int]:
    """Return the concepts that something can be inserted onto: the objects; without such, those of the first kind."""
    kinds = [concept.category for concept in source.dissection.vocabulary]
    kind = "object" if "object" in kinds else kinds[1]
    return [c for c, own in enumerate(kinds) if own == kind and c]


def draw_place(free: Tensor, ids: range, seed: int) -> Int64[Tensor, "b 2"]:
    """Draw one of the free places of each image, uniformly: its top left row and column; -1 where there is none.

    Args:
        free: bool [b, rows, columns], by top left corner.
        ids: of the images; a draw depends on (seed, id) and what is free only.
        seed: of the draws.
    """
    at = torch.full((len(free), 2), -1)
    for i, (own, number) in enumerate(zip(free, ids, strict=True)):
        found = own.nonzero()
        if len(found):
            at[i] = found[int(np.random.default_rng([seed, number]).random() * len(found))]
    return at


def switched_on(units: Sequence[int], count: int) -> PerUnit:
    """Return alpha: 1 for these units, 0 for the others of a layer."""
    alpha = torch.zeros(count)
    alpha[list(units)] = 1
    return alpha


def random_units(count: int, units: Sequence[int], ids: range, seed: int) -> Float[Tensor, "b u"]:
    """Return alpha of as many units as in `units`, others where there are enough, drawn anew for each image.

    Row i depends on (seed, ids[i]) only.
    """
    drawn = random_sets(count, len(units), ids, seed, units)
    return torch.stack([switched_on(own, count) for own in drawn])


def layer_pool(
    source: Source,
    layer: str,
    images: int,
    batch: int = PoolSpec.batch,
    execute: Engine = local,
    progress: Progress | None = None,
) -> Pool:
    """Return the layer's pool of so many images, which lies beside the dissection; made where it is not there yet."""
    spec = PoolSpec(**source.names(), layer=layer, images=images, batch=batch)
    return open_pool(source, spec, pool_home(source, layer, images), execute, progress)


def usualness(pool: Pool, concept: int, cell: int) -> Float64[Tensor, "rows columns"]:
    """Return how often places show a concept, by top left corner, as a share of the place that shows it most.

    Images have a top and a bottom: a door is at the foot of a building, and a model knows that too.
    """
    often = F.avg_pool2d(pool.occupancy[concept][None], cell, stride=1)[0]
    return often / often.max()


def as_bytes(images: Images) -> UInt8[Tensor, "b 3 H W"]:
    """Return images as they are kept: whole numbers from 0 to 255 (SPEC 1)."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def pixel_boxes(
    at: Int64[Tensor, "n 2"], cell: int, grid: tuple[int, int], size: tuple[int, int]
) -> Float[Tensor, "n 4"]:
    """Return the top, left, height and width of places in pixels of an image of `size`."""
    scale = torch.tensor([size[0] / grid[0], size[1] / grid[1]])
    return torch.cat([at * scale, (cell * scale).expand(len(at), 2)], 1)


def prepared(spec: PlaceSpec, source: Source) -> int:
    """Check a Spec against the models, and return the index of its concept.

    Raises:
        UnknownName: no such layer, unit or concept.
        BadValue: the concept is too rare, or a place does not fit the grid.
    """
    for layer, units in [(spec.layer, spec.units), *spec.more]:
        check_units(layer, source.shape(layer).units, units)
    shape = source.shape(spec.place_layer)
    corners((shape.height, shape.width), spec.cell)
    return source.concept(spec.concept)


def missing() -> NoReturn:
    """Say that a finished study lacks a step."""
    raise BadFile("a step of the study is missing; run the same command again")


def read_spec(study: Study, kind: type[S]) -> S:
    """Return what a study was asked.

    Raises:
        BadFile: it answers another question.
    """
    try:
        return kind(**{name: tuples(value) for name, value in study.spec_json.items()})
    except TypeError as error:
        name = kind.__name__.removesuffix("Spec").lower()
        raise BadFile(f"{study.directory} holds no {name} study that this version can read ({error})") from error


def tuples(value: Any) -> Any:
    """Return what lists are in as tuples, which a Spec has instead."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value
