"""Candidate thresholds: exact quantiles of each unit's upsampled activation (SPEC 2)."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.resample import bilinear_axis
from ganatomy.stats.base import Accumulator, Merge
from ganatomy.stats.kernels import order_statistics
from ganatomy.types import Features


def fractions(count: int = 100, smallest: float = 0.001, also: Sequence[float] = ()) -> npt.NDArray[np.float64]:
    """Return the top fractions at which units are cut, descending from 1, log-spaced, with any others that are asked.

    >>> fractions(4).round(4).tolist()
    [1.0, 0.1, 0.01, 0.001]
    """
    grid = np.logspace(0, np.log10(smallest), count)
    return np.unique(np.concatenate([grid, np.asarray(also, dtype=np.float64)]))[::-1]


def exact_levels(r: Features, size: tuple[int, int], tops: npt.NDArray[np.float64]) -> Tensor:
    """Return each unit's levels: quantiles 1 - f of its upsampled activation, over all images and pixels.

    Linear between neighbouring order statistics, as ``numpy.quantile``; no sketch, no subsample.

    Args:
        r: features [b, u, h, w] of the whole calibration sample.
        size: height and width of the label maps.
        tops: the fractions f, descending.

    Returns:
        float64 [u, len(tops)], ascending along the second axis.
    """
    axes = tuple(tuple(bilinear_axis(n, m)) for n, m in zip(r.shape[-2:], size, strict=True))
    maps = r.detach().cpu().contiguous().numpy()
    cut = partial(_unit_levels, maps, axes, 1 - tops)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.from_numpy(np.stack(list(pool.map(cut, range(maps.shape[1])))))


def _unit_levels(
    maps: npt.NDArray[np.float32],
    axes: tuple[tuple[Any, ...], ...],
    quantiles: npt.NDArray[np.float64],
    unit: int,
) -> npt.NDArray[np.float64]:
    values = maps.shape[0] * len(axes[0][0]) * len(axes[1][0])
    position = quantiles * (values - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, values - 1)
    ranks = np.unique(np.concatenate([low, high]))
    found = order_statistics(maps, unit, axes, ranks)
    below, above = found[np.searchsorted(ranks, low)], found[np.searchsorted(ranks, high)]
    weight, step = position - low, above - below
    cut: npt.NDArray[np.float64] = np.where(weight < 0.5, below + step * weight, above - step * (1 - weight))
    return np.maximum.accumulate(cut)


class ActivationLevels(Accumulator):
    """The levels of every unit of every layer, gathered unit by unit.

    Units are numbered through all layers in forward order; a part that has not been measured is NaN, and merging
    fills it in. So the work is sharded by units, and the calibration sample of one shard always fits in memory.

    Attributes:
        values: float64 [units of all layers, levels], ascending along levels.
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
