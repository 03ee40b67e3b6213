"""How units agree with concepts: one table of pixel counts, from which every score of dissection is computed.

The table of a layer counts, for each unit, concept and bin between two levels, the pixels whose upsampled activation
falls in the bin and that show the concept. Row 0, the place of "nothing", counts every pixel. The control has the same
counts with the labels of neighbouring images swapped. Only concepts that occur have a row.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.resample import upsample
from ganatomy.core.tensor_types import Features
from ganatomy.stats.base import Accumulator, Merge, require_equal
from ganatomy.stats.combinations import Combinations, Numbers, index_labels, numbers
from ganatomy.stats.crossings import CROWD
from ganatomy.stats.kernels import OPEN, add_rows, count_unit
from ganatomy.stats.patches import lay_patches
from ganatomy.stats.sparse import count_squares, edges, find_squares, shown_by_row

A = TypeVar("A", bound="Agreement")
Take = Callable[[int, Numbers | Tensor], None]
"""Takes in the counts of a unit: [2, rows of the combinations, bins], of the images and of mismatched images."""

GROWTH = 1.25
"""Factor by which a table grows that lacks rows for new concepts: copies take time, and spare rows memory."""


def counter_type(pixels: int) -> torch.dtype:
    """Return the type of counters that hold so many pixels."""
    return torch.int32 if pixels < 2**31 else torch.int64


class Agreement(Accumulator):
    """Pixel counts of one layer: unit × concept × bin, for matched and for mismatched images.

    Attributes:
        levels: float64 [u, l], ascending for each unit; bin j holds the values above exactly j levels.
        known: int64 [1], how many concepts the vocabulary has, the place of "nothing" included.
        concepts: int64 [c], those that have a row, ascending, 0 the first.
        counts: integer [2, u, c, l + 1]; index 0 the images that the features drew, 1 the control.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = dict.fromkeys(
        ("levels", "known", "concepts", "counts"), require_equal
    )  # see `merge`

    def __init__(self, levels: Tensor, concepts: int, pixels: int) -> None:
        """Start empty, with counters wide enough for that many pixels a unit."""
        if levels.shape[1] >= OPEN:
            raise BadValue(f"{levels.shape[1]} levels a unit; at most {OPEN - 1} are possible")
        self.levels = levels.clone()
        self.known = torch.tensor([concepts])
        self._order = torch.zeros(1, dtype=torch.long)
        self._table = _zeros(levels, 1, counter_type(pixels))

    @property
    def nbytes(self) -> int:
        """How much memory the table takes."""
        used = self._table if self._table.is_cuda else self._table[:, :, : len(self._order)]
        return used.nbytes  # on a CPU rows that are not used yet take none

    @property
    def concepts(self) -> Tensor:
        """The concepts that have a row."""
        return self._order.sort().values

    @property
    def counts(self) -> Tensor:
        """Their rows: a view where no row had to be moved."""
        order = self._order.argsort()
        rows = self._table[:, :, : len(order)]
        return rows if bool((order.diff() == 1).all()) else rows[:, :, order.to(rows.device)]

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W]) of one batch."""
        features, labels = batch
        numbered = index_labels(labels, self._table.shape[-1])
        count_pixels(self.levels, features, numbered, [self.taking(numbered)])

    def taking(self, labels: Combinations) -> Take:
        """Return what takes in the counts of a batch; makes room for its concepts."""
        if int(labels.concepts[-1]) >= int(self.known):
            raise BadValue(
                f"label {int(labels.concepts[-1])} is none of {int(self.known)} concepts; give the labels' vocabulary"
            )
        rows = self._rows(labels.concepts.cpu()).to(labels.members.device)[labels.members]
        table = self._table
        if table.is_cuda:
            return _taking_on_device(table, labels, rows)
        starts, members = numbers(labels.starts), numbers(rows)

        def take(unit: int, found: Numbers | Tensor) -> None:
            for own, kind in zip(table[:, unit].numpy(), found, strict=True):
                add_rows(kind, starts, members, own)

        return take

    def _rows(self, concepts: Tensor) -> Tensor:
        new = concepts[~torch.isin(concepts, self._order)]
        if len(new):
            self._order = torch.cat([self._order, new])
            if len(self._order) > self._table.shape[2]:
                rows = min(max(len(self._order), int(GROWTH * self._table.shape[2])), int(self.known))
                table = _zeros(self.levels, rows, self._table.dtype)
                table[:, :, : self._table.shape[2]] = self._table
                self._table = table
        by_concept = self._order.argsort()
        return by_concept[torch.searchsorted(self._order[by_concept], concepts)]

    def merge(self: A, other: A) -> A:
        """Return the counts of both samples, with a row for each concept that either has."""
        fits = type(self) is type(other) and self.levels.shape == other.levels.shape and bool(self.known == other.known)
        if not fits:
            raise BadValue(f"a {type(other).__name__} of another shape cannot be merged into a {type(self).__name__}")
        concepts = torch.unique(torch.cat([self._order, other._order]))
        pixels = sum(int(each._table[0, 0, 0].sum()) for each in (self, other))
        types = (counter_type(pixels), self._table.dtype, other._table.dtype)
        kind = torch.int64 if torch.int64 in types else torch.int32
        merged = type(self).__new__(type(self))
        merged.levels, merged.known, merged._order = require_equal(self.levels, other.levels), self.known, concepts
        merged._table = _zeros(self.levels, len(concepts), kind)
        for each in (self, other):
            rows = torch.searchsorted(concepts, each._order).to(merged._table.device)
            merged._table.index_add_(2, rows, each._table[:, :, : len(rows)].to(kind))
        return merged

    @classmethod
    def from_state(cls: type[A], state: Mapping[str, Tensor]) -> A:
        """Build it from what `state_dict` returned."""
        self = cls.__new__(cls)
        self.levels, self.known, self._order, self._table = (state[name] for name in cls.FIELDS)
        if self._table.ndim != 4 or self._table.shape[2] != len(self._order):
            raise ValueError("a table whose rows are of other concepts")
        return self


def _zeros(levels: Tensor, concepts: int, kind: torch.dtype) -> Tensor:
    """Return an empty table [2, u, concepts, l + 1]; on a CPU what nobody writes to takes no memory."""
    shape = (2, len(levels), concepts, levels.shape[1] + 1)
    if levels.is_cuda:
        return torch.zeros(shape, dtype=kind, device=levels.device)
    return torch.from_numpy(np.zeros(shape, np.int32 if kind == torch.int32 else np.int64))


def _taking_on_device(table: Tensor, labels: Combinations, rows: Tensor) -> Take:
    times = labels.starts.diff()

    def take(unit: int, found: Numbers | Tensor) -> None:
        for own, kind in zip(table[:, unit], found, strict=True):
            own.index_add_(0, rows, torch.as_tensor(kind)[:-1].repeat_interleave(times, 0).to(own.dtype))

    return take


def check_maps(features: Features, units: int, images: int) -> None:
    """Refuse feature maps of other units and images: compiled loops read memory unchecked."""
    if features.ndim != 4 or tuple(features.shape[:2]) != (images, units) or not features.numel():
        raise BadValue(f"features {list(features.shape)} are not of {images} images and {units} units, [b, u, h, w]")


def count_pixels(levels: Tensor, features: Features, labels: Combinations, takes: Sequence[Take]) -> None:
    """Count the pixels of one batch by unit, label tuple and bin.

    Args:
        levels: float64 [u, l], ascending for each unit, on the device of the features.
        takes: called with the counts of each unit, in any order, from several threads.
    """
    check_maps(features, len(levels), len(labels.pixels))
    count = count_on_device if features.is_cuda else _count_on_cpu
    count(levels, features, labels, takes)


def _count_on_cpu(levels: Tensor, features: Features, labels: Combinations, takes: Sequence[Take]) -> None:
    maps, cuts = features.detach().contiguous().numpy(), levels.numpy()
    axes = tuple(tuple(axis) for axis in labels.grid.axes(maps.shape[-2:]))
    arrays = labels.arrays
    rare, shown = (numbers(labels.places), numbers(labels.rows)), shown_by_row(labels)
    cut = tuple(edges(low, points) for (low, _), points in zip(axes, maps.shape[-2:], strict=True))
    patches = lay_patches(arrays[0], axes, CROWD)

    def count(units: range) -> None:
        found = np.empty((2, labels.count, labels.bins), np.uint32)
        squares = np.empty((maps[:, 0].size, 3), np.int64)
        for u in units:
            found[:] = 0
            touched = find_squares(maps, u, cut, squares)
            if touched >= 0:
                count_squares(maps, u, axes, cut, cuts[u], arrays[0], rare, shown, squares[:touched], found)
            else:
                count_unit(maps, u, axes, cuts[u], *arrays, patches, found)
            for take in takes:
                take(u, found)

    workers = torch.get_num_threads()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(count, [range(i, maps.shape[1], workers) for i in range(workers)]))


def count_on_device(levels: Tensor, features: Features, labels: Combinations, takes: Sequence[Take]) -> None:
    """Count with tensor operations alone, on any device; nothing leaves it. Also the compiled loops' reference."""
    kinds = (labels, labels.mismatched())
    for u in range(features.shape[1]):
        bins = torch.searchsorted(levels[u], upsample(features[:, u : u + 1], labels.grid).flatten(1))
        found = []
        for kind in kinds:
            pixels = (kind.pixels + bins[: len(kind.pixels)]).flatten()
            apart = kind.rows + bins.flatten()[kind.places]
            counts = torch.bincount(torch.cat([pixels, apart]), minlength=labels.count * labels.bins)
            found.append(counts.view(-1, labels.bins))
        for take in takes:
            take(u, torch.stack(found))
