"""How units agree with concepts at one level for each pair, as a whole and by blocks of images.

The level of a pair is chosen on the other half of the sample, so a pair needs a few numbers and not one for every bin;
they are kept for every block of images, for bootstrap errors. For the concepts that were best for a unit on the other
half, all bins are kept, too.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ganatomy.stats.agreement import counter_type
from ganatomy.stats.base import Accumulator, Merge, add, require_equal, zeros
from ganatomy.stats.combinations import Combinations, index_labels
from ganatomy.stats.counting import Take, count_pixels
from ganatomy.stats.rows import UnitRows, add_pairs

FEW, MANY = 16, 32
"""A sample has up to 16 blocks, up to 32 where these are of 32 images or more: a cut within a batch takes time."""
AXES = {
    **dict.fromkeys(("levels", "level", "null_level", "kept"), 0),
    **dict.fromkeys(("null", "curves", "groups"), 1),
    **dict.fromkeys(("both", "on"), 2),
}
"""The axis of units of what has one."""
GROUP = 8
"""So many bins between levels are one number in what is kept of blocks to choose levels again."""
GROUPED = 12
"""For so many of a unit's kept concepts at most, the bins are also kept by blocks, in groups."""


def block_size(images: int) -> int:
    """Return how many images make a block: a power of two, so that blocks begin where batches and shards do.

    >>> [block_size(n) for n in (2, 30, 200, 500, 1000, 10_000)]
    [2, 2, 16, 32, 32, 512]
    """
    least = max(math.ceil(images / MANY), min(32, math.ceil(images / FEW)), 2)
    return 1 << (least - 1).bit_length()


def blocks_of(images: int) -> int:
    """Return how many blocks a sample has; a last image without a partner is of none."""
    return math.ceil(images // 2 * 2 / block_size(images))


@dataclass(frozen=True, eq=False)
class PairLevels:
    """What is counted of the pairs of one layer.

    Attributes:
        levels: float64 [u, l], ascending for each unit.
        concepts: int64 [c], the concepts that are scored, ascending, 0 the first.
        level: int16 [u, c], index into the levels; -1 for none.
        null_level: int16 [u, c], the level at which mismatched pairs are scored.
        kept: int16 [u, k], places in `concepts` of those whose bins are kept, best first.
    """

    levels: Tensor
    concepts: Tensor
    level: Tensor
    null_level: Tensor
    kept: Tensor

    def to(self, device: torch.device) -> "PairLevels":
        """Return it on a device."""
        return PairLevels(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class PairCounts(Accumulator):
    """Pixels of every pair at its level.

    Attributes:
        levels, concepts, level, null_level, kept: see `PairLevels`.
        span: int64 [2], the id that block 0 begins with, and images a block.
        both: integer [2, blocks + 1, u, c], pixels above the level that show the concept; index 1 the control. The last
            block holds an image without a partner, which the control has not seen.
        on: integer [2, blocks + 1, u, c], pixels above the level.
        shown: integer [2, blocks + 1, c], pixels that show the concept.
        null: integer [2, u, c], mismatched pixels above the null level: that show the concept, and all.
        curves: integer [2, u, 1 + k, l + 1], pixels by bin: all, and those that show each kept concept.
        groups: integer [blocks, u, 1 + k', groups], those of the first k' kept concepts by block, in groups of `GROUP`
            bins.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **dict.fromkeys(("levels", "concepts", "level", "null_level", "kept", "span"), require_equal),
        **dict.fromkeys(("both", "on", "shown", "null", "curves", "groups"), add),
    }

    def __init__(self, chosen: PairLevels, ids: range, area: int) -> None:
        """Start empty, for the images of these ids, of which each has so many pixels."""
        for name in chosen.__dataclass_fields__:
            setattr(self, name, getattr(chosen, name))
        of_block = counter_type(block_size(len(ids)) * area)
        for name, shape in shapes(chosen, len(ids)).items():
            kind = counter_type(len(ids) * area) if name in ("null", "curves") else of_block
            setattr(self, name, zeros(shape, kind, chosen.levels.device))
        self.span = torch.tensor([ids.start, block_size(len(ids))])

    levels: Tensor
    concepts: Tensor
    level: Tensor
    null_level: Tensor
    kept: Tensor
    both: Tensor
    on: Tensor
    shown: Tensor
    null: Tensor
    curves: Tensor
    groups: Tensor

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return sum(getattr(self, name).nbytes for name in self.FIELDS)

    @property
    def blocks(self) -> int:
        """How many there are."""
        return len(self.groups)

    def cut(self, units: slice) -> "PairCounts":
        """Return the counts of some consecutive units; the memory is shared."""
        state = self.state_dict()
        state |= {name: state[name][(slice(None),) * axis + (units,)] for name, axis in AXES.items()}
        return self.from_state(state)

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W], ids int64 [b]) of one batch; the ids are a range."""
        features, labels, ids = batch
        for part, block in self.parts(int(ids[0]), len(ids)):
            numbered = index_labels(labels[part], self.curves.shape[-1])
            count_pixels(self.levels, features[part], numbered, [self.taking(numbered, block)])

    def parts(self, first: int, images: int) -> Iterator[tuple[slice, int | None]]:
        """Cut images of consecutive ids where blocks begin; yield each slice and its block.

        A last image without a partner, which the control lacks, is of no block.
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

    def taking(self, labels: Combinations, block: int | None) -> Take:
        """Return what takes in the counts of images of one block; None for an image of no block."""
        known = labels.concepts.to(self.concepts.device)
        places = torch.searchsorted(known, self.concepts).clamp(max=len(known) - 1)
        places = torch.where(known[places] == self.concepts, places, -1)
        own = self.blocks if block is None else block
        shown = torch.where(places >= 0, labels.shown[places], 0)
        self.shown[: 1 if block is None else 2, own] += shown.to(self.shown.dtype)  # a pair exchanges what it shows
        self._show_all(torch.where(places >= 0, labels.both_shown[:, places], 0), block)
        if self.curves.is_cuda:
            return self._taking_on_device(places, block)
        columns = torch.full_like(labels.concepts, -1)
        columns[places[places >= 0]] = (places >= 0).nonzero()[:, 0]
        chosen = self.level.numpy(), self.null_level.numpy(), self.kept.numpy()
        groups = self.groups[own] if block is not None else self.groups[0, :, :0]
        tables = tuple(each.numpy() for each in (self.both[:, own], self.on[:, own], self.null, self.curves, groups))

        def take(found: UnitRows) -> None:
            add_pairs(*found, columns.numpy(), chosen, tables, GROUP)

        return take

    def _show_all(self, shown: Tensor, block: int | None) -> None:
        """Put all pixels [2, c] that show each concept into the lowest bin of every unit."""
        rows = torch.nn.functional.pad(self.kept.long(), (1, 0))
        self.curves[..., 0] += shown[:, rows].to(self.curves.dtype)
        if block is not None:
            self.groups[block, ..., 0] += shown[0, rows[:, : self.groups.shape[2]]].to(self.groups.dtype)

    def _taking_on_device(self, places: Tensor, block: int | None) -> Take:
        own = self.blocks if block is None else block
        at, shown = places.clamp(min=0), places >= 0

        def take(unit: int, counts: Tensor) -> None:
            counts = torch.cat([-counts[..., 1:].sum(-1, keepdim=True), counts[..., 1:]], -1)  # moved from the lowest
            bins = torch.nn.functional.pad(places[self.kept[unit].long()], (1, 0))  # before them all pixels
            curves = torch.where((bins >= 0)[:, None], counts[:, bins.clamp(min=0)], 0)
            self.curves[:, unit] += curves.to(self.curves.dtype)
            if block is not None:
                self.groups[block, unit] += grouped(curves[0, : self.groups.shape[2]]).to(self.groups.dtype)
            above = counts.flip(-1).cumsum(-1).flip(-1)
            for levels, kinds, tables in (
                (self.level[unit], (0, 1), zip(self.both[:, own, unit], self.on[:, own, unit], strict=True)),
                (self.null_level[unit], (1,), [(self.null[0, unit], self.null[1, unit])]),
            ):
                bins = (levels.long() + 1).clamp(min=0)
                for kind, (both, on) in zip(kinds, tables, strict=True):
                    on += torch.where(levels >= 0, above[kind, 0, bins], 0).to(on.dtype)
                    both += torch.where((levels >= 0) & shown, above[kind, at, bins], 0).to(both.dtype)

        return take


def shapes(chosen: PairLevels, images: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the counts of `PairCounts`, for so many images."""
    blocks, (units, concepts) = blocks_of(images), chosen.level.shape
    bins, kept = chosen.levels.shape[1] + 1, chosen.kept.shape[1]
    return {
        "both": (2, blocks + 1, units, concepts),
        "on": (2, blocks + 1, units, concepts),
        "shown": (2, blocks + 1, concepts),
        "null": (2, units, concepts),
        "curves": (2, units, 1 + kept, bins),
        "groups": (blocks, units, 1 + min(kept, GROUPED), math.ceil(bins / GROUP)),
    }


def size(chosen: PairLevels, images: int) -> int:
    """Return how many bytes the counts of one layer take at most."""
    return 8 * sum(math.prod(shape) for shape in shapes(chosen, images).values())


def grouped(counts: Tensor) -> Tensor:
    """Return the sums of groups of bins, [..., groups]."""
    whole = torch.nn.functional.pad(counts, (0, -counts.shape[-1] % GROUP))
    return whole.view(*counts.shape[:-1], -1, GROUP).sum(-1, dtype=counts.dtype)
