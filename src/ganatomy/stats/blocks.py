"""How the agreement of units and concepts varies over a sample: counts by blocks of pictures, at one level a pair.

A table of counts is one number a cell for the whole sample, and has no error. Errors come from drawing blocks of the
sample again (`resampling`). The whole table for every block would be large, but scores are read at the level that the
other half of the sample chose, which is known before this half is counted: so a block needs three numbers a pair.
"""

import math
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


def block_size(images: int) -> int:
    """Return how many pictures make a block: a power of two, so that blocks begin where batches and shards do.

    >>> [block_size(n) for n in (2, 30, 200, 500, 1000, 10_000)]
    [2, 2, 16, 32, 32, 512]
    """
    least = max(math.ceil(images / MANY), min(32, math.ceil(images / FEW)), 2)
    return 1 << (least - 1).bit_length()


def blocks_of(images: int) -> int:
    """Return how many blocks a sample has."""
    return math.ceil(images / block_size(images))


def in_blocks(first: int, images: int, size: int) -> Iterator[tuple[slice, int | None]]:
    """Cut pictures of consecutive ids where blocks begin; yield places and block.

    A last picture that has no partner is of no block: the control, which pairs pictures, has not seen it.
    """
    done = 0
    while done < images:
        block = (first + done) // size
        stop = min((block + 1) * size - first, images)
        if stop - done > 1:
            stop -= (stop - done) % 2
        yield slice(done, stop), None if stop - done == 1 else block
        done = stop


class BlockedAgreement(Agreement):
    """Pixel counts of one layer; and of blocks of pictures, at one level of each pair.

    Attributes:
        level: int16 [u, concepts], index into the levels; -1 for pairs that are not counted.
        both: integer [2, blocks, u, concepts], pixels above the level that show the concept; index 1 the control.
        on: integer [blocks, u, concepts], pixels above the level.
        shown: integer [blocks, concepts], pixels that show the concept.
        size: int64 [1], pictures a block; block 0 begins with id 0.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **Agreement.FIELDS,
        **dict.fromkeys(("level", "size"), same),
        **dict.fromkeys(("both", "on", "shown"), add),
    }

    def __init__(self, levels: Tensor, level: Tensor, images: int, pixels: int) -> None:
        """Start empty, for that many pictures, and that many pixels a unit."""
        units, concepts = level.shape
        super().__init__(levels, concepts, pixels)
        blocks = blocks_of(images)
        self.level = level.to(levels.device, torch.int16)
        self.both = self.counts.new_zeros(2, blocks, units, concepts)
        self.on = self.counts.new_zeros(blocks, units, concepts)
        self.shown = self.counts.new_zeros(blocks, concepts)
        self.size = torch.tensor([block_size(images)], device=levels.device)

    _read: Tensor | None = None
    """What was read off the counts last, [3, u, concepts]; None if it must be read anew."""

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W], ids int64 [b]) of one batch; the ids are a range."""
        features, labels, ids = batch
        for part, block in in_blocks(int(ids[0]), len(ids), int(self.size)):
            self.update_block(features[part], combine(labels[part], self.counts.shape[-1]), block)

    def update_block(self, features: Features, labels: Combinations, block: int | None) -> None:
        """Take in pictures of one block, their labels numbered once for all layers."""
        if block is None:
            self.update_combined(features, labels)
            self._read = None
            return
        before = self._above() if self._read is None else self._read
        shown = self.counts[0, 0].sum(-1)
        self.update_combined(features, labels)
        self._read = self._above()
        *both, on = self._read - before
        self.both[:, block] += torch.stack(both)
        self.on[block] += on
        self.shown[block] += self.counts[0, 0].sum(-1) - shown

    def _above(self) -> Tensor:
        """Return the pixels counted so far above each pair's level: matched, mismatched, and of any concept."""
        if self.counts.is_cuda:
            return _above_on_device(self.counts, self.level)
        found = self.counts.new_zeros(3, *self.level.shape)
        read_above(self.counts.numpy(), self.level.numpy(), found.numpy())
        return found


def _above_on_device(counts: Tensor, level: Tensor) -> Tensor:
    """Read with tensor operations alone, unit by unit, on any device. Also the compiled loop's reference."""
    found = counts.new_zeros(3, *level.shape)
    bins = torch.arange(counts.shape[-1], device=counts.device)
    for u, own in enumerate(level):
        above = (own >= 0)[:, None] & (bins > own[:, None])
        tables = torch.cat([counts[:, u], counts[:1, u, :1].expand(-1, len(own), -1)])
        found[:, u] = (tables * above).sum(-1).to(counts.dtype)
    return found
