"""The labels of a batch, numbered once for all units and layers."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.resample import Grid
from ganatomy.core.tensor_types import Labels

RARE = 32
"""A label tuple on fewer pixels of a batch than this has no row of its own: adding up a row costs more than they do."""

Numbers = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Combinations:
    """The distinct label tuples of a batch, numbered, each with a row of bins in a flat table of counts.

    Every concept of the batch has a row too, after those of the tuples. Pixels with a rare tuple are counted in the
    rows of its concepts instead, and in an extra last row.

    Attributes:
        pixels: int64 [b, H*W], where the row of each pixel's tuple begins: its number times `bins`.
        places, rows: int64 [n], pixels of the batch with a rare tuple, and where the row of one of its concepts begins.
        starts, members: row k shows the concepts at the places ``members[starts[k]:starts[k+1]]``; place 0 stands for
            any pixel.
        concepts: int64 [c], what is at each place: the concepts that the batch shows, ascending, 0 before them.
        shown: int64 [c], pixels that show each.
        bins: how many bins a row has.
        grid: the points that the pixels stand for.
    """

    pixels: Tensor
    places: Tensor
    rows: Tensor
    starts: Tensor
    members: Tensor
    concepts: Tensor
    shown: Tensor
    bins: int
    grid: Grid

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.starts)

    def mismatched(self) -> "Combinations":
        """Exchange the labels of images 0 and 1, 2 and 3, …; the last of an odd number has no partner."""
        area, even = self.pixels.shape[1], len(self.pixels) // 2 * 2
        swapped = self.pixels[:even].view(-1, 2, area).flip(1).view(even, area)
        paired = self.places < even * area
        image, place = self.places[paired] // area, self.places[paired] % area
        return replace(self, pixels=swapped, places=(image ^ 1) * area + place, rows=self.rows[paired])

    @cached_property
    def both_shown(self) -> Tensor:
        """Pixels that show each concept, int64 [2, c]: of the images, and of mismatched images."""
        pixels = torch.cat([x.flatten() for x in (self.mismatched().pixels, self.mismatched().rows)]) // self.bins
        rows = torch.bincount(pixels, minlength=self.count)[:-1].repeat_interleave(self.starts.diff())
        return torch.stack([self.shown, torch.zeros_like(self.shown).index_add_(0, self.members, rows)])

    @cached_property
    def arrays(self) -> tuple[Numbers, tuple[tuple[Numbers, Numbers], ...]]:
        """Pixels, and pixels apart from pairs, as `count_unit` reads them."""
        b, area = self.pixels.shape
        alone = torch.arange((b // 2 * 2) * area, b * area)
        places = torch.cat([self.places, alone]), torch.cat([self.rows, self.pixels.flatten()[alone]])
        swapped = self.mismatched()
        apart = tuple(tuple(numbers(x) for x in pair) for pair in (places, (swapped.places, swapped.rows)))
        return numbers(self.pixels), apart  # type: ignore[return-value]  # pairs


def numbers(x: Tensor) -> Numbers:
    """Return whole numbers as compiled loops read them."""
    return x.to(torch.uint32).numpy()


def index_labels(labels: Labels, bins: int, image: tuple[int, int] | None = None) -> Combinations:
    """Number the label tuples of a batch. A concept that several planes show at a pixel counts once.

    Args:
        bins: of a row.
        image: height and width of larger maps of which the labels are some pixels.
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
    concepts, place = torch.unique(tuples, return_inverse=True)  # 0 is one of them: the first column has no other
    shown = tuples > 0
    shown[:, 0] = True
    each, common = shown.sum(1), pixels >= RARE
    own = int(common.sum())
    row = torch.where(common, common.cumsum(0) - 1, own + len(concepts)).index_select(0, code)
    places = (row == own + len(concepts)).nonzero()[:, 0]
    rare = code[places]
    return Combinations(
        pixels=row.view(len(labels), -1) * bins,
        places=places.repeat_interleave(each[rare]),
        rows=(own + place[rare][shown[rare]]) * bins,
        starts=torch.cat([each.new_zeros(1), each[common], torch.ones_like(concepts)]).cumsum(0),
        members=torch.cat([place[common][shown[common]], torch.arange(len(concepts), device=labels.device)]),
        concepts=concepts,
        shown=pixels.new_zeros(len(concepts)).index_add_(0, place[shown], pixels.repeat_interleave(each)),
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
