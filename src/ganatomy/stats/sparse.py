"""Counting maps that are 0 almost everywhere, such as the features of a sparse autoencoder.

A pixel between four zeros of the grid is exactly 0, and in the lowest bin, which nobody counts (see `rows`). So only
*strips* are looked at: squares between four points of the grid that are not all 0, those of a row that follow each
other as one. Time grows with the entries that are not 0. A value is computed in float64, in the order of `value_at`, so
counts are those of the other loops.
"""

from typing import Any, no_type_check

import numpy as np
import numpy.typing as npt
from numba import njit, uint32

from ganatomy.stats.combinations import Combinations, Numbers, numbers
from ganatomy.stats.crossings import lay_cells

SPARSE = 0.2
"""Up to this share of pixels that may not be 0 a unit is counted by strips."""
CELLS = 256
MAGNITUDE = np.int32(0x7FFFFFFF)
"""The bits of a float32 that are all 0 in 0 and in -0."""

compiled = njit(nogil=True, cache=True, error_model="numpy")


def edges(low: Numbers, points: int) -> npt.NDArray[np.int64]:
    """Return where the pixels begin that follow each point of an axis of the grid, and where the last ones end."""
    return np.searchsorted(low, np.arange(points + 1)).astype(np.int64)


def laid_out(labels: Combinations) -> tuple[npt.NDArray[Any], ...]:
    """Return the labels of a batch as `count_sparse` reads them.

    Returns:
        Where in the counts the combination of each pixel begins, uint32 [b, H*W]; for each pixel the first of its rows
        below, int32 [b * H*W + 1], -1 for none; places, ascending, and where the counts of further rows of them begin,
        uint32 [n]; and starts and members of combinations.
    """
    pixels, places = labels.arrays[0], labels.places.numpy()
    first = np.full(pixels.size + 1, -1, np.int32)
    first[places[::-1]] = np.arange(len(places), dtype=np.int32)[::-1]
    return pixels, first, places, numbers(labels.rows), numbers(labels.starts), numbers(labels.members)


def room(labels: Combinations, points: int) -> tuple[npt.NDArray[Any], ...]:
    """Return what `count_sparse` works in, for maps of so many points.

    Returns:
        Strips; counts by combination, and which of them are used; rows by concept; places and bins of a strip.
    """
    concepts = np.full((2, len(labels.concepts)), -1, np.int64)
    counts = np.zeros((2, labels.count * labels.bins), np.uint32)
    strip = (np.empty(labels.pixels.shape[1], np.uint32) for _ in range(2))
    return np.empty((points, 4), np.int64), counts, np.empty((2, labels.count), np.int64), concepts, *strip


@compiled
@no_type_check  # the test run must not wrap what is compiled
def count_sparse(features, units, axes, cut, levels, begins, kept, labels, room, rows, dense):  # pragma: no cover
    """Write the rows of counts of the first of some units, as many as there is room for.

    Args:
        features, axes: as for `count_unit`.
        units: int64, which to count.
        cut: `edges` of the rows and of the columns.
        levels: float64 [units of the features, l].
        begins, kept: see `Bins`.
        labels, room: see `laid_out` and `room`.
        rows: to be written, see `UnitRows`.
        dense: int64, to be written: those of the units that have too many strips, and have no rows.

    Returns:
        How many units were looked at, how many rows they have, and how many are in `dense`.
    """
    strips, concepts = room[0], room[3]
    done, filled, left_out = 0, 0, 0
    while done < units.shape[0] and filled + concepts.size <= rows[0].shape[0]:
        u = units[done]
        found = find_strips(features, u, cut, strips) if levels[u, 0] >= 0 else -1
        if found < 0:
            dense[left_out] = u
            left_out += 1
        elif found:
            bins = kept[begins[u] : begins[u + 1]]
            used = _count_strips(features, u, axes, cut, levels[u], bins, labels, room, found)
            filled = _collect(u, 1 + bins.shape[0], labels, room, used, rows, filled)
        done += 1
    return done, filled, left_out


@compiled
@no_type_check  # the test run must not wrap what is compiled
def find_strips(features, u, cut, strips):  # pragma: no cover
    """Write the strips of a unit that are not all 0; return how many, or -1 if they are too many to pay.

    Args:
        features: float32 [b, units, h, w]; `u` is the unit.
        cut: `edges` of the rows and of the columns.
        strips: int64 [b * h * w, 4], image, row, first column, and the one after the last of each.
    """
    batch, _, h, w = features.shape
    bits, either = features.view(np.int32), np.empty(w + 1, np.int32)  # whole numbers become vectors
    down, right = cut
    most = SPARSE * batch * down[h] * right[w]
    found, pixels = 0, 0
    for b in range(batch):
        plane = bits[b, u]
        before = _any(plane[0])
        for y in range(h):
            below = min(y + 1, h - 1)
            here, before = before, _any(plane[below])
            if not (here or before) or down[y] == down[y + 1]:
                continue
            for x in range(w):
                either[x] = (plane[y, x] | plane[below, x]) & MAGNITUDE
            either[w] = either[w - 1]
            x = 0
            while x < w:
                if not either[x] | either[x + 1]:
                    x += 1
                    continue
                strips[found, 0], strips[found, 1], strips[found, 2] = b, y, x
                while x < w and either[x] | either[x + 1]:
                    x += 1
                strips[found, 3] = x
                pixels += (down[y + 1] - down[y]) * (right[x] - right[strips[found, 2]])
                found += 1
        if pixels > most:
            return -1
    return found


@compiled
@no_type_check  # the test run must not wrap what is compiled
def values_in_strips(features, u, axes, cut, strips):  # pragma: no cover
    """Return whether a unit has few strips that are not all 0, and its resampled activations in them, float64.

    Args:
        features, u, cut, strips: as for `find_strips`.
        axes: as for `count_unit`.
    """
    found = find_strips(features, u, cut, strips)
    pixels = 0
    for s in range(found):
        _, top, first, end = strips[s]
        pixels += (cut[0][top + 1] - cut[0][top]) * (cut[1][end] - cut[1][first])
    values, n = np.empty(pixels), 0
    width = axes[1][0].shape[0]
    upper, lower = np.empty(width), np.empty(width)
    for s in range(found):
        b, top, first, end = strips[s]
        begin, end = cut[1][first], cut[1][end]
        _widen_strip(features[b, u], top, axes[1], begin, end, upper, lower)
        for y in range(cut[0][top], cut[0][top + 1]):
            for x in range(begin, end):
                values[n] = upper[x] + axes[0][1][y] * (lower[x] - upper[x])
                n += 1
    return found >= 0, values


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _any(bits):  # pragma: no cover
    """Say whether one of some float32, given as their bits, is not 0."""
    found = np.int32(0)
    for x in range(bits.shape[0]):
        found |= bits[x]
    return (found & MAGNITUDE) != 0


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _count_strips(features, u, axes, cut, levels, bins, labels, room, found):  # pragma: no cover
    """Count the pixels of some strips by combination and bin; return how many combinations of each kind have any.

    Only the bins that are kept are counted, from column 1 on; column 0 marks that a combination has any.
    """
    pixels = labels[0]
    strips, counts, used, _, places, found_bins = room
    cuts = np.full(bins.shape[0] + 1, np.inf)
    for i in range(bins.shape[0]):
        cuts[i] = levels[bins[i] - 1]
    below = np.empty(CELLS + 1, np.uint8)
    start, scale = lay_cells(cuts[:-1], below)
    width, even = axes[1][0].shape[0], pixels.shape[0] // 2 * 2
    last = uint32(counts.shape[1] - levels.shape[0] - 1)
    upper, lower, values, cells = np.empty(width), np.empty(width), np.empty(width), np.empty(width, np.int32)
    n, m = 0, 0
    for s in range(found):
        b, top = strips[s, 0], strips[s, 1]
        begin, end = cut[1][strips[s, 2]], cut[1][strips[s, 3]]
        _widen_strip(features[b, u], top, axes[1], begin, end, upper, lower)
        above = 0
        for y in range(cut[0][top], cut[0][top + 1]):
            weight = axes[0][1][y]
            for x in range(begin, end):  # a loop of its own becomes vectors
                value = values[x] = upper[x] + weight * (lower[x] - upper[x])
                cells[x] = np.int32(min(max((value - start) * scale, 0.0), CELLS - 1.0))
            for x in range(begin, end):
                value, k = values[x], np.int64(below[min(uint32(cells[x]), uint32(CELLS - 1))])  # of NaN it is any
                k += value > cuts[k]  # one more at most, nearly always
                while value > cuts[k]:
                    k += 1
                places[above] = y * width + x
                found_bins[above] = k
                above += k > 0
        n = _count(b, places, found_bins, above, labels, last, counts[0], used[0], n)
        if b < even:
            m = _count(b ^ 1, places, found_bins, above, labels, last, counts[1], used[1], m)
    return n, m


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _count(b, places, bins, above, labels, last, counts, used, n):  # pragma: no cover
    """Count some pixels of an image; return how many combinations have any, of which there were n."""
    pixels, first, apart, rows, _, _ = labels
    before = last
    for i in range(above):
        row, k = pixels[b, places[i]], bins[i]
        if row != last:
            if row != before and not counts[row]:
                counts[row] = 1
                used[n] = row
                n += 1
            before = row
            counts[row + k] += uint32(1)
            continue
        place = np.int64(places[i]) + b * pixels.shape[1]
        at = np.int64(first[place])
        while at >= 0 and at < apart.shape[0] and apart[at] == place:
            row = rows[at]
            if not counts[row]:
                counts[row] = 1
                used[n] = row
                n += 1
            counts[row + k] += uint32(1)
            at += 1
    return n


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _widen_strip(plane, top, columns, begin, end, upper, lower):  # pragma: no cover
    """Write the values on the upper and lower side of a strip, at its columns of pixels."""
    low, weight = columns
    bottom, last = min(top + 1, plane.shape[0] - 1), plane.shape[1] - 1
    for x in range(begin, end):
        left = np.int64(low[x])
        right = min(left + 1, last)
        a, b = np.float64(plane[top, left]), np.float64(plane[top, right])
        c, d = np.float64(plane[bottom, left]), np.float64(plane[bottom, right])
        upper[x] = a + weight[x] * (b - a)
        lower[x] = c + weight[x] * (d - c)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _collect(u, columns, labels, room, used, rows, filled):  # pragma: no cover
    """Add the counts of combinations to rows of concepts, from row `filled` on, and clear them; return the next row.

    Rows of a unit have so many columns.
    """
    starts, members = labels[4], labels[5]
    _, counts, combinations, concepts, _, _ = room
    units, kinds, places, table = rows
    begin, width = filled, table.shape[1]
    for kind in range(2):
        for i in range(used[kind]):
            row = combinations[kind, i]
            own = counts[kind, row : row + columns]
            for m in range(starts[row // width], starts[row // width + 1]):
                place = members[m]
                at = concepts[kind, place]
                if at < 0:
                    at = concepts[kind, place] = filled
                    units[at], kinds[at], places[at] = u, kind, place
                    table[at, :columns] = 0
                    filled += 1
                out = table[at, :columns]
                for j in range(columns):
                    out[j] += own[j]
            own[:] = 0
    for at in range(begin, filled):
        concepts[kinds[at], places[at]] = -1
    return filled
