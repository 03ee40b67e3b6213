"""How units agree with concepts: one table of pixel counts, from which every score of dissection is computed.

The table of a layer counts, for each unit, concept and bin between two levels, the pixels whose upsampled activation
falls in the bin and that show the concept. Row 0, the place of "nothing", counts every pixel. The control has the same
counts with the labels of neighbouring images swapped. Only concepts that occur have a row, and of a unit only the bins
that a value can be in, see `rows`.
"""

from collections.abc import Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.stats.base import Accumulator, Merge, require_equal, zeros
from ganatomy.stats.combinations import Combinations, index_labels
from ganatomy.stats.counting import Take, check_maps, count_pixels
from ganatomy.stats.kernels import OPEN
from ganatomy.stats.rows import Bins, UnitRows, add_kept

A = TypeVar("A", bound="Agreement")

GROWTH = 1.25
"""Factor by which a table grows that lacks rows for new concepts: copies take time, and spare rows memory."""
SPARE = 1 << 29
"""Bytes of a table on a CPU that are there from the start: rows that nobody writes to take no memory, and copies do."""


def counter_type(pixels: int) -> torch.dtype:
    """Return the type of counters that hold so many pixels."""
    return torch.int32 if pixels < 2**31 else torch.int64


class Agreement(Accumulator):
    """Pixel counts of one layer: unit × concept × bin, for matched and for mismatched images.

    Attributes:
        levels: float64 [u, l], ascending for each unit; bin j holds the values above exactly j levels.
        known: int64 [1], how many concepts the vocabulary has, the place of "nothing" included.
        concepts: int64 [c], those that have a row, ascending, 0 the first.
        shown: int64 [2, c], pixels that show each; index 0 the images that the features drew, 1 the control.
        kept: integer [2, c, n], those of them in the bins that `Bins.between` the levels lists.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = dict.fromkeys(
        ("levels", "known", "concepts", "shown", "kept"), require_equal
    )  # see `merge`

    def __init__(self, levels: Tensor, concepts: int, pixels: int) -> None:
        """Start empty, with counters wide enough for that many pixels a unit."""
        if levels.shape[1] >= OPEN:
            raise BadValue(f"{levels.shape[1]} levels a unit; at most {OPEN - 1} are possible")
        self._begin(levels.clone(), torch.tensor([concepts]), torch.zeros(1, dtype=torch.long), counter_type(pixels))

    def _begin(self, levels: Tensor, known: Tensor, order: Tensor, kind: torch.dtype) -> None:
        self.levels, self.known, self._order, self._bins = levels, known, order, Bins.between(levels)
        self._shown = torch.zeros(2, len(order), dtype=torch.long)
        self._table = self._rows_of(len(order), kind)

    def _rows_of(self, concepts: int, kind: torch.dtype) -> Tensor:
        return zeros((2, concepts, len(self._bins.kept)), kind, self.levels.device)

    @property
    def nbytes(self) -> int:
        """How much memory the table takes."""
        used = self._table if self._table.is_cuda else self._table[:, : len(self._order)]
        return used.nbytes  # on a CPU rows that are not used yet take none

    @property
    def concepts(self) -> Tensor:
        """The concepts that have a row."""
        return self._order.sort().values

    @property
    def shown(self) -> Tensor:
        """Pixels that show each of them."""
        return self._shown[:, self._order.argsort()]

    @property
    def kept(self) -> Tensor:
        """Their rows: a view where no row had to be moved."""
        return self._in_order(slice(None))

    def _in_order(self, columns: slice) -> Tensor:
        order = self._order.argsort()
        rows = self._table[:, : len(order), columns]
        return rows if bool((order.diff() == 1).all()) else rows[:, order.to(rows.device)]

    def counts_of(self, units: slice = slice(None)) -> Tensor:
        """Return the counts of some consecutive units in all bins, integer [2, u, c, l + 1]."""
        columns = self._bins.columns(units)
        rows = self._in_order(columns)
        kept, owners = (each[columns].to(rows.device) for each in (self._bins.kept, self._bins.units))
        start, stop, _ = units.indices(len(self.levels))
        counts = rows.new_zeros(2, stop - start, rows.shape[1], self.levels.shape[1] + 1)
        counts[:, owners - start, :, kept] = rows.permute(2, 0, 1)
        counts[..., 0] = self.shown.to(rows)[:, None] - counts.sum(-1, dtype=rows.dtype)
        return counts

    def cut(self: A, units: slice) -> A:
        """Return the counts of some consecutive units; the memory is shared."""
        own = type(self).__new__(type(self))
        own.levels, own.known, own._order, own._shown = self.levels[units], self.known, self._order, self._shown
        own._bins, own._table = Bins.between(own.levels), self._table[..., self._bins.columns(units)]
        return own

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W]) of one batch."""
        features, labels = batch
        check_maps(features, len(self.levels), len(labels))
        numbered = index_labels(labels, self.levels.shape[1] + 1)
        count_pixels(self.levels, features, numbered, [self.taking(numbered)])

    def taking(self, labels: Combinations) -> Take:
        """Return what takes in the counts of a batch; makes room for its concepts, and adds what shows them."""
        if int(labels.concepts[-1]) >= int(self.known):
            raise BadValue(
                f"label {int(labels.concepts[-1])} is none of {int(self.known)} concepts; give the labels' vocabulary"
            )
        rows = self._rows(labels.concepts.cpu())
        self._shown[:, rows] += labels.both_shown.cpu()
        if self._table.is_cuda:
            return self._taking_on_device(rows)
        begins, table = self._bins.begins.numpy(), self._table.numpy()

        def take(found: UnitRows) -> None:
            add_kept(*found, rows.numpy(), begins, table)

        return take

    def _taking_on_device(self, rows: Tensor) -> Take:
        rows, table, kept = rows.to(self.levels.device), self._table, self._bins.kept.to(self.levels.device)
        begins = self._bins.begins.tolist()

        def take(unit: int, counts: Tensor) -> None:
            own = slice(begins[unit], begins[unit + 1])
            for kind, found in zip(table, counts, strict=True):
                kind[:, own].index_add_(0, rows, found[:, kept[own]].to(table.dtype))

        return take

    def _rows(self, concepts: Tensor) -> Tensor:
        new = concepts[~torch.isin(concepts, self._order)]
        if len(new):
            self._order = torch.cat([self._order, new])
            self._shown = torch.nn.functional.pad(self._shown, (0, len(new)))
            if len(self._order) > self._table.shape[1]:
                rows = max(len(self._order), int(GROWTH * self._table.shape[1]))
                if not self._table.is_cuda:
                    rows = max(rows, SPARE // (2 * self._table.element_size() * max(1, self._table.shape[2])))
                table = self._rows_of(min(rows, int(self.known)), self._table.dtype)
                table[:, : self._table.shape[1]] = self._table
                self._table = table
        by_concept = self._order.argsort()
        return by_concept[torch.searchsorted(self._order[by_concept], concepts)]

    def merge(self: A, other: A) -> A:
        """Return the counts of both samples, with a row for each concept that either has."""
        fits = type(self) is type(other) and self.levels.shape == other.levels.shape and bool(self.known == other.known)
        if not fits:
            raise BadValue(f"a {type(other).__name__} of another shape cannot be merged into a {type(self).__name__}")
        concepts = torch.unique(torch.cat([self._order, other._order]))
        pixels = sum(int(each._shown[0, 0]) for each in (self, other))
        types = (counter_type(pixels), self._table.dtype, other._table.dtype)
        merged = type(self).__new__(type(self))
        levels = require_equal(self.levels, other.levels)
        merged._begin(levels, self.known, concepts, torch.int64 if torch.int64 in types else torch.int32)
        for each in (self, other):
            rows = torch.searchsorted(concepts, each._order)
            merged._shown[:, rows] += each._shown
            own = each._table[:, : len(rows)].to(merged._table.dtype)
            merged._table.index_add_(1, rows.to(own.device), own)
        return merged

    @classmethod
    def from_state(cls: type[A], state: Mapping[str, Tensor]) -> A:
        """Build it from what `state_dict` returned, or what that of an older version did."""
        self = cls.__new__(cls)
        self.levels, self.known, self._order = (state[name] for name in ("levels", "known", "concepts"))
        self._bins = Bins.between(self.levels)
        if "counts" in state:  # of all bins, integer [2, u, c, l + 1]
            counts = state["counts"]
            if counts.ndim != 4 or counts.shape[1::2] != (len(self.levels), self.levels.shape[1] + 1):
                raise ValueError("a table of other units and bins")
            self._shown = counts[:, 0].sum(-1, dtype=torch.long)
            self._table = counts[:, self._bins.units, :, self._bins.kept].permute(1, 2, 0).contiguous()
        else:
            self._shown, self._table = state["shown"], state["kept"]
        shape = (2, len(self._order), len(self._bins.kept))
        if self._table.shape != shape or self._shown.shape != shape[:2]:
            raise ValueError("a table whose rows are of other concepts")
        return self
