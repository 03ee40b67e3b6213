"""How units agree with concepts: one table of pixel counts, from which every score of dissection is read.

The table of a layer counts, for each unit, concept and bin between two levels, the pixels whose upsampled activation
falls in the bin and that show the concept. It is a sum over pixels, so shards merge exactly. Row 0, the place of
"nothing", counts every pixel. Beside it stands the control: the same counts with the pictures of neighbouring ids
swapped, so that features meet labels that they did not draw.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.errors import BadValue
from ganatomy.resample import bilinear_axis, upsample
from ganatomy.stats.base import Accumulator, Merge, add, same
from ganatomy.stats.kernels import CELLS, OPEN, WALL, count_unit, spread
from ganatomy.types import Features, Labels

MOST_COMBINATIONS = 4096
"""More distinct label tuples in a batch than this, and each plane is counted on its own."""


@dataclass(frozen=True, eq=False)
class Combinations:
    """The distinct label tuples of a batch, numbered, each with a row of bins in a flat table of counts.

    Attributes:
        pixels: int64 [b, H*W], where the row of each pixel's tuple begins: its number times `bins`.
        partners: the same for the mismatched pictures; a picture without a partner points to an extra last row.
        starts, members: tuple k shows the concepts ``members[starts[k]:starts[k+1]]``; 0 stands for any pixel.
        bins: how many bins a row has.
        size: height and width of the label maps.
    """

    pixels: Tensor
    partners: Tensor
    starts: Tensor
    members: Tensor
    bins: int
    size: tuple[int, int]

    @property
    def count(self) -> int:
        """How many tuples there are."""
        return len(self.starts) - 1

    @cached_property
    def arrays(self) -> tuple[npt.NDArray[np.uint32], ...]:
        """Pixels and partners as the compiled loops read them."""
        return tuple(x.to(torch.uint32).numpy() for x in (self.pixels, self.partners))


def combine(labels: Labels, bins: int) -> list[Combinations]:
    """Number the label tuples of a batch; several groups of planes where one would have too many tuples.

    A concept that several planes show at a pixel counts once. Pictures 0 and 1, 2 and 3, … of the batch are partners.
    """
    planes = labels.long().clone()
    for later in range(1, planes.shape[1]):
        shown = (planes[:, :later] == planes[:, later : later + 1]).any(1)
        planes[:, later][shown] = 0
    together = _number(planes, bins, counts_pixels=True)
    if together.count <= MOST_COMBINATIONS:
        return [together]
    return [_number(planes[:, i : i + 1], bins, counts_pixels=i == 0) for i in range(planes.shape[1])]


def _number(planes: Labels, bins: int, *, counts_pixels: bool) -> Combinations:
    base = int(planes.max()) + 1
    code = torch.zeros_like(planes[:, 0])
    tuples = planes.new_zeros(1, 0)
    for plane in planes.unbind(1):
        code = code * base + plane
        present = torch.bincount(code.flatten(), minlength=len(tuples) * base) > 0
        distinct, code = present.nonzero()[:, 0], (present.cumsum(0) - 1)[code]
        tuples = torch.cat([tuples[distinct // base], (distinct % base)[:, None]], dim=1)
    shown = tuples > 0
    if counts_pixels:
        tuples = torch.cat([torch.zeros_like(tuples[:, :1]), tuples], dim=1)
        shown = torch.cat([torch.ones_like(shown[:, :1]), shown], dim=1)
    starts = torch.cat([tuples.new_zeros(1), shown.sum(1).cumsum(0)])
    rows = code.flatten(1) * bins
    size = (planes.shape[-2], planes.shape[-1])
    return Combinations(rows, _swap_partners(rows, len(tuples) * bins), starts, tuples[shown], bins, size)


def _swap_partners(pixels: Tensor, nowhere: int) -> Tensor:
    """Exchange pictures 0 and 1, 2 and 3, …; the last of an odd number has no partner."""
    partners = torch.full_like(pixels, nowhere)
    even = len(pixels) // 2 * 2
    partners[0:even:2], partners[1:even:2] = pixels[1:even:2], pixels[0:even:2]
    return partners


class Agreement(Accumulator):
    """Pixel counts of one layer: unit × concept × bin, for matched and for mismatched pictures.

    Attributes:
        levels: float64 [u, l], ascending for each unit; bin j holds the values above exactly j levels.
        counts: integer [2, u, concepts, l + 1]; index 0 the pictures that the features drew, 1 the control.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"levels": same, "counts": add}

    def __init__(self, levels: Tensor, concepts: int, pixels: int) -> None:
        """Start empty, with counters wide enough for that many pixels a unit."""
        if levels.shape[1] >= OPEN:
            raise BadValue(f"{levels.shape[1]} levels a unit; at most {OPEN - 1} are possible")
        dtype = torch.int32 if pixels < 2**31 else torch.int64
        self.levels = levels.clone()
        self.counts = torch.zeros(2, len(levels), concepts, levels.shape[1] + 1, dtype=dtype, device=levels.device)
        self._grids: list[_Grid] | None = None

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W]) of one batch."""
        features, labels = batch
        self.update_combined(features, combine(labels, self.counts.shape[-1]))

    def update_combined(self, features: Features, groups: Sequence[Combinations]) -> None:
        """Take in the features of one batch, its labels numbered once for all layers."""
        for group in groups:
            if features.is_cuda:
                _count_on_device(self.levels, self.counts, features, group)
            else:
                self._count_on_cpu(features, group)

    def _count_on_cpu(self, features: Features, group: Combinations) -> None:
        if getattr(self, "_grids", None) is None:
            self._grids = [_Grid.of(row) for row in self.levels.numpy()]
        grids = self._grids
        assert grids is not None
        maps = features.detach().contiguous()
        reach = _reach(maps, group.size)
        axes = tuple(tuple(bilinear_axis(n, m)) for n, m in zip(maps.shape[-2:], group.size, strict=True))
        starts, members = group.starts.numpy(), group.members.numpy()
        tables = self.counts.numpy()
        if members.max(initial=0) >= tables.shape[2]:
            raise BadValue(f"label {members.max()} is none of {tables.shape[2]} concepts; give the labels' vocabulary")

        def count(units: range) -> None:
            counts = np.empty((2, group.count + 1, group.bins), np.uint32)
            for u in units:
                counts[:] = 0
                grid = grids[u]
                count_unit(maps.numpy(), u, reach, axes, grid.cells, grid.levels, *group.arrays, *counts.reshape(2, -1))
                for table, tuples in zip(tables, counts, strict=True):
                    spread(tuples, grid.full_bin, starts, members, table[u])

        workers = torch.get_num_threads()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(count, [range(i, maps.shape[1], workers) for i in range(workers)]))


class _Grid(NamedTuple):
    """A unit's levels behind a grid of equal cells, see `count_unit`."""

    cells: tuple[np.float32, np.float32, npt.NDArray[np.uint8]]
    levels: npt.NDArray[np.float64]
    full_bin: npt.NDArray[np.int64]

    @staticmethod
    def of(levels: npt.NDArray[np.float64]) -> "_Grid":
        """Cut the range of the levels into cells, and open those that a level lies in or next to."""
        distinct, places = np.unique(levels, return_index=True)
        edges = _rounded_down(distinct)
        with np.errstate(over="ignore", divide="ignore"):
            scale = np.float32(CELLS / (edges[-1] - edges[0]))
        if not np.isfinite(scale):
            scale = np.float32(0)
        place = np.minimum((edges - edges[0]) * scale, np.float32(CELLS - 1))
        first, own, last = (np.clip(place + shift, 0, CELLS - 1).astype(np.int64) for shift in (-WALL, 0, WALL))
        below = np.searchsorted(last, np.arange(CELLS)).astype(np.uint8)
        below[np.concatenate([first, own, last])] += OPEN
        start = np.array([OPEN if distinct[0] != edges[0] else 0], np.uint8)
        return _Grid((edges[0], scale, np.concatenate([start, below])), distinct, np.append(places, len(levels)))


def _reach(maps: Features, size: tuple[int, int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the least value and the greatest magnitude of each map; zeros where nothing is resampled."""
    if maps.shape[-2:] == torch.Size(size):
        nothing = np.zeros(maps.shape[:2], np.float32)
        return nothing, nothing
    least = maps.amin((2, 3))
    return least.numpy(), torch.maximum(-least, maps.amax((2, 3))).numpy()


def _rounded_down(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the greatest float32 not above each value: a float32 is above the value if it is above that one."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def _count_on_device(levels: Tensor, counts: Tensor, features: Features, group: Combinations) -> None:
    """Count with tensor operations alone, on any device; nothing leaves it. Also the compiled loops' reference."""
    repeats = group.starts.diff()
    for u in range(features.shape[1]):
        bin_ = torch.searchsorted(levels[u], upsample(features[:, u : u + 1], group.size).flatten(1))
        for kind, rows in enumerate((group.pixels, group.partners)):
            tuples = torch.bincount((rows + bin_).flatten(), minlength=(group.count + 1) * group.bins)
            concepts = tuples.view(-1, group.bins)[:-1].repeat_interleave(repeats, 0)
            counts[kind, u].index_add_(0, group.members, concepts.to(counts.dtype))
