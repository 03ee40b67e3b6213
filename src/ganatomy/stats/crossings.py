"""Counting maps that are much coarser than the labels: where rows cross levels, not what every pixel is.

Between two points of its grid a row of an upsampled map is a straight line. It crosses each level at most once, and
how many of its pixels are above the level follows from where: a line costs the same at 8 and at 64 pixels. Lines are
counted by patches of the labels (`patches`), between whose least and greatest value few levels lie, and eight levels at
a time (`abreast`). Crossings are computed to a 2¹⁹th of a pixel; where one is that near to a pixel's centre, or a line
is nearly level, the pixels themselves are computed.
"""

from typing import no_type_check

import numpy as np
from numba import njit, uint32

from ganatomy.stats.abreast import ABREAST, UNIT, add_above
from ganatomy.stats.patches import DRIFT

ERROR = 2.0**-46
"""What a value at a pixel can be wrong by, relative to a map's greatest magnitude: 60 roundings."""
CELLS = 1 << 12
CROWD = 0.25
"""With more runs than this for each pixel patches never pay."""
PIXEL, LINE, PATCH, PASS, RUN = 2.3, 4.0, 25.0, 15.0, 2.5
"""Nanoseconds: of a pixel counted for itself; of a line; of a patch, and for every eight levels of it and its runs."""

compiled = njit(nogil=True, cache=True, error_model="numpy")


@compiled
@no_type_check  # the test run must not wrap what is compiled
def count_patches(features, u, axes, levels, patches, counts):  # pragma: no cover
    """Add one unit's pixels to the counts of (combination, bin), for the images and for mismatched images.

    Args:
        features: float32 [b, units, h, w]; `u` is the unit to count; a last image without a partner is left out.
        axes: as for `lay_patches`.
        levels: float64 [l], ascending.
        patches: what `lay_patches` returned.
        counts: uint32 [2, rows, l + 1].
    """
    spans, cut, first, where, ends = patches
    cuts = np.full(levels.shape[0] + ABREAST, np.inf)
    cuts[: levels.shape[0]] = levels
    below = np.empty(CELLS + 1, np.uint8)
    start, scale = lay_cells(levels, below)
    lines, flat = np.empty((4, axes[0][0].shape[0] * spans.shape[0])), np.empty(spans.shape[0], np.bool_)
    tables, above = counts.reshape(2, -1), np.zeros((2, counts[0].size + ABREAST), np.uint32)
    for b in range(2 * first.shape[0] - 2):
        own = cut[first[b // 2] : first[b // 2 + 1] + 1]
        error = _draw(features[b, u], axes[0], spans, lines, flat)
        grid = cuts, below, start, scale, error
        _count_image(features[b, u], axes, grid, (spans, lines, flat), (own, where, ends, b % 2), (tables, above))
    for n in range(2):
        tables[n, 0] -= above[n, 0]
        for k in range(1, tables.shape[1]):
            tables[n, k] += above[n, k - 1] - above[n, k]


@compiled
@no_type_check  # the test run must not wrap what is compiled
def patches_pay(features, u, axes, levels, patches, others):  # pragma: no cover
    """Say whether `count_patches` takes less time than counting pixel by pixel, from nanoseconds measured for each.

    Args:
        features, u, axes, levels, patches: as for `count_patches`.
        others: nanoseconds that it takes in any case, whatever the patches.
    """
    spans, cut, first, where, _ = patches
    images, pixels = 2 * (first.shape[0] - 1), axes[0][0].shape[0] * axes[1][0].shape[0]
    if images <= 0:
        return False
    each, runs = 2 * (cut.shape[0] - 1), 2 * where.shape[0]
    left = PIXEL * images * pixels - LINE * images * spans.shape[0] * axes[0][0].shape[0] - PATCH * each - others
    often = left / (PASS * each + RUN * runs)
    if often < 1:
        return False
    height, width = features.shape[2:]
    long, wide = (
        min(1.0, pixels * images / runs * width / axes[1][0].shape[0]),
        runs / each * height / axes[0][0].shape[0],
    )
    down, right = _levels_between_points(features, u, levels)
    return (right * long + down * wide) / ABREAST + 0.5 < often


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _levels_between_points(features, u, levels):  # pragma: no cover
    """Return how many levels lie between points of a few maps, on average: between one and that below, or beside."""
    below = np.empty(CELLS + 1, np.uint8)
    start, scale = lay_cells(levels, below)
    height, width = features.shape[2:]
    down, right, maps = 0, 0, 0
    for b in range(0, features.shape[0], max(1, features.shape[0] // 4)):
        above = np.zeros(width, np.int64)
        for y in range(height):
            before = np.int64(0)
            for x in range(width):
                here = np.int64(below[_cell(np.float64(features[b, u, y, x]), start, scale)])
                down += abs(here - above[x]) * (y > 0)
                right += abs(here - before) * (x > 0)
                before = above[x] = here
        maps += 1
    return down / (maps * width * max(height - 1, 1)), right / (maps * height * max(width - 1, 1))


@compiled
@no_type_check  # the test run must not wrap what is compiled
def lay_cells(levels, below):  # pragma: no cover
    """Cut the range of ascending levels into cells; return its start, and cells in a unit of activation.

    Writes how many levels lie in lower cells than each, uint8 [cells + 1]: those are surely below a value in it.
    """
    cells = below.shape[0] - 1
    start = levels[0]
    scale = cells / (levels[-1] - start)
    if not 0 < scale < np.inf:
        scale = 1.0
    below[:] = 0
    for k in range(levels.shape[0]):
        below[_cell_of(levels[k], start, scale, cells) + 1] += np.uint8(1)
    for cell in range(1, below.shape[0]):
        below[cell] += below[cell - 1]
    return start, scale


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _cell(value, start, scale):  # pragma: no cover
    return _cell_of(value, start, scale, CELLS)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _cell_of(value, start, scale, cells):  # pragma: no cover
    """Return the cell of a value; any there is for NaN."""
    return min(uint32(np.int32(min(max((value - start) * scale, 0.0), cells - 1.0))), uint32(cells - 1))


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _draw(plane, rows, spans, lines, flat):  # pragma: no cover
    """Write the lines that the rows of a map are between points of its grid; return what values can be wrong by.

    A line is: the value one pixel before the least one; units for one of activation; the value at the first pixel; the
    step from pixel to pixel. No units, 0, stand for a line that is constant, -1 for one too flat to be sure of.
    """
    low, weight = rows
    last, width = uint32(plane.shape[0] - 1), plane.shape[1]
    error = np.float64(_greatest(plane)) * ERROR
    points = np.empty((width, low.shape[0]))
    for x in range(width):
        for y in range(low.shape[0]):
            upper, lower = np.float64(plane[low[y], x]), np.float64(plane[min(low[y] + uint32(1), last), x])
            points[x, y] = upper + weight[y] * (lower - upper)
    for span in range(spans.shape[0]):
        x = uint32(spans[span, 0])
        left, right = points[x], points[min(x + uint32(1), uint32(width - 1))]
        begin, end = span * low.shape[0], (span + 1) * low.shape[0]
        base, units, value, step = lines[0, begin:end], lines[1, begin:end], lines[2, begin:end], lines[3, begin:end]
        doubtful = _draw_span(left, right, spans[span, 1], spans[span, 2], error * (UNIT / 2), base, units, value, step)
        flat[span] = False
        if doubtful and (spans[span, 1] != 0 or spans[span, 2] != 0):  # else all are on a point, and constant
            for y in range(low.shape[0]):
                if abs(step[y]) <= error * (UNIT / 2) and not _constant(plane, low[y], x):
                    units[y], flat[span] = -1, True
    return error


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _greatest(plane):  # pragma: no cover
    greatest = np.float32(0)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            greatest = max(greatest, abs(plane[y, x]))
    return greatest


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _constant(plane, y, x):  # pragma: no cover
    """Say whether four neighbouring points of a map, or those of them that there are, are the same in each row."""
    below, after = min(np.int64(y) + 1, plane.shape[0] - 1), min(np.int64(x) + 1, plane.shape[1] - 1)
    return plane[y, x] == plane[y, after] and plane[below, x] == plane[below, after]


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _draw_span(left, right, start, slope, least, base, units, value, step):  # pragma: no cover
    """Write the lines of a span, given the values at the two points; return how many steps are not above the least."""
    doubtful = 0
    for y in range(left.shape[0]):  # two loops, because few arrays make vectors
        step[y] = (right[y] - left[y]) * slope
        value[y] = left[y] + start * (right[y] - left[y])
    for y in range(left.shape[0]):
        units[y] = UNIT / abs(step[y])
        base[y] = value[y] - abs(step[y])
        doubtful += abs(step[y]) <= least
    return doubtful


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _count_image(plane, axes, grid, drawn, laid, counted):  # pragma: no cover
    """Add the pixels of the patches of one image, the first or the second of two, to the tables and what is above."""
    cuts, below, start, scale, error = grid
    spans, lines, flat = drawn
    cut, where, ends, second = laid
    tables, above = counted
    levels, height = cuts.shape[0] - ABREAST, uint32(lines.shape[1] // flat.shape[0])
    matched, mismatched = above[0], above[1]
    for n in range(cut.shape[0] - 1):
        first, last = np.int64(cut[n, 0]), np.int64(cut[n + 1, 0])
        own, other = np.int64(cut[n, 1 + second]), np.int64(cut[n, 2 - second])
        upper, lower, left, right = cut[n, 3], cut[n, 4], np.float64(cut[n, 5]), np.float64(cut[n, 6])
        a, b = lines[2, upper] + left * lines[3, upper], lines[2, upper] + right * lines[3, upper]
        c, d = lines[2, lower] + left * lines[3, lower], lines[2, lower] + right * lines[3, lower]
        margin = error + DRIFT * max(abs(lines[3, upper]), abs(lines[3, lower]))
        least, greatest = min(min(a, b), min(c, d)) - margin, max(max(a, b), max(c, d)) + margin
        k = np.int64(below[_cell(least, start, scale)])
        tables[0, own + k] += cut[n, 7]
        tables[1, other + k] += cut[n, 7]
        level = flat[upper // height] and _any_flat(lines, where, first, last)
        while k < levels and cuts[k] <= greatest:
            if level or not add_above(
                cuts, k, lines, where, ends, first, last, matched, own + k, mismatched, other + k
            ):
                _settle(
                    plane, axes, cuts[k : k + ABREAST], (spans, where, ends), (first, last), (above, own + k, other + k)
                )
            k += ABREAST


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _any_flat(lines, where, first, last):  # pragma: no cover
    """Say whether one of some runs is of a line that is too flat to be sure of."""
    for run in range(first, last):  # noqa: SIM110, a generator costs more
        if lines[1, where[run]] < 0:
            return True
    return False


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _settle(plane, axes, cuts, laid, runs, places):  # pragma: no cover
    """Do what `add_above` does by computing every pixel, in float64."""
    spans, where, ends = laid
    above, own, other = places
    for run in range(runs[0], runs[1]):
        line = np.int64(where[run])
        span, y = line // axes[0][0].shape[0], line % axes[0][0].shape[0]
        x = np.int64(spans[span, 3])
        for n in range(np.int64(ends[run, 0] / UNIT), np.int64(ends[run, 1] / UNIT)):
            value = value_at(plane, axes, y, x + n)
            for level in range(ABREAST):
                if value > cuts[level]:
                    above[0, own + level] += uint32(1)
                    above[1, other + level] += uint32(1)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def value_at(plane, axes, y, x):  # pragma: no cover
    """Return the value of a resampled map at one pixel, in float64."""
    rows, columns = axes
    top, left = rows[0][y], columns[0][x]
    bottom = min(top + uint32(1), uint32(plane.shape[0] - 1))
    right = min(left + uint32(1), uint32(plane.shape[1] - 1))
    upper, lower = np.float64(plane[top, left]), np.float64(plane[bottom, left])
    upper += columns[1][x] * (np.float64(plane[top, right]) - upper)
    lower += columns[1][x] * (np.float64(plane[bottom, right]) - lower)
    return upper + rows[1][y] * (lower - upper)
