"""Counting maps that are much coarser than the labels: where rows cross levels, not what every pixel is.

Between two points of its grid a row of an upsampled map is a straight line. It crosses each level at most once, and
how many of its pixels are above the level follows from where. So a pixel costs nothing; a line costs the same at 8 and
at 64 pixels. Three things make this fast, and exact:

* **Patches.** The pixels of two images, whose labels the control swaps, are cut once for all units into *runs*: stretches
  of a row between two grid points whose labels are the same in each of the two images. Runs of neighbouring rows with
  the same labels are a patch; few levels lie between its least and its greatest value.
* **Eight levels abreast.** A processor compares a line with eight levels at once.
* **Float64, and doubt.** Crossings are computed to a 2¹⁹th of a pixel. Where one is that near to a pixel's centre, or a
  line is nearly level, the pixels themselves are computed, as everywhere else.
"""

from typing import no_type_check

import numpy as np
from llvmlite import ir
from numba import njit, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic

ABREAST = 8
"""Levels that a line is compared with at once."""
UNIT = 1 << 20
"""Places along a row are counted in this part of a pixel."""
NEAR = 4
"""A crossing this near to a pixel's centre, in units, is in doubt; it is wrong by half as much at most."""
ERROR = 2.0**-46
"""What a value at a pixel can be wrong by, relative to a map's greatest magnitude: 60 roundings."""
LONGEST = 1000
"""Pixels of a span; places must fit 32 bits."""
CELLS = 1 << 12
CROWD = 0.25
"""With more runs than this for each pixel patches never pay."""
PIXEL, LINE, PATCH, PASS, RUN = 2.3, 4.0, 25.0, 15.0, 2.5
"""Nanoseconds: of a pixel that is counted for itself; of a line; of a patch, and for every eight levels of it and its runs."""

compiled = njit(nogil=True, cache=True, error_model="numpy")


@intrinsic
@no_type_check
def _add_above(_, levels, k, lines, where, ends, first, last, own, i, other, j):  # pragma: no cover
    """Add how many pixels of runs first … last - 1 are above levels k … k + 7 to two tables, unless one is in doubt.

    In LLVM's own words, because a loop over eight levels is too short to be made a vector otherwise.

    Args:
        levels: float64, at least k + 8.
        lines: float64 [4, n] as `_draw` writes them.
        where: uint32, the line of each run.
        ends: float64 [runs, 4], see `lay_patches`.
        own, other: uint32, flat; those above level k are added at i and at j.

    Returns:
        Whether all is sure; if not, nothing was added.
    """
    index = types.int64
    signature = types.boolean(levels, index, lines, where, ends, index, index, own, index, other, index)

    def generate(context, b, signature, arguments):
        whole, real, wide = ir.IntType(32), ir.DoubleType(), ir.IntType(64)
        wholes, reals = ir.VectorType(whole, ABREAST), ir.VectorType(real, ABREAST)

        def data(n):
            return context.make_array(signature.args[n])(context, b, arguments[n]).data

        def at(pointer, n):
            return b.load(b.gep(pointer, [wide(n)]))

        def all_of(x, vector):
            one = b.insert_element(ir.Constant(vector, ir.Undefined), x, whole(0))
            return b.shuffle_vector(one, ir.Constant(vector, ir.Undefined), ir.Constant(wholes, [0] * ABREAST))

        def vector_at(pointer, place, vector):
            return b.bitcast(b.gep(pointer, [place]), vector.as_pointer())

        def kept(start):
            slot = cgutils.alloca_once(b, start.type)
            b.store(start, slot)
            return slot

        count = cgutils.unpack_tuple(b, context.make_array(signature.args[2])(context, b, arguments[2]).shape)[1]
        cuts = b.load(vector_at(data(0), arguments[1], reals), align=8)
        before, stops = kept(ir.Constant(wholes, [0] * ABREAST)), kept(real(0.0))
        nearest = kept(ir.Constant(wholes, [UNIT] * ABREAST))
        with cgutils.for_range_slice(b, arguments[5], arguments[6], wide(1)) as (run, _):
            line = b.zext(b.load(b.gep(data(3), [run])), wide)
            base, units, step = (b.load(b.gep(data(2), [b.add(line, b.mul(wide(n), count))])) for n in (0, 1, 3))
            falls = b.lshr(b.bitcast(step, wide), wide(63))
            end = b.gep(data(4), [b.add(b.shl(run, wide(2)), b.shl(falls, wide(1)))])
            start, stop = at(end, 0), at(end, 1)
            b.store(b.fadd(b.load(stops), stop), stops)
            start, stop = all_of(start, reals), all_of(stop, reals)
            place = b.fmul(b.fsub(cuts, all_of(base, reals)), all_of(units, reals))
            place = b.select(b.fcmp_ordered("<", place, stop), place, stop)  # what is no number is not above
            place = b.select(b.fcmp_ordered(">", place, start), place, start)
            place = b.fptosi(place, wholes)
            b.store(b.add(b.load(before), b.ashr(place, ir.Constant(wholes, [20] * ABREAST))), before)
            off = b.and_(b.add(place, ir.Constant(wholes, [NEAR] * ABREAST)), ir.Constant(wholes, [UNIT - 1] * ABREAST))
            least = b.load(nearest)
            b.store(b.select(b.icmp_signed("<", off, least), off, least), nearest)
        reduce = ir.FunctionType(whole, [wholes])
        reduce = cgutils.get_or_insert_function(b.module, reduce, f"llvm.vector.reduce.smin.v{ABREAST}i32")
        sure = b.icmp_signed(">=", b.call(reduce, [b.load(nearest)]), whole(2 * NEAR))
        with b.if_then(sure):
            runs = b.sitofp(b.sub(arguments[6], arguments[5]), real)
            total = b.fsub(b.fmul(b.load(stops), real(1 / UNIT)), b.fmul(runs, real(0.5)))
            above = b.sub(all_of(b.fptosi(total, whole), wholes), b.load(before))
            for table, place in ((7, 8), (9, 10)):
                here = vector_at(data(table), arguments[place], wholes)
                b.store(b.add(b.load(here, align=4), above), here, align=4)
        return sure

    return signature, generate


@compiled
@no_type_check  # the test run must not wrap what is compiled
def lay_patches(pixels, axes, crowd):  # pragma: no cover
    """Cut the pixels of a batch into patches, once for all units of a layer.

    Args:
        pixels: uint32 [b, H*W], where in the counts the combination of each pixel begins.
        axes: (low uint32, weight float64) of the resampling of rows and of columns.
        crowd: give up where there are more runs for each pixel of two images.

    Returns:
        spans: float64 [n, 4], the point of the grid that each span follows, the weight of its first pixel, the step, and
            its first column.
        patches: uint32 [patches + 1, 8]: first run; where the counts of both images begin; lines of the first and the
            last row; first pixel within the span, and last; how many pixels.
        first: int64 [b // 2 + 1], the first patch of every two images; empty where it was given up.
        where: uint32 [runs], the line of each: span times rows plus row.
        ends: float64 [runs, 4], in units, start and stop within the span, and of the mirrored run: half a pixel more.
    """
    height, width, pairs = axes[0][0].shape[0], axes[1][0].shape[0], pixels.shape[0] // 2
    bounds, spans = _cut_columns(axes[1])
    bands = _cut_rows(axes[0][0], 16 if width >= 48 * spans.shape[0] else 8)
    most = pairs * height * width
    patches, first = np.empty((most + 1, 8), np.uint32), np.zeros(pairs + 1, np.int64)
    where, ends = np.empty(most, np.uint32), np.empty((most, 4))
    laid = (0, 0)
    for pair in range(pairs):
        labels = pixels[2 * pair].reshape(height, width), pixels[2 * pair + 1].reshape(height, width)
        for band in range(bands.shape[0] - 1):
            for span in range(spans.shape[0]):
                place = bands[band], bands[band + 1], span, spans.shape[0]
                laid = _lay(labels, place, bounds, laid, patches, where, ends)
        first[pair + 1] = laid[0]
        if laid[1] > crowd * (pair + 1) * height * width:
            return spans, patches[:1].copy(), first[:0], where[:0].copy(), ends[:0].copy()
    return spans, patches[: laid[0] + 1].copy(), first, where[: laid[1]].copy(), ends[: laid[1]].copy()


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _cut_columns(columns):  # pragma: no cover
    """Return the first columns of spans, and the last's end, and for each its grid point, first weight and step."""
    low, weight = columns
    bounds, spans = np.empty(low.shape[0] + 1, np.int64), np.empty((low.shape[0], 4))
    x = n = 0
    while x < low.shape[0]:
        start, step = x, weight[x + 1] - weight[x] if x + 1 < low.shape[0] and low[x + 1] == low[x] else 0.0
        while x < min(low.shape[0], start + LONGEST) and low[x] == low[start]:
            if abs(weight[start] + (x - start) * step - weight[x]) > 2.0**-34 * abs(step):
                break
            x += 1
        bounds[n] = start
        spans[n] = np.float64(low[start]), weight[start], step, np.float64(start)
        n += 1
    bounds[n] = x
    return bounds[: n + 1], spans[:n].copy()


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _cut_rows(low, most):  # pragma: no cover
    """Return the first rows of bands between the same grid points, of so many rows at most, and the last's end."""
    bounds = np.zeros(low.shape[0] + 1, np.int64)
    n = 0
    for y in range(1, low.shape[0]):
        if low[y] != low[y - 1] or y - bounds[n] == most:
            n += 1
            bounds[n] = y
    bounds[n + 1] = low.shape[0]
    return bounds[: n + 2]


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _lay(labels, place, bounds, laid, patches, where, ends):  # pragma: no cover
    """Append the patches of one band and span after those laid, (patches, runs), and return what is laid then."""
    top, bottom, span, spans = place
    left, right = bounds[span], bounds[span + 1]
    one, two = labels
    begin, stop, runs = laid[0], laid[0], 0
    found = np.empty(((bottom - top) * (right - left), 4), np.int64)
    for y in range(top, bottom):
        x = left
        while x < right:
            start, mine, others, line = x, one[y, x], two[y, x], span * labels[0].shape[0] + y
            while x < right and one[y, x] == mine and two[y, x] == others:
                x += 1
            patch = begin
            while patch < stop and (patches[patch, 1] != mine or patches[patch, 2] != others):
                patch += 1
            if patch == stop:
                patches[patch, 1], patches[patch, 2], patches[patch, 3] = mine, others, line
                patches[patch, 5], patches[patch, 6], patches[patch, 7] = start - left, 0, 0
                stop += 1
            patches[patch, 4] = line
            patches[patch, 5] = min(patches[patch, 5], uint32(start - left))
            patches[patch, 6] = max(patches[patch, 6], uint32(x - left - 1))
            patches[patch, 7] += uint32(x - start)
            found[runs, 0], found[runs, 1], found[runs, 2], found[runs, 3] = patch, line, start - left, x - left
            runs += 1
    run = laid[1]
    for patch in range(begin, stop):
        patches[patch, 0] = run
        for n in range(runs):
            if found[n, 0] == patch:
                start, end = float(found[n, 2]), float(found[n, 3])
                where[run] = found[n, 1]
                ends[run, 0], ends[run, 1] = UNIT * (start + 0.5), UNIT * (end + 0.5)
                ends[run, 2], ends[run, 3] = UNIT * (1.5 - end), UNIT * (1.5 - start)
                run += 1
    patches[stop, 0] = run
    return stop, run


@compiled
@no_type_check  # the test run must not wrap what is compiled
def count_patches(features, u, axes, levels, patches, counts):  # pragma: no cover
    """Add one unit's pixels to the counts of (combination, bin), for the pictures and for mismatched pictures.

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
    start, scale = _lay_cells(levels, below)
    lines, flat = np.empty((4, axes[0][0].shape[0] * spans.shape[0])), np.empty(spans.shape[0], np.bool_)
    tables, above = counts.reshape(2, -1), np.zeros((2, counts[0].size + ABREAST), np.uint32)
    for b in range(2 * first.shape[0] - 2):
        own = cut[first[b // 2] : first[b // 2 + 1] + 1]
        error = _draw(features[b, u], axes[0], spans, lines, flat)
        grid = cuts, below, start, scale, error
        _count_image(features[b, u], axes, b % 2, grid, spans, lines, flat, own, where, ends, tables, above)
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
        others: nanoseconds that it takes beside, whatever the patches.
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
    long, wide = min(1.0, pixels * images / runs * width / axes[1][0].shape[0]), runs / each * height / axes[0][0].shape[0]
    down, right = _levels_between_points(features, u, levels)
    return (right * long + down * wide) / ABREAST + 0.5 < often


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _levels_between_points(features, u, levels):  # pragma: no cover
    """Return how many levels lie between neighbouring points of a few maps, on average: below each other, and beside."""
    below = np.empty(CELLS + 1, np.uint8)
    start, scale = _lay_cells(levels, below)
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
def _lay_cells(levels, below):  # pragma: no cover
    """Cut the range of the levels into cells; return its start, and cells in a unit of activation.

    Writes how many levels lie in lower cells than each: those are surely below a value in it.
    """
    start = levels[0]
    scale = CELLS / (levels[-1] - start)
    if not 0 < scale < np.inf:
        scale = 1.0
    below[:] = 0
    for k in range(levels.shape[0]):
        below[_cell(levels[k], start, scale) + 1] += np.uint8(1)
    for cell in range(1, below.shape[0]):
        below[cell] += below[cell - 1]
    return start, scale


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _cell(value, start, scale):  # pragma: no cover
    """Return the cell of a value; any there is for NaN."""
    return min(uint32(np.int32(min(max((value - start) * scale, 0.0), CELLS - 1.0))), uint32(CELLS - 1))


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _draw(plane, rows, spans, lines, flat):  # pragma: no cover
    """Write the lines that the rows of a map are between points of its grid; return what values can be wrong by.

    A line is: the value one pixel before the least one; units for one of activation; the value at the first pixel; the
    step from pixel to pixel. No units, 0, stand for a line that is constant, -1 for one too flat to be sure of.
    """
    low, weight = rows
    height, width = plane.shape
    error = np.float64(_greatest(plane)) * ERROR
    points = np.empty((width, low.shape[0]))
    for y in range(low.shape[0]):
        upper, lower = plane[low[y]], plane[min(low[y] + uint32(1), uint32(height - 1))]
        for x in range(width):
            points[x, y] = np.float64(upper[x]) + weight[y] * (np.float64(lower[x]) - np.float64(upper[x]))
    for span in range(spans.shape[0]):
        x = uint32(spans[span, 0])
        left, right = points[x], points[min(x + uint32(1), uint32(width - 1))]
        begin, end = span * low.shape[0], (span + 1) * low.shape[0]
        base, units, value, step = lines[0, begin:end], lines[1, begin:end], lines[2, begin:end], lines[3, begin:end]
        doubtful = _draw_span(left, right, spans[span, 1], spans[span, 2], error * (UNIT / 2), base, units, value, step)
        flat[span] = False
        if doubtful and spans[span, 2] != 0:
            for y in range(low.shape[0]):
                if abs(step[y]) <= error * (UNIT / 2) and not _constant(plane, low[y], x):
                    units[y], flat[span] = -1, True
    return error


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _greatest(plane):  # pragma: no cover
    """Return the greatest magnitude of a map."""
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
    for y in range(left.shape[0]):
        rise = right[y] - left[y]
        step[y] = rise * slope
        value[y] = left[y] + start * rise
        units[y] = UNIT / abs(step[y])
        base[y] = value[y] - abs(step[y])
        doubtful += abs(step[y]) <= least
    return doubtful


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _count_image(plane, axes, second, grid, spans, lines, flat, cut, where, ends, tables, above):  # pragma: no cover
    """Add the pixels of the patches of one image, the first or the second of two, to the tables and what is above."""
    cuts, below, start, scale, error = grid
    levels, height = cuts.shape[0] - ABREAST, uint32(lines.shape[1] // flat.shape[0])
    for n in range(cut.shape[0] - 1):
        first, last = np.int64(cut[n, 0]), np.int64(cut[n + 1, 0])
        own, other = np.int64(cut[n, 1 + second]), np.int64(cut[n, 2 - second])
        upper, lower, left, right = cut[n, 3], cut[n, 4], np.float64(cut[n, 5]), np.float64(cut[n, 6])
        a, b = lines[2, upper] + left * lines[3, upper], lines[2, upper] + right * lines[3, upper]
        c, d = lines[2, lower] + left * lines[3, lower], lines[2, lower] + right * lines[3, lower]
        least, greatest = min(min(a, b), min(c, d)) - error, max(max(a, b), max(c, d)) + error
        k = np.int64(below[_cell(least, start, scale)])
        tables[0, own + k] += cut[n, 7]
        tables[1, other + k] += cut[n, 7]
        level = flat[upper // height] and _any_flat(lines, where, first, last)
        while k < levels and cuts[k] <= greatest:
            if level or not _add_above(
                cuts, k, lines, where, ends, first, last, above[0], own + k, above[1], other + k
            ):
                _settle(plane, axes, cuts, k, spans, lines, where, ends, first, last, above, own, other)
            k += ABREAST


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _any_flat(lines, where, first, last):  # pragma: no cover
    """Say whether one of some runs is of a line that is constant, or nearly."""
    for run in range(first, last):
        if lines[1, where[run]] < 0:
            return True
    return False


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _settle(plane, axes, cuts, k, spans, lines, where, ends, first, last, above, own, other):  # pragma: no cover
    """Do what `_add_above` does by computing every pixel, in float64; that of a constant line once."""
    for run in range(first, last):
        line = np.int64(where[run])
        span, y = line // axes[0][0].shape[0], line % axes[0][0].shape[0]
        x = np.int64(spans[span, 3])
        for n in range(np.int64(ends[run, 0] / UNIT), np.int64(ends[run, 1] / UNIT)):
            value = value_at(plane, axes, y, x + n)
            for level in range(k, k + ABREAST):
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
