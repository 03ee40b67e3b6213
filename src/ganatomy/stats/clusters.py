"""Means over places of images: the places of one image are alike, so the image is what was drawn at random."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def clustered_mean(values: Floats, clusters: Ints) -> tuple[float, float]:
    """Return the mean of all values and its standard error, values of one cluster (image) being one draw.

    The error is that of a ratio of sums over clusters, to first order; NaN for a single cluster.

    >>> clustered_mean(np.array([1.0, 3.0]), np.array([7, 8]))
    (2.0, 1.0)
    """
    if not len(values):
        return np.nan, np.nan
    mean = float(values.mean())
    names, which = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        return mean, np.nan
    sums = np.bincount(which, values - mean)
    return mean, float(np.sqrt(len(names) / (len(names) - 1) * np.square(sums).sum()) / len(values))


def proportion(hits: Flags) -> tuple[float, float]:
    """Return the share of hits and its standard error, half the width of Wilson's interval at z = 1.

    Unlike √(p (1 - p) / n) it is not 0 when all are alike.

    >>> [round(each, 3) for each in proportion(np.zeros(9, bool))]
    [0.0, 0.05]
    """
    n = len(hits)
    if not n:
        return np.nan, np.nan
    share = float(hits.mean())
    return share, math.sqrt(share * (1 - share) / n + 0.25 / n**2) / (1 + 1 / n)


class Contrast(NamedTuple):
    """Ratio and difference of the means of two kinds of place, each with its 95 % bootstrap interval over images.

    The ratio is NaN where the interval of its denominator is not all above zero.
    """

    ratio: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float


def contrast(values: Floats, clusters: Ints, here: Flags, there: Flags, draws: int, seed: int) -> Contrast:
    """Compare the mean over places `here` with that over places `there`, by a bootstrap over whole images (clusters).

    Draws without a place of either kind are left out.
    """
    if not here.any() or not there.any():
        return Contrast(*[np.nan] * 6)
    names, which = np.unique(clusters, return_inverse=True)
    table = np.stack(
        [np.bincount(which, each, len(names)) for each in (values * here, here, values * there, there)], axis=1
    )
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    sums = np.concatenate([table.sum(0, keepdims=True), times @ table])
    sums = sums[(sums[:, 1] > 0) & (sums[:, 3] > 0)]
    one, other = sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]
    ratios = np.divide(one, other, out=np.full_like(one, np.inf), where=other > 0)
    ratio, low, high = _interval(ratios) if _interval(other)[1] > 0 else (np.nan, np.nan, np.nan)
    return Contrast(ratio, low, high, *_interval(one - other))


def _interval(estimates: Floats) -> tuple[float, float, float]:
    """Return the first estimate, and the 2.5 % and 97.5 % quantiles of the others."""
    drawn = np.sort(estimates[1:])
    if not len(drawn):
        return float(estimates[0]), np.nan, np.nan
    low, high = int(0.025 * (len(drawn) - 1)), math.ceil(0.975 * (len(drawn) - 1))  # not between two: some are infinite
    return float(estimates[0]), float(drawn[low]), float(drawn[high])
