"""Counting the pixels of a batch: by compiled loops on a CPU, by tensor operations on other devices."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.resample import upsample
from ganatomy.core.tensor_types import Features
from ganatomy.stats.combinations import Combinations, numbers
from ganatomy.stats.crossings import CROWD
from ganatomy.stats.kernels import add_rows, count_unit
from ganatomy.stats.patches import lay_patches
from ganatomy.stats.rows import Bins, Ints, UnitRows
from ganatomy.stats.sparse import count_sparse, edges, laid_out, room

Take = Callable[..., None]
"""Takes in counts of a batch: `UnitRows`; on other devices a unit, and its counts [2, concepts of the batch, bins], of
the images and of mismatched images."""

Maps = npt.NDArray[np.float32]
Cuts = npt.NDArray[np.float64]
Axes = tuple[tuple[npt.NDArray[Any], ...], ...]

ROWS = 4096
"""Rows that are handed over at once."""


def kept_bins(levels: Cuts) -> tuple[Ints, Ints]:
    """Return `begins` and `kept` of the `Bins` between levels, as compiled loops read them."""
    bins = Bins.between(torch.from_numpy(levels))
    return bins.begins.numpy(), bins.kept.numpy()


def check_maps(features: Features, units: int, images: int) -> None:
    """Refuse feature maps of other units and images: compiled loops read memory unchecked."""
    if features.ndim != 4 or tuple(features.shape[:2]) != (images, units) or not features.numel():
        raise BadValue(f"features {list(features.shape)} are not of {images} images and {units} units, [b, u, h, w]")


def count_pixels(levels: Tensor, features: Features, labels: Combinations, takes: Sequence[Take]) -> None:
    """Count the pixels of one batch by unit, concept and bin.

    Args:
        levels: float64 [u, l], ascending for each unit, on the device of the features.
        takes: called with the counts of all units, in any order, from several threads.
    """
    check_maps(features, len(levels), len(labels.pixels))
    count = count_on_device if features.is_cuda else _count_on_cpu
    count(levels, features, labels, takes)


def _count_on_cpu(levels: Tensor, features: Features, labels: Combinations, takes: Sequence[Take]) -> None:
    """Count the units that are 0 almost everywhere, then the others."""
    maps, cuts = features.detach().contiguous().numpy(), levels.numpy()
    axes: Axes = tuple(tuple(axis) for axis in labels.grid.axes(maps.shape[-2:]))
    workers = torch.get_num_threads()
    with ThreadPoolExecutor(workers) as pool:
        sparsely = _sparsely(maps, axes, cuts, labels, takes)
        left = np.concatenate(list(pool.map(sparsely, [np.arange(i, len(cuts), workers) for i in range(workers)])))
        if len(left):
            list(pool.map(_densely(maps, axes, cuts, labels, takes), [left[i::workers] for i in range(workers)]))


def _sparsely(
    maps: Maps, axes: Axes, cuts: Cuts, labels: Combinations, takes: Sequence[Take]
) -> Callable[[Ints], Ints]:
    """Return what counts units and returns those that it left out."""
    laid, (begins, kept) = laid_out(labels), kept_bins(cuts)
    cut = tuple(edges(low, points) for (low, _), points in zip(axes, maps.shape[-2:], strict=True))

    def count(units: Ints) -> Ints:
        own, rows = room(labels, maps[:, 0].size), UnitRows.empty(max(ROWS, 2 * len(labels.concepts)), labels.bins)
        left, dense = [units[:0]], np.empty_like(units)
        while len(units):
            done, filled, n = count_sparse(maps, units, axes, cut, cuts, begins, kept, laid, own, tuple(rows), dense)
            for take in takes if filled else ():
                take(rows.first(filled))
            left.append(dense[:n].copy())
            units = units[done:]
        return np.concatenate(left)

    return count


def _densely(maps: Maps, axes: Axes, cuts: Cuts, labels: Combinations, takes: Sequence[Take]) -> Callable[[Ints], None]:
    """Return what counts units."""
    begins, kept = kept_bins(cuts)
    arrays, starts, members = labels.arrays, numbers(labels.starts), numbers(labels.members)
    patches = lay_patches(arrays[0], axes, CROWD)

    def count(units: Ints) -> None:
        found, concepts = np.empty((2, labels.count, labels.bins), np.uint32), len(labels.concepts)
        together = max(1, ROWS // (2 * concepts))
        rows = UnitRows.empty(2 * concepts * together, labels.bins)
        rows.kinds[:] = np.tile(np.repeat([0, 1], concepts), together)
        rows.places[:] = np.tile(np.arange(concepts), 2 * together)
        for some in (units[i : i + together] for i in range(0, len(units), together)):
            rows.counts[:], rows.units[: 2 * concepts * len(some)] = 0, np.repeat(some, 2 * concepts)
            for u, own in zip(some, np.split(rows.counts, together), strict=False):
                found[:] = 0
                count_unit(maps, u, axes, cuts[u], *arrays, patches, found)
                for kind, table in zip(found, np.split(own, 2), strict=True):
                    add_rows(kind, starts, members, table)
                bins = kept[begins[u] : begins[u + 1]]
                if len(bins) < labels.bins - 1:
                    own[:, 1 : 1 + len(bins)] = own[:, bins]
            for take in takes:
                take(rows.first(2 * concepts * len(some)))

    return count


def count_on_device(levels: Tensor, features: Features, labels: Combinations, takes: Sequence[Take]) -> None:
    """Count with tensor operations alone, on any device; nothing leaves it. Also the compiled loops' reference."""
    kinds, times = (labels, labels.mismatched()), labels.starts.diff()
    for u in range(features.shape[1]):
        bins = torch.searchsorted(levels[u], upsample(features[:, u : u + 1], labels.grid).flatten(1))
        found = torch.zeros(2, len(labels.concepts), labels.bins, dtype=torch.int64, device=features.device)
        for kind, counts in zip(kinds, found, strict=True):
            pixels = (kind.pixels + bins[: len(kind.pixels)]).flatten()
            apart = kind.rows + bins.flatten()[kind.places]
            rows = torch.bincount(torch.cat([pixels, apart]), minlength=labels.count * labels.bins)
            counts.index_add_(0, labels.members, rows.view(-1, labels.bins)[:-1].repeat_interleave(times, 0))
        for take in takes:
            take(u, found)
