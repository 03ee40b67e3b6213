"""Places of a layer's grid: squares of cells at which something is inserted, and what is seen there (SPEC 4, 6).

Many places of many images are drawn in one batch, a row each.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Images, Labels, Where
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.stats.regions import occurring, only, place_counts

Grid = tuple[int, int]
Region = tuple[int, int, int, int]


class Rows(NamedTuple):
    """One insertion a row.

    Attributes:
        image: int64 [n], its number in the batch of baseline images.
        where: [n, h, w], its place.
    """

    image: Tensor
    where: Tensor

    def split(self, size: int) -> Iterator["Rows"]:
        """Return the rows in parts of at most so many."""
        for i in range(0, len(self.image), size):
            yield Rows(self.image[i : i + size], self.where[i : i + size])


class ConceptCounts(NamedTuple):
    """How many pixels show a concept, int64 [n] each: at the row's place, out of how many there; in the image."""

    at: Tensor
    area: Tensor
    image: Tensor


def corners(grid: Grid, cell: int, stride: int = 1) -> Int64[Tensor, "places 2"]:
    """Return the top left row and column of every place that is wholly in the grid, row by row."""
    if cell > min(grid):
        raise BadValue(f"cell={cell}: a place of {cell} × {cell} does not fit the layer's {grid[0]} × {grid[1]}")
    rows, columns = (torch.arange(0, side - cell + 1, stride) for side in grid)
    return torch.cartesian_prod(rows, columns)


def masks(grid: Grid, at: Int64[Tensor, "n 2"], cell: int) -> Where:
    """Return the map of each place, given its top left corner."""
    down, across = (torch.arange(side) - at[:, i : i + 1] for i, side in enumerate(grid))
    inside = [(offset >= 0) & (offset < cell) for offset in (down, across)]
    return (inside[0][:, :, None] & inside[1][:, None]).float()


def maps(places: Int64[Tensor, "n *k"], grid: Sequence[int]) -> Where:
    """Return maps of a grid that are 1 at the given places, row-major; -1 is no place."""
    places = places[:, None] if places.ndim == 1 else places
    where = torch.zeros(len(places), grid[0] * grid[1] + 1)
    where.scatter_(1, torch.where(places < 0, grid[0] * grid[1], places), 1.0)
    return where[:, :-1].reshape(-1, grid[0], grid[1])


def draw_place(free: Tensor, ids: Sequence[int], seed: int) -> Int64[Tensor, "b 2"]:
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


def pixel_boxes(at: Int64[Tensor, "n 2"], cell: int, grid: Grid, size: tuple[int, int]) -> Float[Tensor, "n 4"]:
    """Return the top, left, height and width of places in pixels of an image of `size`."""
    scale = torch.tensor([size[0] / grid[0], size[1] / grid[1]])
    return torch.cat([at * scale, (cell * scale).expand(len(at), 2)], 1)


def read_at(labels: Labels, concept: int, where: Where) -> ConceptCounts:
    """Count the pixels that show a concept, in one image a row, at the row's place and in all."""
    shown = (labels == concept).any(1, keepdim=True).long()
    counts = place_counts(shown, 2, (where.shape[1], where.shape[2]))
    inside = (where > 0).to(labels.device)
    at, area = ((counts[:, i] * inside).sum((1, 2)) for i in (1, 0))
    return ConceptCounts(at, area, counts[:, 1].sum((1, 2)))


def gained_at(before: Labels, after: Labels, concept: int, where: Where) -> ConceptCounts:
    """Count by how many pixels more an edited image shows a concept, see `read_at`."""
    old, new = read_at(before, concept, where), read_at(after, concept, where)
    return ConceptCounts(new.at - old.at, old.area, new.image - old.image)


def cell_counts(labels: Labels, among: Sequence[int], grid: Grid, cell: int) -> Int64[Tensor, "b entries rows columns"]:
    """Count the pixels of every place, by its top left corner: all of them, then those that show each of `among`."""
    labels = only(labels, among, max([int(labels.max()), *among]) + 1)
    counts = place_counts(labels, 1 + len(among), grid).double()
    return (F.avg_pool2d(counts, cell, stride=1) * cell * cell).round().long()


def majority(labels: Labels, among: Sequence[int], grid: Grid, cell: int) -> Int64[Tensor, "b rows columns"]:
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


def host_concepts(source: DissectedModel) -> list[int]:
    """Return the concepts that something can be inserted onto: the objects; without such, those of the first kind."""
    kinds = [concept.category for concept in source.dissection.vocabulary]
    kind = "object" if "object" in kinds else kinds[1]
    return [c for c, own in enumerate(kinds) if own == kind and c]


def relative_frequency(shown: Tensor, cell: int) -> Float64[Tensor, "rows columns"]:
    """Return how often places show a concept, by top left corner, as a share of the place that shows it most.

    Args:
        shown: of each place of a grid, how much of it shows the concept in all images: `Pool.occupancy` of a concept,
            or the mass of `LayerMeans`.
        cell: side of the places.

    Images have a top and a bottom: a door is at the foot of a building, and a model knows that too.
    """
    often = F.avg_pool2d(shown[None], cell, stride=1)[0]
    return often / often.max()


def as_bytes(images: Images) -> UInt8[Tensor, "b 3 H W"]:
    """Return images as they are kept: whole numbers from 0 to 255 (SPEC 1)."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def region_at(at: Sequence[int] | None, cell: int | None = None) -> Region | None:
    """Return the region of a place (row, column), `cell` places high and wide, or of (top, left, bottom, right).

    Rows and columns are counted from 0; bottom and right belong to the region.

    >>> region_at((3, 4)), region_at((3, 4), 2), region_at((0, 0, 1, 7)), region_at(None)
    ((3, 4, 1, 1), (3, 4, 2, 2), (0, 0, 2, 8), None)
    """
    if at is not None and len(at) == 2:
        side = 1 if cell is None else cell
        return (at[0], at[1], side, side)
    if cell is not None:
        raise BadValue(f"cell={cell} needs the place (row, column) that it begins at")
    if at is None:
        return None
    if len(at) != 4:
        raise BadValue(f"at={','.join(map(str, at))}: give row,column or top,left,bottom,right")
    top, left, bottom, right = at
    return (top, left, bottom - top + 1, right - left + 1)
