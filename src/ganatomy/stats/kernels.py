"""The inner loops of dissection on a CPU, compiled.

Every activation of every unit at every pixel passes through here. Four things make it fast, and all of them are exact:

* A pixel falls in one bin between two levels; counts above each level are sums over bins taken once at the end.
* A unit's range is cut into equal cells, most of which hold no level: the cell of a pixel determines its bin. Only
  pixels whose cell holds a level, or is next to one, are compared with levels.
* Maps are resampled in float32; where a bin could depend on a rounding error, the value is computed in float64.
* The control swaps the labels of two images, so both are read once for four increments.

Labels arrive as the distinct tuples of labels over all planes, so a pixel costs one increment for any number of planes.
"""

from typing import no_type_check

import numpy as np
from numba import njit, uint32

from ganatomy.stats.crossings import count_patches, patches_pay, value_at

CELLS = 1 << 14
OPEN = 128
"""Marks a cell that holds a level, or is next to one: the bin is the rest, or above."""
ROUNDING = np.float32(1.01 * 2.0**-20)
"""What scaling and two nested interpolations can be wrong by, relative to a map's greatest magnitude: 16 roundings."""
WALL = np.float32(0.125)
"""A level this near to a cell's wall, in cells, opens the next cell too."""

APART = 30.0
"""Nanoseconds that a pixel apart takes where no bins are at hand."""

compiled = njit(nogil=True, cache=True, error_model="numpy")


@compiled
@no_type_check  # the test run must not wrap what is compiled
def count_unit(features, u, axes, levels, pixels, apart, patches, counts):  # pragma: no cover
    """Add one unit's pixels to the counts of (combination, bin), for the images and for mismatched images.

    Args:
        features: float32 [b, units, h, w]; `u` is the unit to count.
        axes: (low uint32, weight float64) of the resampling of rows and of columns, see `bilinear_axis`.
        levels: float64 [l], ascending.
        pixels: uint32 [b, H*W], where in the counts the combination of each pixel begins.
        apart: for the images and for mismatched images: (places uint32 [n], rows uint32 [n]), further pixels of
            the batch and what to count each as.
        patches: what `lay_patches` made of the same pixels.
        counts: uint32 [2, rows, l + 1].
    """
    others = APART * (apart[0][0].size + apart[1][0].size) + counts.size
    if patches_pay(features, u, axes, levels, patches, others):
        count_patches(features, u, axes, levels, patches, counts)
        for n in range(2):
            _count_apart(features, u, axes, levels, apart[n], counts[n].reshape(-1))
        return
    bins = np.empty(pixels.shape, np.uint8)
    find_bins(features, u, axes, levels, bins)
    flat = bins.reshape(-1)
    matched, mismatched = counts[0].reshape(-1), counts[1].reshape(-1)
    for b in range(0, bins.shape[0] - 1, 2):
        here, there = pixels[b], pixels[b + 1]
        own, other = bins[b], bins[b + 1]
        for p in range(here.shape[0]):
            i, j, k, m = here[p], there[p], uint32(own[p]), uint32(other[p])
            matched[i + k] += uint32(1)
            matched[j + m] += uint32(1)
            mismatched[j + k] += uint32(1)
            mismatched[i + m] += uint32(1)
    for n in range(2):
        places, rows = apart[n]
        table = counts[n].reshape(-1)
        for i in range(places.shape[0]):
            table[rows[i] + flat[places[i]]] += uint32(1)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _count_apart(features, u, axes, levels, apart, table):  # pragma: no cover
    """Add single pixels of a unit to a flat table, given where they are and where their counts begin."""
    places, rows = apart
    width = axes[1][0].shape[0]
    area = axes[0][0].shape[0] * width
    for n in range(places.shape[0]):
        image, place = np.int64(places[n]) // area, np.int64(places[n]) % area
        value = value_at(features[image, u], axes, place // width, place % width)
        table[rows[n] + np.searchsorted(levels, value)] += uint32(1)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def find_bins(features, u, axes, levels, bins):  # pragma: no cover
    """Write how many levels each pixel of a unit's resampled maps is above, to bins uint8 [b, H*W]."""
    rows, columns = axes
    batch, _, h, w = features.shape
    H, W = rows[0].shape[0], columns[0].shape[0]
    same_size = h == H and w == W and not rows[1].any() and not columns[1].any()  # else it is shifted
    known = np.empty(CELLS + 3, np.uint8)
    start, scale = _lay_grid(levels, known)
    small, wide, cell = np.empty((h, w), np.float32), np.empty((h, W), np.float32), np.empty(W, np.uint32)
    for b in range(batch):
        plane = features[b, u]
        _scale(plane, start, scale, small)
        lines = _widen(small, columns, wide)
        least, greatest = (np.float32(0), np.float32(0)) if same_size else _range(small)
        blurred = max(-least, greatest) * ROUNDING > WALL
        # A map that is nowhere negative is 0 after interpolation only where it was: then "at the start" is sure.
        exact = same_size or (start == 0 and least >= 0 and not blurred)
        known[0] = 0 if exact and start == levels[0] and scale >= 1 else OPEN
        for y in range(H):
            _find_cells(lines, rows, y, CELLS + 2, cell)
            if blurred:
                cell[:] = 0  # which is open then, and tells nothing
            out = bins[b, y * W : (y + 1) * W]
            for x in range(W):
                k = known[cell[x]]
                if k >= OPEN:
                    value = value_at(plane, axes, y, x)
                    k -= OPEN
                    while k < levels.shape[0] and value > levels[k]:
                        k += 1
                out[x] = k


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _lay_grid(levels, known):  # pragma: no cover
    """Cut the range of the levels into cells; return its start and the cells in a unit of activation.

    Cell 0 is at or below the start, cell i the values that are i - 1 to i cells above it. Writes the number of levels
    below each cell to `known`, and opens the cells that a level lies in or next to.
    """
    start = np.float32(levels[0])
    if start > levels[0]:
        start = np.nextafter(start, np.float32(-np.inf))
    scale = np.float32(CELLS / (levels[-1] - start))
    if not 0 < scale < np.inf:
        scale = np.float32(1)
    place = np.minimum((levels - start) * scale, CELLS + 1)
    done = 0
    for k in range(levels.shape[0]):
        above = np.int64(np.ceil(place[k] + WALL)) + 1
        known[done:above] = k
        if done < above:
            done = above
    known[done:] = levels.shape[0]
    for k in range(levels.shape[0]):
        known[np.int64(np.ceil(max(place[k] - WALL, 0.0)))] |= OPEN
        known[np.int64(np.ceil(place[k] + WALL))] |= OPEN
    return start, scale


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _scale(plane, start, scale, out):  # pragma: no cover
    """Write a map in cells above the start; what is very far away is brought nearer, so that differences are finite."""
    far = np.float32(1e30)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            out[y, x] = min(max((plane[y, x] - start) * scale, -far), far)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _range(plane):  # pragma: no cover
    least, greatest = plane[0, 0], plane[0, 0]
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            least, greatest = min(least, plane[y, x]), max(greatest, plane[y, x])
    return least, greatest


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _widen(plane, columns, wide):  # pragma: no cover
    """Resample the columns of a map [h, w] in float32 to [h, W]; return the map itself where it is read as it is."""
    low, weight = columns
    if plane.shape[1] == wide.shape[1] and not weight.any():
        return plane
    last = uint32(plane.shape[1] - 1)
    for x in range(low.shape[0]):
        left, right, a = low[x], min(low[x] + uint32(1), last), np.float32(weight[x])
        for y in range(plane.shape[0]):
            wide[y, x] = plane[y, left] + a * (plane[y, right] - plane[y, left])
    return wide


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _find_cells(lines, rows, y, top, cell):  # pragma: no cover
    """Write the cells of one row of a resampled map, whose scaled and widened lines are given; at most `top`.

    The second limit is for NaN, whose cell could be anything: the counts are worthless then, but no memory is spoilt.
    """
    low, weight = rows
    upper, lower = lines[low[y]], lines[min(low[y] + uint32(1), uint32(lines.shape[0] - 1))]
    a, zero, most = np.float32(weight[y]), np.float32(0), np.float32(top)
    for x in range(upper.shape[0]):
        value = upper[x] + a * (lower[x] - upper[x])
        cell[x] = min(uint32(np.int32(np.ceil(min(max(value, zero), most)))), uint32(top))


@compiled
@no_type_check  # the test run must not wrap what is compiled
def sort_out(features, u, axes, grid, collected, kept):  # pragma: no cover
    """Return how many of a unit's resampled activations each cell holds; or collect those of some cells, exactly.

    Args:
        features, u, axes: as for `count_unit`.
        grid: (start float32, scale float32): cell 0 is the start, cell i what is i - 1 to i cells above it.
        collected: bool [cells], those to collect.
        kept: float64, to be filled with the values of those cells; empty to count instead.
    """
    start, scale = grid
    rows, columns = axes
    H, W = rows[0].shape[0], columns[0].shape[0]
    batch, _, h, w = features.shape
    small, wide, cell = np.empty((h, w), np.float32), np.empty((h, W), np.float32), np.empty(W, np.uint32)
    size = np.zeros(collected.shape[0], np.uint32)
    n, collects = 0, kept.shape[0] > 0
    for b in range(batch):
        plane = features[b, u]
        _scale(plane, start, scale, small)
        lines = _widen(small, columns, wide)
        for y in range(H):
            _find_cells(lines, rows, y, collected.shape[0] - 1, cell)
            for x in range(W):
                if not collects:
                    size[cell[x]] += uint32(1)
                elif collected[cell[x]]:
                    kept[n] = value_at(plane, axes, y, x)
                    n += 1
    return size


@compiled
@no_type_check  # the test run must not wrap what is compiled
def add_rows(counts, starts, members, table):  # pragma: no cover
    """Add the counts of combinations to the rows of the concepts that they consist of.

    Args:
        counts: uint32 [rows, bins] of one unit.
        starts, members: uint32; row k is added to the rows ``members[starts[k]:starts[k+1]]``.
        table: integer [concepts, bins].
    """
    for k in range(starts.shape[0] - 1):
        row = counts[k]
        for m in range(starts[k], starts[k + 1]):
            out = table[members[m]]
            for j in range(row.shape[0]):
                out[j] += row[j]
