"""The inner loops of dissection on a CPU, compiled.

Every activation of every unit at every pixel passes through here, so a nanosecond more is a minute more. Three ideas
make it cheap, and all of them are exact:

* **One histogram instead of a hundred masks.** A pixel falls in one bin between two levels; how many pixels lie above
  a level, with a concept or without, is a sum over bins taken once at the end.
* **A grid in front of the levels.** A unit's range is cut into equal cells, so fine that none holds two levels. A
  pixel's cell gives the number of levels below it; one comparison with the level inside the cell, if any, settles it.
* **Float32 with a guard.** Features are interpolated in float32; a row with a value too close to a level to be sure is
  counted again in float64.

Labels arrive as *combinations*: the distinct tuples of labels over all planes, numbered per batch. A pixel costs one
increment however many planes there are.
"""

from typing import no_type_check

import numpy as np
import numpy.typing as npt
from numba import njit, uint32

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U32 = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.uint32]

GUARD = np.float32(2.0**-20)
"""Sixteen float32 steps, relative to the map's greatest magnitude: above the error of two nested interpolations."""
WALL = np.float32(0.25)
"""How near to a cell's wall, in cells, a level counts as lying in the next cell too."""


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def count_unit(
    features, u, reach, rows, columns, grid, levels, cells, partner_cells, counts, partner_counts
):  # pragma: no cover
    """Add one unit's pixels to the counts of (combination, bin), for the pictures and for mismatched pictures.

    Args:
        features: float32 [b, units, h, w]; `u` is the unit to count.
        reach: (least, greatest magnitude) of each map, float32 [b, units].
        rows, columns: (low uint32, weight float32, weight float64) of the resampling of each axis.
        grid: (start float32, scale float32, below uint8 [cells], edge float32 [cells]), see `cell_grid`.
        levels: float64 [l], ascending, distinct.
        cells, partner_cells: uint32 [b, H*W], first index of the pixel's combination in the counts.
        counts, partner_counts: uint32 [combinations * stride].
    """
    batch, _, h, w = features.shape
    least, magnitude = reach
    start, scale, below, edge = grid
    row_low, row_weight, _ = rows
    column_low, column_weight, _ = columns
    H, W = row_low.shape[0], column_low.shape[0]
    last = np.float32(below.shape[0] - 1)
    zero = np.float32(0)
    line = np.empty(w + 1, np.float32)
    value = np.empty(W, np.float32)
    cell = np.empty(W, np.uint32)
    gap = np.empty(W, np.float32)
    interpolated = h != H or w != W
    for b in range(batch):
        plane = features[b, u]
        unsure = GUARD * magnitude[b, u] if interpolated else zero
        cancels = least[b, u] < 0
        unsure_everywhere = unsure * scale > WALL
        for y in range(H):
            upper, lower = plane[row_low[y]], plane[min(row_low[y] + uint32(1), uint32(h - 1))]
            a = row_weight[y]
            for x in range(w):
                line[x] = upper[x] + a * (lower[x] - upper[x])
            line[w] = line[w - 1]
            if interpolated:
                for x in range(W):
                    left = line[column_low[x]]
                    value[x] = left + column_weight[x] * (line[column_low[x] + uint32(1)] - left)
            else:
                value[:] = line[:w]
            for x in range(W):
                cell[x] = uint32(np.int32(min(max((value[x] - start) * scale, zero), last)))
            here = cells[b, y * W : (y + 1) * W]
            there = partner_cells[b, y * W : (y + 1) * W]
            for x in range(W):
                c = cell[x]
                gap[x] = value[x] - edge[c]
                bin_ = below[c] + uint32(value[x] > edge[c])
                counts[here[x] + bin_] += uint32(1)
                partner_counts[there[x] + bin_] += uint32(1)
            doubts = np.int32(unsure_everywhere)
            if interpolated and cancels:
                for x in range(W):
                    doubts += np.int32(abs(gap[x]) < unsure)
            elif interpolated:
                for x in range(W):  # a zero in a map without negatives is sure
                    doubts += np.int32((abs(gap[x]) < unsure) & (value[x] > zero))
            if doubts:
                _recount_row(plane, y, rows, columns, grid, levels, value, here, there, counts, partner_counts)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def _recount_row(plane, y, rows, columns, grid, levels, value, here, there, counts, partner_counts):  # pragma: no cover
    """Move the pixels of one row to the bins that float64 puts them in."""
    h, w = plane.shape
    start, scale, below, edge = grid
    row_low, _, row_weight = rows
    column_low, _, column_weight = columns
    last = np.float32(below.shape[0] - 1)
    top, bottom = row_low[y], min(row_low[y] + uint32(1), uint32(h - 1))
    for x in range(value.shape[0]):
        c = uint32(np.int32(min(max((value[x] - start) * scale, np.float32(0)), last)))
        rough = below[c] + uint32(value[x] - edge[c] > np.float32(0))
        left, right = column_low[x], min(column_low[x] + uint32(1), uint32(w - 1))
        first = np.float64(plane[top, left])
        first += row_weight[y] * (np.float64(plane[bottom, left]) - first)
        second = np.float64(plane[top, right])
        second += row_weight[y] * (np.float64(plane[bottom, right]) - second)
        exact = uint32(np.searchsorted(levels, first + column_weight[x] * (second - first)))
        if exact != rough:
            counts[here[x] + rough] -= uint32(1)
            counts[here[x] + exact] += uint32(1)
            partner_counts[there[x] + rough] -= uint32(1)
            partner_counts[there[x] + exact] += uint32(1)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def spread(counts, full_bin, starts, members, table):  # pragma: no cover
    """Add the counts of combinations to the concepts that they consist of.

    Args:
        counts: uint32 [combinations, stride] of one unit.
        full_bin: int64 [distinct levels + 1], the bin among all levels, of which some may be equal.
        starts, members: combination k consists of the concepts ``members[starts[k]:starts[k+1]]``.
        table: integer [concepts, levels + 1], added to.
    """
    for k in range(starts.shape[0] - 1):
        for m in range(starts[k], starts[k + 1]):
            row = table[members[m]]
            for j in range(full_bin.shape[0]):
                row[full_bin[j]] += counts[k, j]


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def resample_unit(maps, rows, columns, out):  # pragma: no cover
    """Write one unit's maps [b, h, w], resampled in float64, to out [b, H, W]; axes are (low, weight) pairs."""
    w = maps.shape[2]
    line = np.empty(w + 1, np.float64)
    for b in range(maps.shape[0]):
        for y in range(out.shape[1]):
            top, bottom = rows[0][y], min(rows[0][y] + uint32(1), uint32(maps.shape[1] - 1))
            for x in range(w):
                first = np.float64(maps[b, top, x])
                line[x] = first + rows[1][y] * (np.float64(maps[b, bottom, x]) - first)
            line[w] = line[w - 1]
            for x in range(out.shape[2]):
                left = line[columns[0][x]]
                out[b, y, x] = left + columns[1][x] * (line[columns[0][x] + uint32(1)] - left)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def order_statistics(values, ranks, cells):  # pragma: no cover
    """Return the values of the given ascending ranks (0 = least) among float64 values, exactly.

    The range is cut into equal cells; only the values in cells that hold a wanted rank are sorted.
    """
    low, high = values.min(), values.max()
    if low == high:
        return np.full(ranks.shape[0], low)
    scale = (cells - 1) / (high - low)
    size = np.zeros(cells + 1, np.int64)
    for v in values:
        size[int((v - low) * scale) + 1] += 1
    first = np.cumsum(size)
    wanted = np.zeros(cells, np.bool_)
    for rank in ranks:
        wanted[np.searchsorted(first, rank, side="right") - 1] = True
    kept = np.empty(size[1:][wanted].sum(), np.float64)
    n = 0
    for v in values:
        if wanted[int((v - low) * scale)]:
            kept[n] = v
            n += 1
    kept.sort()
    out = np.empty(ranks.shape[0], np.float64)
    before = np.cumsum(np.where(wanted, size[1:], 0)) - np.where(wanted, size[1:], 0)
    for i in range(ranks.shape[0]):
        c = np.searchsorted(first, ranks[i], side="right") - 1
        out[i] = kept[before[c] + ranks[i] - first[c]]
    return out
