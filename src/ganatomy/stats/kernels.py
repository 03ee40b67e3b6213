"""The inner loops of dissection on a CPU, compiled.

Every activation of every unit at every pixel passes through here, so a nanosecond more is a minute more. Three ideas
make it cheap, and all of them are exact:

* **One histogram instead of a hundred masks.** A pixel falls in one bin between two levels; how many pixels lie above
  a level, with a concept or without, is a sum over bins taken once at the end.
* **A grid in front of the levels.** A unit's range is cut into equal cells, most of which hold no level: the pixel's
  cell tells its bin. Only the few pixels whose cell holds a level, or is next to one, are compared with levels.
* **Float32 where it cannot matter.** The cell is found in float32; a pixel whose bin could hang on a rounding error is
  one of those few, and its value is computed in float64.

Labels arrive as *combinations*: the distinct tuples of labels over all planes, numbered per batch. A pixel costs one
increment however many planes there are.
"""

from typing import no_type_check

import numpy as np
from numba import njit, uint32

CELLS = 1 << 15
OPEN = 128
"""Marks a cell that holds a level, or is next to one: the bin is the rest, or above."""
REACH = np.float32(2.0**-20)
"""Sixteen float32 steps, relative to a map's greatest magnitude: above the error of two nested interpolations."""
WALL = np.float32(0.25)
"""A level this near to a cell's wall, in cells, opens the next cell too."""


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def count_unit(features, u, reach, axes, grid, levels, pixels, partners, counts, partner_counts):  # pragma: no cover
    """Add one unit's pixels to the counts of (combination, bin), for the pictures and for mismatched pictures.

    Args:
        features: float32 [b, units, h, w]; `u` is the unit to count.
        reach: float32 [b, units] each: the least value and the greatest magnitude of every map.
        axes: (low uint32, weight float64) of the resampling of rows and of columns, see `bilinear_axis`.
        grid: (start float32, scale float32, bin uint8 [cells + 1]): cell 0 is at or below the start, cell 1 + i holds
            the values that are i to i + 1 cells above it; `OPEN` plus the least possible bin, if that is all it tells.
        levels: float64 [l], ascending, distinct; the start is the first of them, rounded down.
        pixels, partners: uint32 [b, H*W], first index of the pixel's combination in the counts.
        counts, partner_counts: uint32, flat [combinations, l + 1].
    """
    batch, _, h, w = features.shape
    rows, columns = axes
    H, W = rows[0].shape[0], columns[0].shape[0]
    same_size = h == H and w == W
    start, scale, known = grid
    bin_of = known.copy()
    top, zero = np.float32(bin_of.shape[0] - 2), np.float32(0)
    wide = np.empty((h, W), np.float32)
    cell = np.empty(W, np.uint32)
    for b in range(batch):
        plane = features[b, u]
        # A map that is nowhere negative is 0 after interpolation only where it was: then "at the start" is sure.
        sure = same_size or (start == zero and reach[0][b, u] >= zero)
        bin_of[0] = known[0] if sure else OPEN
        if not same_size:
            _widen(plane, columns, wide)
        blurred = (not same_size) and REACH * reach[1][b, u] * scale > WALL
        lines = plane if same_size else wide
        for y in range(H):
            upper, lower = lines[rows[0][y]], lines[min(rows[0][y] + uint32(1), uint32(h - 1))]
            a = np.float32(rows[1][y])
            for x in range(W):
                value = upper[x] + a * (lower[x] - upper[x])
                above = uint32(np.int32(min(max((value - start) * scale, zero), top)))
                cell[x] = above + uint32(value > start)
            here, there = pixels[b, y * W : (y + 1) * W], partners[b, y * W : (y + 1) * W]
            if blurred:
                cell[:] = uint32(1)  # which holds the first level, so is open
            for x in range(W):
                k = bin_of[cell[x]]
                if k >= OPEN:
                    value = _exact(plane, rows, columns, y, x)
                    k -= OPEN
                    while k < levels.shape[0] and value > levels[k]:
                        k += 1
                counts[here[x] + k] += uint32(1)
                partner_counts[there[x] + k] += uint32(1)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def _widen(plane, columns, wide):  # pragma: no cover
    """Resample the columns of a map [h, w] in float32 to [h, W]."""
    low, weight = columns
    last = uint32(plane.shape[1] - 1)
    for y in range(plane.shape[0]):
        for x in range(low.shape[0]):
            left = plane[y, low[x]]
            wide[y, x] = left + np.float32(weight[x]) * (plane[y, min(low[x] + uint32(1), last)] - left)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def _exact(plane, rows, columns, y, x):  # pragma: no cover
    """Return the value of a resampled map at one pixel, in float64."""
    top, left = rows[0][y], columns[0][x]
    bottom = min(top + uint32(1), uint32(plane.shape[0] - 1))
    right = min(left + uint32(1), uint32(plane.shape[1] - 1))
    upper, lower = np.float64(plane[top, left]), np.float64(plane[bottom, left])
    upper += columns[1][x] * (np.float64(plane[top, right]) - upper)
    lower += columns[1][x] * (np.float64(plane[bottom, right]) - lower)
    return upper + rows[1][y] * (lower - upper)


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def spread(counts, full_bin, starts, members, table):  # pragma: no cover
    """Add the counts of combinations to the concepts that they consist of.

    Args:
        counts: uint32 [combinations, levels + 1] of one unit.
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
def resample_unit(maps, axes, out):  # pragma: no cover
    """Write one unit's maps [b, h, w], resampled in float64, to out [b, H, W]; axes as for `count_unit`."""
    (row_low, row_weight), (low, weight) = axes
    h, w = maps.shape[1:]
    wide = np.empty((h, out.shape[2]), np.float64)
    for b in range(maps.shape[0]):
        for y in range(h):
            for x in range(wide.shape[1]):
                left = np.float64(maps[b, y, low[x]])
                wide[y, x] = left + weight[x] * (np.float64(maps[b, y, min(low[x] + uint32(1), uint32(w - 1))]) - left)
        for y in range(out.shape[1]):
            upper, lower = wide[row_low[y]], wide[min(row_low[y] + uint32(1), uint32(h - 1))]
            for x in range(wide.shape[1]):
                out[b, y, x] = upper[x] + row_weight[y] * (lower[x] - upper[x])


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check  # the test run must not wrap what is compiled
def order_statistics(values, ranks, cells):  # pragma: no cover
    """Return the values of the given ascending ranks (0 = least) among float64 values, exactly.

    The range is cut into at most 65536 equal cells; only the values in cells that hold a wanted rank are sorted. Values
    equal to the least one, of which a ReLU makes many, are only counted.
    """
    low, high = values[0], values[0]
    for v in values:
        low, high = min(low, v), max(high, v)
    scale = (cells - 1) / (high - low) if high > low else 0.0
    place = np.empty(values.shape[0], np.uint16)
    size = np.zeros(cells + 1, np.int64)
    least = 0
    for i in range(values.shape[0]):
        place[i] = np.uint16((values[i] - low) * scale)
        size[place[i] + 1] += values[i] > low
        least += values[i] == low
    first = np.cumsum(size) + least
    wanted = np.zeros(cells, np.bool_)
    for rank in ranks[ranks >= least]:
        wanted[np.searchsorted(first, rank, side="right") - 1] = True
    kept = np.empty(size[1:][wanted].sum(), np.float64)
    n = 0
    for i in range(values.shape[0]):
        if wanted[place[i]] and values[i] > low:
            kept[n] = values[i]
            n += 1
    kept.sort()
    before = np.cumsum(np.where(wanted, size[1:], 0)) - np.where(wanted, size[1:], 0)
    out = np.full(ranks.shape[0], low)
    for i in range(ranks.shape[0]):
        if ranks[i] >= least:
            c = np.searchsorted(first, ranks[i], side="right") - 1
            out[i] = kept[before[c] + ranks[i] - first[c]]
    return out
