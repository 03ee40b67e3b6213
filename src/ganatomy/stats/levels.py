"""Candidate thresholds: exact quantiles of each unit's upsampled activation (SPEC 2)."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.core.resample import Grid
from ganatomy.core.tensor_types import Features
from ganatomy.stats.base import Accumulator, Merge
from ganatomy.stats.kernels import sort_out
from ganatomy.stats.sparse import edges, values_in_strips

CELLS = 1 << 16
"""Interpolation in float32 is wrong by at most an eighth of such a cell, so a value is at most one cell off."""

Axes = tuple[tuple[npt.NDArray[Any], ...], ...]
Floats = npt.NDArray[np.float64]


def fractions(count: int = 100, smallest: float = 0.001, also: Sequence[float] = ()) -> npt.NDArray[np.float64]:
    """Return the top fractions at which units are cut, descending from 1, log-spaced, with any others that are asked.

    >>> fractions(4).round(4).tolist()
    [1.0, 0.1, 0.01, 0.001]
    """
    grid = np.logspace(0, np.log10(smallest), count)
    return np.unique(np.concatenate([grid, np.asarray(also, dtype=np.float64)]))[::-1]


def exact_levels(r: Features, grid: Grid, tops: npt.NDArray[np.float64], raw: int | None = None) -> Tensor:
    """Return each unit's levels, float64 [u, level], ascending: quantiles 1 - f of its upsampled activation.

    Linear between neighbouring order statistics, as ``numpy.quantile``; no sketch, no subsample.

    Args:
        r: features [b, u, h, w] of the whole calibration sample.
        grid: the points that activations are read at.
        tops: the fractions f, descending.
        raw: index of a level that is to be the quantile of the raw activations instead; other levels are clipped to
            it, so that they ascend.
    """
    axes: Axes = tuple(tuple(axis) for axis in grid.axes(r.shape[-2:]))
    maps = r.detach().cpu().contiguous().numpy()
    cut = partial(_unit_levels, maps, axes, 1 - tops)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        levels = np.stack(list(pool.map(cut, range(maps.shape[1]))))
    if raw is not None:
        own = np.quantile(maps.astype(np.float64), 1 - tops[raw], axis=(0, 2, 3))[:, None]
        below, above = np.minimum(levels[:, :raw], own), np.maximum(levels[:, raw + 1 :], own)
        levels = np.concatenate([below, own, above], axis=1)
    return torch.from_numpy(levels)


def _unit_levels(maps: npt.NDArray[np.float32], axes: Axes, quantiles: Floats, unit: int) -> Floats:
    values = maps.shape[0] * len(axes[0][0]) * len(axes[1][0])
    position = quantiles * (values - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, values - 1)
    ranks = np.unique(np.concatenate([low, high]))
    found = _order_statistics(maps, axes, ranks, unit)
    below, above = found[np.searchsorted(ranks, low)], found[np.searchsorted(ranks, high)]
    weight, step = position - low, above - below
    cut: Floats = np.where(weight < 0.5, below + step * weight, above - step * (1 - weight))
    return np.maximum.accumulate(cut)


def _order_statistics(maps: npt.NDArray[np.float32], axes: Axes, ranks: npt.NDArray[np.int64], unit: int) -> Floats:
    """Return the values of the given ascending ranks (0 = least) among a unit's resampled activations, exactly.

    Of a unit that is 0 almost everywhere the other values are sorted. Else only values whose cell of the range holds a
    rank, or is next to one, are computed in float64 and sorted; those at the least one, of which a ReLU makes many, are
    only counted.
    """
    cut = tuple(edges(low, points) for (low, _), points in zip(axes, maps.shape[-2:], strict=True))
    few, values = values_in_strips(maps, unit, axes, cut, np.empty((maps[:, unit].size, 4), np.int64))
    if few:
        values.sort()
        below, zeros = np.searchsorted(values, 0.0), maps.shape[0] * len(axes[0][0]) * len(axes[1][0]) - len(values)
        others = np.append(values, 0.0)[np.where(ranks < below, ranks, np.maximum(ranks - zeros, 0))]
        return np.where((ranks >= below) & (ranks < below + zeros), 0.0, others)
    start, end = maps[:, unit].min(), maps[:, unit].max()
    with np.errstate(over="ignore", divide="ignore"):
        scale = np.float32(CELLS) / (end - start)
    if not 0 < scale < np.inf:
        scale = np.float32(1)
    same_size = maps.shape[2:] == (len(axes[0][0]), len(axes[1][0])) and not any(axis[1].any() for axis in axes)
    lowest = 1 if scale >= 1 and (same_size or start == 0) else 0  # what is in cell 0 is the start
    collected = np.zeros(CELLS + 2, np.bool_)
    size = sort_out(maps, unit, axes, (start, scale), collected, np.empty(0)).astype(np.int64)
    cells = np.searchsorted(np.cumsum(size), ranks, side="right")
    above = cells >= lowest
    for step in (-1, 0, 1):
        collected[np.maximum(cells[above] + step, lowest)] = True
    kept = np.empty(size[collected].sum())
    if len(kept):
        sort_out(maps, unit, axes, (start, scale), collected, kept)
    kept.sort()
    left_out = np.cumsum(np.where(collected, 0, size))[cells]
    found = np.full(len(ranks), start, np.float64)
    found[above] = kept[(ranks - left_out)[above]]
    return found


class ActivationLevels(Accumulator):
    """The levels of every unit of every layer, float64 [units of all layers, levels]; NaN where not measured yet.

    The work is sharded by units, so that the calibration sample of one shard always fits in memory.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"values": lambda a, b: torch.where(torch.isnan(a), b, a)}

    def __init__(self, units: int, levels: int) -> None:
        self.values = torch.full((units, levels), torch.nan, dtype=torch.float64)

    def update(self, *batch: Tensor) -> None:
        """Take in (numbers of units, their levels)."""
        units, values = batch
        self.values[units] = values

    def by_layer(self, sizes: Iterable[int]) -> list[Tensor]:
        """Return the levels of each layer, given how many units each has."""
        return list(torch.split(self.values, list(sizes)))
