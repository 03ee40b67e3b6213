"""How units agree with concepts: one table of pixel counts, from which every score of dissection is read.

The table of a layer counts, for each unit, concept and bin between two levels, the pixels whose upsampled activation
falls in the bin and that show the concept. It is a sum over pixels, so shards merge exactly. Row 0, the place of
"nothing", counts every pixel. Beside it stands the control: the same counts with the pictures of neighbouring ids
swapped, so that features meet labels that they did not draw.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.errors import BadValue
from ganatomy.resample import Grid, upsample
from ganatomy.stats.base import Accumulator, Merge, add, same
from ganatomy.stats.crossings import CROWD
from ganatomy.stats.kernels import OPEN, count_unit, spread
from ganatomy.stats.patches import lay_patches
from ganatomy.types import Features, Labels

RARE = 32
"""A label tuple on fewer pixels of a batch than this has no row of its own: adding up a row costs more than they do."""

Numbers = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Combinations:
    """The distinct label tuples of a batch, numbered, each with a row of bins in a flat table of counts.

    Every concept has a row too, after those of the tuples. Pixels whose tuple is rare are counted in the rows of its
    concepts instead, and have the extra last row as their own.

    Attributes:
        pixels: int64 [b, H*W], where the row of each pixel's tuple begins: its number times `bins`.
        places, rows: int64 [n], pixels of the batch with a rare tuple, and where the row of one of its concepts begins.
        starts, members: row k shows the concepts ``members[starts[k]:starts[k+1]]``; 0 stands for any pixel.
        concepts: all labels are below this.
        bins: how many bins a row has.
        grid: the points that the pixels stand for.
    """

    pixels: Tensor
    places: Tensor
    rows: Tensor
    starts: Tensor
    members: Tensor
    concepts: int
    bins: int
    grid: Grid

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.starts)

    def mismatched(self) -> "Combinations":
        """Exchange the labels of pictures 0 and 1, 2 and 3, …; the last of an odd number has no partner."""
        area, even = self.pixels.shape[1], len(self.pixels) // 2 * 2
        swapped = self.pixels[:even].view(-1, 2, area).flip(1).view(even, area)
        paired = self.places < even * area
        image, place = self.places[paired] // area, self.places[paired] % area
        return replace(self, pixels=swapped, places=(image ^ 1) * area + place, rows=self.rows[paired])

    @cached_property
    def arrays(self) -> tuple[Numbers, tuple[tuple[Numbers, Numbers], ...]]:
        """Pixels and further pixels as `count_unit` reads them: in pairs, and those apart from pairs."""
        b, area = self.pixels.shape
        alone = torch.arange((b // 2 * 2) * area, b * area)
        places = torch.cat([self.places, alone]), torch.cat([self.rows, self.pixels.flatten()[alone]])
        swapped = self.mismatched()
        apart = tuple(tuple(_numbers(x) for x in pair) for pair in (places, (swapped.places, swapped.rows)))
        return _numbers(self.pixels), apart  # type: ignore[return-value]  # pairs


def _numbers(x: Tensor) -> Numbers:
    return x.to(torch.uint32).numpy()


def combine(labels: Labels, bins: int, image: tuple[int, int] | None = None) -> Combinations:
    """Number the label tuples of a batch. A concept that several planes show at a pixel counts once.

    Args:
        labels: of the batch.
        bins: of a row.
        image: where the labels are those of some pixels of larger maps, the height and width of these.

    Raises:
        BadValue: a label is negative.
    """
    base = int(labels.max()) + 1
    if int(labels.min()) < 0:
        raise BadValue(f"label {int(labels.min())} is no concept; 0 is nothing, and concepts are counted from 1")
    code = labels.new_zeros(labels[:, 0].numel(), dtype=torch.int64)
    tuples, pixels = code.new_zeros(1, 1), code[:0]
    for plane in labels.unbind(1):
        distinct, code, pixels = _renumber(code * base + plane.flatten(), len(tuples) * base)
        before, label = tuples[distinct // base], distinct % base
        label[(before == label[:, None]).any(1)] = 0
        tuples = torch.cat([before, label[:, None]], dim=1)
    shown = tuples > 0
    shown[:, 0] = True
    each, common = shown.sum(1), pixels >= RARE
    own = int(common.sum())
    row = torch.where(common, common.cumsum(0) - 1, own + base).index_select(0, code)
    places = (row == own + base).nonzero()[:, 0]
    rare = code[places]
    concepts = torch.arange(base, device=labels.device)
    return Combinations(
        pixels=row.view(len(labels), -1) * bins,
        places=places.repeat_interleave(each[rare]),
        rows=(own + tuples[rare][shown[rare]]) * bins,
        starts=torch.cat([each.new_zeros(1), each[common], torch.ones_like(concepts)]).cumsum(0),
        members=torch.cat([tuples[common][shown[common]], concepts]),
        concepts=base,
        bins=bins,
        grid=Grid(labels.shape[-2], labels.shape[-1], image),
    )


def _renumber(code: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct codes (below `most`), the place of each pixel's among them, and how many pixels have it."""
    if most > len(code):
        return torch.unique(code, return_inverse=True, return_counts=True)  # type: ignore[no-any-return]
    pixels = torch.bincount(code, minlength=most)
    present = pixels > 0
    return present.nonzero()[:, 0], (present.cumsum(0) - 1).index_select(0, code), pixels[present]


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

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W]) of one batch."""
        features, labels = batch
        self.update_combined(features, combine(labels, self.counts.shape[-1]))

    def update_combined(self, features: Features, labels: Combinations) -> None:
        """Take in the features of one batch, its labels numbered once for all layers."""
        known = self.counts.shape[2]
        if labels.concepts > known:
            raise BadValue(f"label {labels.concepts - 1} is none of {known} concepts; give the labels' vocabulary")
        check_maps(features, len(self.levels), len(labels.pixels))
        count = _count_on_device if features.is_cuda else _count_on_cpu
        count(self.levels, self.counts, features, labels)


def check_maps(features: Features, units: int, images: int) -> None:
    """Refuse feature maps that are not of so many units and images: compiled loops read memory unchecked.

    Raises:
        BadValue: says what came.
    """
    if features.ndim != 4 or tuple(features.shape[:2]) != (images, units) or not features.numel():
        raise BadValue(f"features {list(features.shape)} are not of {images} images and {units} units, [b, u, h, w]")


def _count_on_cpu(levels: Tensor, counts: Tensor, features: Features, labels: Combinations) -> None:
    maps, cuts, tables = features.detach().contiguous().numpy(), levels.numpy(), counts.numpy()
    axes = tuple(tuple(axis) for axis in labels.grid.axes(maps.shape[-2:]))
    starts, members = _numbers(labels.starts), _numbers(labels.members)
    patches = lay_patches(labels.arrays[0], axes, CROWD)

    def count(units: range) -> None:
        found = np.zeros((2, labels.count, labels.bins), np.uint32)
        for u in units:
            count_unit(maps, u, axes, cuts[u], *labels.arrays, patches, found)
            for table, rows in zip(tables, found, strict=True):
                spread(rows, starts, members, table[u])

    workers = torch.get_num_threads()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(count, [range(i, maps.shape[1], workers) for i in range(workers)]))


def _count_on_device(levels: Tensor, counts: Tensor, features: Features, labels: Combinations) -> None:
    """Count with tensor operations alone, on any device; nothing leaves it. Also the compiled loops' reference."""
    shown = labels.starts.diff()
    kinds = (labels, labels.mismatched())
    for u in range(features.shape[1]):
        bins = torch.searchsorted(levels[u], upsample(features[:, u : u + 1], labels.grid).flatten(1))
        for table, kind in zip(counts[:, u], kinds, strict=True):
            pixels = (kind.pixels + bins[: len(kind.pixels)]).flatten()
            apart = kind.rows + bins.flatten()[kind.places]
            found = torch.bincount(torch.cat([pixels, apart]), minlength=labels.count * labels.bins)
            concepts = found.view(-1, labels.bins)[:-1].repeat_interleave(shown, 0)
            table.index_add_(0, labels.members, concepts.to(table.dtype))
