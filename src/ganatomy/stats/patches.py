"""Cut label maps for counting: once for all units of a layer, into patches that two images share.

A *span* is a stretch of columns between two points of a layer's grid. A *run* is a stretch of a row within a span whose
labels do not change, in either of the two images whose labels the control swaps. The runs of a few neighbouring rows
that have the same labels are a *patch*.
"""

from typing import no_type_check

import numpy as np
from numba import njit, uint32

from ganatomy.stats.abreast import UNIT

LONGEST = 1000
"""Pixels of a span; places in units must fit 32 bits."""
DRIFT = 2.0**-34
"""How far, in pixels, those of a span may be from evenly spaced: weights are rounded, and sampled labels uneven."""

compiled = njit(nogil=True, cache=True, error_model="numpy")


@compiled
@no_type_check  # the test run must not wrap what is compiled
def lay_patches(pixels, axes, crowd):  # pragma: no cover
    """Cut the pixels of a batch into patches, once for all units of a layer.

    Args:
        pixels: uint32 [b, H*W], where in the counts the combination of each pixel begins.
        axes: (low uint32, weight float64) of the resampling of rows and of columns.
        crowd: give up where there are more runs than this for each pixel.

    Returns:
        spans: float64 [n, 4], the point of the grid that each span follows, the weight of its first pixel, the step of
            weights, and its first column.
        patches: uint32 [patches + 1, 8]: first run; where the counts of both images begin; lines of the first and the
            last row; first pixel within the span, and last; how many pixels. Those of two images follow each other.
        first: int64 [b // 2 + 1], the first patch of every two images; empty where it was given up.
        where: uint32 [runs], the line of each: span times rows plus row.
        ends: float64 [runs, 4], in units, start and stop within the span, and of the mirrored run: half a pixel more.
    """
    height, width, pairs = axes[0][0].shape[0], axes[1][0].shape[0], pixels.shape[0] // 2
    bounds, spans = _cut_columns(axes[1])
    bands = _cut_rows(axes[0][0], 16 if width >= 24 * spans.shape[0] else 8)
    most = pairs * height * width
    patches, first = np.empty((most + 1, 8), np.uint32), np.zeros(pairs + 1, np.int64)
    where, ends = np.empty(most, np.uint32), np.empty((most, 4))
    laid = (0, 0)
    for pair in range(pairs if spans.shape[0] <= crowd * width else 0):
        labels = pixels[2 * pair].reshape(height, width), pixels[2 * pair + 1].reshape(height, width)
        for band in range(bands.shape[0] - 1):
            for span in range(spans.shape[0]):
                place = bands[band], bands[band + 1], bounds[span], bounds[span + 1], span * height
                laid = _lay(labels, place, laid, patches, where, ends)
        first[pair + 1] = laid[0]
        if laid[1] > crowd * (pair + 1) * height * width:
            laid = (0, 0)
            break
    if laid[0] == 0:
        first = first[:0]
    return spans, patches[: laid[0] + 1].copy(), first, where[: laid[1]].copy(), ends[: laid[1]].copy()


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _cut_columns(columns):  # pragma: no cover
    """Return the first columns of spans, and the last's end, and for each its grid point, first weight and step."""
    low, weight = columns
    bounds, spans = np.empty(low.shape[0] + 1, np.int64), np.empty((low.shape[0], 4))
    x = n = 0
    while x < low.shape[0]:
        start, step = x, 0.0 if weight[x] == 0 else 1.0  # of a pixel alone any step will do, unless it is on a point
        if x + 1 < low.shape[0] and low[x + 1] == low[x]:
            step = weight[x + 1] - weight[x]
        while x < min(low.shape[0], start + LONGEST) and low[x] == low[start]:
            if abs(weight[start] + (x - start) * step - weight[x]) > DRIFT * abs(step):
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
def _lay(labels, place, laid, patches, where, ends):  # pragma: no cover
    """Append the patches of one band and span after those laid, (patches, runs), and return what is laid then."""
    top, bottom, left, right, lines = place
    one, two = labels
    begin, stop, runs = laid[0], laid[0], 0
    found = np.empty(((bottom - top) * (right - left), 4), np.int64)
    for y in range(top, bottom):
        x = left
        while x < right:
            start, mine, others, line = x, one[y, x], two[y, x], lines + y
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
