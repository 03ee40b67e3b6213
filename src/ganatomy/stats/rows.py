"""What counting a batch hands over: rows of counts by unit and concept, and the bins in which a unit can have any.

The lowest bin holds what is in none of the others, so nobody counts it: how many pixels show a concept is the same for
all units, and the rest follows. Where levels are equal, no value is between them: of a unit that is 0 on most pixels,
few bins are left. So neither time nor memory grows with pixels that are 0.
"""

from typing import NamedTuple, no_type_check

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from ganatomy.stats.combinations import Numbers

Ints = npt.NDArray[np.int64]

compiled = njit(nogil=True, cache=True, error_model="numpy")


class UnitRows(NamedTuple):
    """Pixels of a batch by bin, one row for each unit and concept that go together in it.

    Attributes:
        units: int64 [r].
        kinds: int64 [r], 0 for the images, 1 for mismatched images.
        places: int64 [r], of the concept among those of the batch; 0 stands for any pixel.
        counts: uint32 [r, bins]: from column 1 on, of the bins that `Bins` lists for the unit; the rest means nothing.
    """

    units: Ints
    kinds: Ints
    places: Ints
    counts: Numbers

    @classmethod
    def empty(cls, rows: int, bins: int) -> "UnitRows":
        """Return room for so many rows."""
        units, kinds, places = np.empty((3, rows), np.int64)
        return cls(units, kinds, places, np.empty((rows, bins), np.uint32))

    def first(self, rows: int) -> "UnitRows":
        """Return the first rows."""
        return UnitRows(self.units[:rows], self.kinds[:rows], self.places[:rows], self.counts[:rows])


class Bins(NamedTuple):
    """The bins that a value can be in, but the lowest, of all units one after the other.

    Attributes:
        begins: int64 [u + 1], where those of each unit begin.
        kept: int64 [n], ascending for each unit.
        units: int64 [n], whose each is.
    """

    begins: Tensor
    kept: Tensor
    units: Tensor

    @classmethod
    def between(cls, levels: Tensor) -> "Bins":
        """Return them, given levels [u, l], ascending for each unit; a value is in bin j if it is above j of them.

        >>> Bins.between(torch.tensor([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0]])).kept.tolist()
        [2, 3, 1, 2, 3]
        """
        levels = levels.cpu()
        apart = torch.cat([levels.diff(dim=1) > 0, torch.ones_like(levels[:, :1], dtype=torch.bool)], 1)
        units, kept = apart.nonzero(as_tuple=True)
        return cls(torch.cat([kept.new_zeros(1), apart.sum(1).cumsum(0)]), kept + 1, units)

    def above(self, levels: Tensor, count: int) -> Tensor:
        """Return the first of a unit's bins above a level, counted from 1, int16 [u, c]; 0 where there is no level.

        Args:
            levels: integer [u, c], index of a level of the unit; -1 for none.
            count: how many levels a unit has.
        """
        listed = torch.zeros(len(levels), count + 1, dtype=torch.int16)
        listed[self.units, self.kept] = 1
        first = listed.cumsum(1, dtype=torch.int16) + 1
        return torch.where(levels >= 0, first.gather(1, levels.long().clamp(min=0)), 0).short()

    def columns(self, units: slice) -> slice:
        """Return where the bins of some consecutive units are."""
        start, stop, _ = units.indices(len(self.begins) - 1)
        return slice(int(self.begins[start]), int(self.begins[stop]))


@compiled
@no_type_check  # the test run must not wrap what is compiled
def add_kept(units, kinds, places, counts, rows, begins, table):  # pragma: no cover
    """Add rows of counts to a table of the bins that are kept.

    Args:
        units, kinds, places, counts: see `UnitRows`.
        rows: int64 [concepts of the batch], the row of each in the table.
        begins: see `Bins`.
        table: integer [2, concepts, n].
    """
    for r in _by_concept(kinds, places, rows.shape[0]):  # neighbours in the table follow each other
        begin, end = begins[units[r]], begins[units[r] + 1]
        out, own = table[kinds[r], rows[places[r]], begin:end], counts[r]
        for i in range(out.shape[0]):
            out[i] += own[i + 1]


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _by_concept(kinds, places, concepts):  # pragma: no cover
    """Return the order of rows by kind and concept; those of one as they stand."""
    ends, order = np.zeros(2 * concepts + 1, np.int64), np.empty(kinds.shape[0], np.int64)
    for r in range(kinds.shape[0]):
        ends[kinds[r] * concepts + places[r] + 1] += 1
    for key in range(2 * concepts):
        ends[key + 1] += ends[key]
    for r in range(kinds.shape[0]):
        key = kinds[r] * concepts + places[r]
        order[ends[key]] = r
        ends[key] += 1
    return order


@compiled
@no_type_check  # the test run must not wrap what is compiled
def add_pairs(units, kinds, places, counts, columns, chosen, bins, tables, size):  # pragma: no cover
    """Add rows of counts to what is kept of pairs, see `PairCounts`.

    Args:
        units, kinds, places, counts: see `UnitRows`.
        columns: int64 [concepts of the batch], which of the scored concepts each is; -1 for none, 0 for any pixel.
        chosen: int16, the first bin above the level [u, c] and above the null level [u, c], among those of the unit
            and counted from 1, 0 for none; kept [u, k].
        bins: begins, kept: see `Bins`.
        tables: see `PairCounts`, of one block: both [2, u, c], null_both [u, c], bins [2, n], kept_bins [2, k, n] and
            group_bins [u, k', groups].
        size: bins of a group.
    """
    level, null_level, kept = chosen
    begins, listed = bins
    both, null_both, own_bins, kept_bins, groups = tables
    above = np.zeros(counts.shape[1] + 1, np.int64)
    for r in range(units.shape[0]):
        u, n, c = units[r], kinds[r], columns[places[r]]
        if c < 0:
            continue
        begin, end = begins[u], begins[u + 1]
        own = counts[r, 1 : 1 + end - begin]
        above[1 + own.shape[0]] = 0
        for j in range(own.shape[0], 0, -1):
            above[j] = above[j + 1] + own[j - 1]
        both[n, u, c] += above[level[u, c]] if level[u, c] else 0
        if n == 1:
            null_both[u, c] += above[null_level[u, c]] if null_level[u, c] else 0
        if c == 0:
            _add_bins(own, own_bins[n, begin:end])
        for k in range(kept.shape[1]):
            if c == kept[u, k]:
                _add_bins(own, kept_bins[n, k, begin:end])
                if n == 0 and k < groups.shape[1]:
                    for j in range(own.shape[0]):
                        groups[u, k, listed[begin + j] // size] += own[j]


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _add_bins(own, out):  # pragma: no cover
    for j in range(own.shape[0]):
        out[j] += own[j]
