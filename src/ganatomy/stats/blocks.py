"""How the agreement of units and concepts varies over a sample: counts by blocks of pictures, at one level a pair.

A table of counts is one number a cell for the whole sample, and has no error. Errors come from drawing blocks of the
sample again (`resampling`). The whole table for every block would be large, but scores are read at the level that the
other half of the sample chose, which is known before this half is counted: so a block needs three numbers a pair.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ganatomy.stats.agreement import Agreement, Combinations, combine
from ganatomy.stats.base import Merge, add, same
from ganatomy.stats.kernels import read_above
from ganatomy.types import Features

FEW, MANY = 16, 32
"""A sample has up to 16 blocks, up to 32 where these are of 32 pictures or more: a cut within a batch takes time."""
GROUP = 8
"""So many bins between levels are one number in what is kept of blocks to choose levels again."""


def block_size(images: int, most: int = MANY) -> int:
    """Return how many pictures make a block: a power of two, so that blocks begin where batches and shards do.

    >>> [block_size(n) for n in (2, 30, 200, 500, 1000, 10_000)]
    [2, 2, 16, 32, 32, 512]
    """
    least = max(math.ceil(images / most), min(32, math.ceil(images / FEW)), 2)
    return 1 << (least - 1).bit_length()


def blocks_of(images: int, most: int = MANY) -> int:
    """Return how many blocks a sample has; a last picture without a partner is of none."""
    return math.ceil(images // 2 * 2 / block_size(images, most))


class Blocked(Agreement):
    """Counts as `Agreement`'s, and something of them for every block of pictures.

    Attributes:
        span: int64 [2], the id that block 0 begins with, and pictures a block.
    """

    span: Tensor
    _seen: Tensor | None = None
    """What was read off the counts last; None if it must be read anew."""

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W], ids int64 [b]) of one batch; the ids are a range."""
        features, labels, ids = batch
        for part, block in self.parts(int(ids[0]), len(ids)):
            self.update_block(features[part], combine(labels[part], self.counts.shape[-1]), block)

    def parts(self, first: int, images: int) -> Iterator[tuple[slice, int | None]]:
        """Cut pictures of consecutive ids where blocks begin; yield places and block.

        A last picture that has no partner is of no block: the control, which pairs pictures, has not seen it.
        """
        start, size = self.span.tolist()
        done = 0
        while done < images:
            block = (first - start + done) // size
            stop = min((block + 1) * size - (first - start), images)
            if stop - done > 1:
                stop -= (stop - done) % 2
            yield slice(done, stop), None if stop - done == 1 else block
            done = stop

    def update_block(self, features: Features, labels: Combinations, block: int | None) -> None:
        """Take in pictures of one block, their labels numbered once for all layers; None for pictures of no block."""
        before = self._look() if self._seen is None else self._seen
        self.update_combined(features, labels)
        self._seen = self._look()
        if block is not None:
            self._keep(block, self._seen - before)

    @property
    @abstractmethod
    def blocks(self) -> int:
        """How many there are."""

    @abstractmethod
    def _look(self) -> Tensor:
        """Return what has been counted so far, as far as it is kept by blocks."""

    @abstractmethod
    def _keep(self, block: int, gained: Tensor) -> None:
        """Add what a block has counted."""


class BlockedAgreement(Blocked):
    """Of every block, the counts at one level of each pair.

    Attributes:
        level: int16 [u, concepts], index into the levels; -1 for pairs that are not counted.
        both: integer [2, blocks, u, concepts], pixels above the level that show the concept; index 1 the control.
        on: integer [blocks, u, concepts], pixels above the level.
        shown: integer [blocks, concepts], pixels that show the concept.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **Agreement.FIELDS,
        **dict.fromkeys(("level", "span"), same),
        **dict.fromkeys(("both", "on", "shown"), add),
    }

    def __init__(self, levels: Tensor, level: Tensor, ids: range, pixels: int) -> None:
        """Start empty, for the pictures of these ids, and that many pixels a unit."""
        super().__init__(levels, level.shape[1], pixels)
        blocks = blocks_of(len(ids))
        self.level = level.to(levels.device, torch.int16)
        self.both = self.counts.new_zeros(2, blocks, *level.shape)
        self.on = self.counts.new_zeros(blocks, *level.shape)
        self.shown = self.counts.new_zeros(blocks, level.shape[1])
        self.span = torch.tensor([ids.start, block_size(len(ids))], device=levels.device)

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.shown)

    def _look(self) -> Tensor:
        """Return pixels above each pair's level, matched, mismatched and of any concept; then those shown by unit 0."""
        found = self.counts.new_zeros(3, *self.level.shape)
        if self.counts.is_cuda:
            _above_on_device(self.counts, self.level, found)
        else:
            read_above(self.counts.numpy(), self.level.numpy(), found.numpy())
        shown = self.counts[0, 0].sum(-1).to(found.dtype)
        return torch.cat([found.flatten(0, 1), shown[None]])

    def _keep(self, block: int, gained: Tensor) -> None:
        *tables, on = gained[:-1].view(3, *self.level.shape)
        self.both[:, block] += torch.stack(tables)
        self.on[block] += on
        self.shown[block] += gained[-1]


class GroupedAgreement(Blocked):
    """Of every block, the counts of matched pictures in groups of neighbouring bins.

    Attributes:
        groups: integer [blocks, u, concepts, groups], of `GROUP` bins each, fewer in the last.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {**Agreement.FIELDS, "span": same, "groups": add}

    def __init__(self, levels: Tensor, concepts: int, ids: range, pixels: int) -> None:
        """Start empty, for the pictures of these ids, and that many pixels a unit."""
        super().__init__(levels, concepts, pixels)
        groups = math.ceil(self.counts.shape[-1] / GROUP)
        self.groups = self.counts.new_zeros(blocks_of(len(ids), FEW), *self.counts.shape[1:3], groups)
        self.span = torch.tensor([ids.start, block_size(len(ids), FEW)], device=levels.device)

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.groups)

    def _look(self) -> Tensor:
        return grouped(self.counts[0])

    def _keep(self, block: int, gained: Tensor) -> None:
        self.groups[block] += gained


def grouped(counts: Tensor) -> Tensor:
    """Return the sums of groups of bins, [..., groups]."""
    whole = torch.nn.functional.pad(counts, (0, -counts.shape[-1] % GROUP))
    return whole.view(*counts.shape[:-1], -1, GROUP).sum(-1, dtype=counts.dtype)


def _above_on_device(counts: Tensor, level: Tensor, found: Tensor) -> None:
    """Read with tensor operations alone, unit by unit, on any device. Also the compiled loop's reference."""
    bins = torch.arange(counts.shape[-1], device=counts.device)
    for u, own in enumerate(level):
        above = (own >= 0)[:, None] & (bins > own[:, None])
        tables = torch.cat([counts[:, u], counts[:1, u, :1].expand(-1, len(own), -1)])
        found[:, u] = (tables * above).sum(-1).to(counts.dtype)
