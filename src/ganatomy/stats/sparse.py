"""Counting maps that are 0 almost everywhere, such as the features of a sparse autoencoder.

A pixel between four zeros of the grid is exactly 0. All pixels are counted as 0 first, from what a batch shows; then
those of *squares* between four points of the grid that are not all 0 are moved to their bins. So time grows with the
entries that are not 0. A value is computed in float64, in the order of `value_at`, so counts are the same.
"""

from typing import no_type_check

import numpy as np
import numpy.typing as npt
from numba import njit, uint32

from ganatomy.stats.combinations import Combinations, Numbers
from ganatomy.stats.crossings import CELLS, _cell, _lay_cells

SPARSE = 0.1
"""Up to this share of pixels that may not be 0 a unit is counted by squares."""

compiled = njit(nogil=True, cache=True, error_model="numpy")


def shown_by_row(labels: Combinations) -> Numbers:
    """Return the pixels that each row of the combinations counts, uint32 [2, rows]; index 1 the control."""
    found = np.zeros((2, labels.count), np.uint32)
    for own, kind in zip(found, (labels, labels.mismatched()), strict=True):
        for begins in (kind.pixels.flatten(), kind.rows):
            own += np.bincount((begins // labels.bins).numpy(), minlength=labels.count).astype(np.uint32)
    return found


def edges(low: Numbers, points: int) -> npt.NDArray[np.int64]:
    """Return where the pixels begin that follow each point of an axis of the grid, and where the last ones end."""
    return np.searchsorted(low, np.arange(points + 1)).astype(np.int64)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def find_squares(features, u, cut, squares):  # pragma: no cover
    """Write the squares of a unit that are not all 0; return how many, or -1 if they are too many to pay.

    Args:
        features: float32 [b, units, h, w]; `u` is the unit.
        cut: `edges` of the rows and of the columns.
        squares: int64 [b * h * w, 3], image, row, and column of each.
    """
    batch, _, h, w = features.shape
    down, right = cut
    most = SPARSE * batch * down[h] * right[w]
    found, pixels = 0, 0
    for b in range(batch):
        plane = features[b, u]
        for y in range(h):
            below = min(y + 1, h - 1)
            for x in range(w):
                after = min(x + 1, w - 1)
                if plane[y, x] != 0 or plane[y, after] != 0 or plane[below, x] != 0 or plane[below, after] != 0:
                    squares[found, 0], squares[found, 1], squares[found, 2] = b, y, x
                    found += 1
                    pixels += (down[y + 1] - down[y]) * (right[x + 1] - right[x])
        if pixels > most:
            return -1
    return found


@compiled
@no_type_check  # the test run must not wrap what is compiled
def count_squares(features, u, axes, cut, levels, pixels, rare, shown, squares, counts):  # pragma: no cover
    """Add one unit's pixels to the counts of (combination, bin), for the images and for mismatched images.

    Args:
        features, u, axes, levels, pixels, counts: as for `count_unit`.
        cut: `edges` of the rows and of the columns.
        rare: (places, rows) uint32 [n], ascending places: pixels of the batch that are counted in further rows.
        shown: what `shown_by_row` returned.
        squares: what `find_squares` found.
    """
    zero, bins = np.searchsorted(levels, 0.0), counts.shape[2]
    for n in range(2):
        for row in range(shown.shape[1]):
            counts[n, row, zero] += shown[n, row]
    if not squares.shape[0]:
        return
    below = np.empty(CELLS + 1, np.uint8)
    start, scale = _lay_cells(levels, below)
    width, even = axes[1][0].shape[0], pixels.shape[0] // 2 * 2
    last = uint32((counts.shape[1] - 1) * bins)
    own, other = counts[0].reshape(-1), counts[1].reshape(-1)
    area = pixels.shape[1]
    upper, lower = np.empty(width), np.empty(width)
    for s in range(squares.shape[0]):
        b, top, left = squares[s]
        plane = features[b, u]
        _widen_square(plane, top, left, axes[1][1], cut[1], upper, lower)
        paired, partner = b < even, min(b ^ 1, pixels.shape[0] - 1)
        for y in range(cut[0][top], cut[0][top + 1]):
            weight = axes[0][1][y]
            for x in range(cut[1][left], cut[1][left + 1]):
                value = upper[x] + weight * (lower[x] - upper[x])
                k = np.int64(below[_cell(value, start, scale)])
                while k < levels.shape[0] and value > levels[k]:
                    k += 1
                if k == zero:
                    continue
                place = y * width + x
                row = pixels[b, place]
                own[row + k] += uint32(1)
                own[row + zero] -= uint32(1)
                if row == last:
                    _move_rare(rare, b * area + place, zero, k, own)
                if paired:
                    row = pixels[partner, place]
                    other[row + k] += uint32(1)
                    other[row + zero] -= uint32(1)
                    if row == last:
                        _move_rare(rare, partner * area + place, zero, k, other)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _widen_square(plane, top, left, weight, right, upper, lower):  # pragma: no cover
    """Write a square's values on its upper and lower side, at its columns of pixels."""
    bottom, after = min(top + 1, plane.shape[0] - 1), min(left + 1, plane.shape[1] - 1)
    a, b = np.float64(plane[top, left]), np.float64(plane[top, after])
    c, d = np.float64(plane[bottom, left]), np.float64(plane[bottom, after])
    for x in range(right[left], right[left + 1]):
        upper[x] = a + weight[x] * (b - a)
        lower[x] = c + weight[x] * (d - c)


@compiled
@no_type_check  # the test run must not wrap what is compiled
def _move_rare(rare, place, zero, k, table):  # pragma: no cover
    """Move a pixel from the bin of 0 to another, in every row that it has apart."""
    places, rows = rare
    n = np.searchsorted(places, place)
    while n < places.shape[0] and places[n] == place:
        table[rows[n] + k] += uint32(1)
        table[rows[n] + zero] -= uint32(1)
        n += 1
