"""How units agree with concepts at one level for each pair, as a whole and by blocks of images.

The level of a pair is chosen on the other half of the sample, so a pair needs a few numbers and not one for every bin;
they are kept for every block of images, for bootstrap errors. For the concepts that were best for a unit on the other
half, all bins are kept, too.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganatomy.stats.agreement import counter_type
from ganatomy.stats.base import Accumulator, Merge, add, require_equal, zeros
from ganatomy.stats.combinations import Combinations, index_labels
from ganatomy.stats.counting import Take, count_pixels
from ganatomy.stats.rows import Bins, UnitRows, add_pairs

FEW, MANY = 16, 32
"""A sample has up to 16 blocks, up to 32 where these are of 32 images or more: a cut within a batch takes time."""
UNITS = {"levels": 0, "level": 0, "null_level": 0, "kept": 0, "null_both": 0, "group_bins": 1, "both": 2}
"""The axis of units of what has one."""
BINS = ("bins", "kept_bins")
"""What has the bins of all units, one after the other, on its last axis."""
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
        shown: integer [2, blocks + 1, c], pixels that show the concept.
        null_both: integer [u, c], mismatched pixels above the null level that show the concept.
        bins: integer [2, blocks + 1, n], pixels in the bins that `Bins.between` the levels lists.
        kept_bins: integer [2, k, n], those of them that show each kept concept, of all blocks.
        group_bins: integer [blocks, u, k', groups], those of the first k' kept concepts by block, in groups of `GROUP`
            bins.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **dict.fromkeys(("levels", "concepts", "level", "null_level", "kept", "span"), require_equal),
        **dict.fromkeys(("both", "shown", "null_both", "bins", "kept_bins", "group_bins"), add),
    }

    def __init__(self, chosen: PairLevels, ids: range, area: int) -> None:
        """Start empty, for the images of these ids, of which each has so many pixels."""
        for name in chosen.__dataclass_fields__:
            setattr(self, name, getattr(chosen, name))
        of_block = counter_type(block_size(len(ids)) * area)
        for name, shape in shapes(chosen, len(ids)).items():
            kind = counter_type(len(ids) * area) if name in ("null_both", "kept_bins") else of_block
            setattr(self, name, zeros(shape, kind, chosen.levels.device))
        self.span = torch.tensor([ids.start, block_size(len(ids))])

    levels: Tensor
    concepts: Tensor
    level: Tensor
    null_level: Tensor
    kept: Tensor
    both: Tensor
    shown: Tensor
    null_both: Tensor
    bins: Tensor
    kept_bins: Tensor
    group_bins: Tensor

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return sum(getattr(self, name).nbytes for name in self.FIELDS)

    @property
    def blocks(self) -> int:
        """How many there are."""
        return self.both.shape[1] - 1

    @cached_property
    def _listed(self) -> Bins:
        return Bins.between(self.levels)

    @property
    def on(self) -> Tensor:
        """Pixels above the level, integer [2, blocks + 1, u, c]."""
        return self._on(self.bins, self.level)

    @property
    def null(self) -> Tensor:
        """Mismatched pixels above the null level, integer [2, u, c]: that show the concept, and all."""
        return torch.stack([self.null_both, self._on(self.bins[1].sum(0, dtype=self.null_both.dtype), self.null_level)])

    @property
    def curves(self) -> Tensor:
        """Pixels by bin, integer [2, u, 1 + k, l + 1]: all, and those that show each kept concept."""
        every = self.bins.sum(1, keepdim=True, dtype=self.kept_bins.dtype)
        above = self._spread(torch.cat([every, self.kept_bins], 1)).transpose(1, 2)
        shown = self.shown.sum(1, dtype=above.dtype)[:, self._rows(self.kept.shape[1])]
        above[..., 0] = shown - above.sum(-1)
        return above

    @property
    def groups(self) -> Tensor:
        """Pixels by block in groups of bins, integer [blocks, u, 1 + k', groups]: all, and of the first kept ones."""
        every = grouped(self._spread(self.bins[0, :-1]))
        above = torch.cat([every[:, :, None], self.group_bins], 2)
        above[..., 0] += self.shown[0, :-1, self._rows(self.group_bins.shape[2])] - above.sum(-1, dtype=above.dtype)
        return above

    def _rows(self, kept: int) -> Tensor:
        """Return the places of any pixel and of the first kept concepts of each unit, int64 [u, 1 + kept]."""
        return torch.nn.functional.pad(self.kept[:, :kept].long(), (1, 0))

    def _spread(self, bins: Tensor) -> Tensor:
        """Return counts [..., n] of the bins that are kept as [..., u, l + 1]."""
        every = bins.new_zeros(*bins.shape[:-1], len(self.levels), self.levels.shape[1] + 1)
        every[..., self._listed.units, self._listed.kept] = bins
        return every

    def _on(self, bins: Tensor, level: Tensor) -> Tensor:
        """Return how many pixels [..., u, c] are above a level, given those in the bins that are kept, [..., n]."""
        above = self._spread(bins).flip(-1).cumsum(-1, dtype=bins.dtype).flip(-1)
        first = (level.long() + 1).expand(*above.shape[:-1], -1)
        return torch.where(first > 0, above.gather(-1, first), 0)

    def cut(self, units: slice) -> "PairCounts":
        """Return the counts of some consecutive units; the memory is shared."""
        state, columns = self.state_dict(), self._listed.columns(units)
        state |= {name: state[name][(slice(None),) * axis + (units,)] for name, axis in UNITS.items()}
        return self.from_state(state | {name: state[name][..., columns] for name in BINS})

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, u, h, w], labels [b, plane, H, W], ids int64 [b]) of one batch; the ids are a range."""
        features, labels, ids = batch
        for part, block in self.parts(int(ids[0]), len(ids)):
            numbered = index_labels(labels[part], self.levels.shape[1] + 1)
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
        if self.bins.is_cuda:
            return self._taking_on_device(places, block)
        columns = torch.full_like(labels.concepts, -1)
        columns[places[places >= 0]] = (places >= 0).nonzero()[:, 0]
        listed, level, null_level = self._above
        chosen = level, null_level, self.kept.numpy()
        groups = self.group_bins[own] if block is not None else self.group_bins[0, :, :0]
        counted = self.both[:, own], self.null_both, self.bins[:, own], self.kept_bins, groups
        tables = tuple(each.numpy() for each in counted)

        def take(found: UnitRows) -> None:
            add_pairs(*found, columns.numpy(), chosen, listed, tables, GROUP)

        return take

    @cached_property
    def _above(self) -> tuple[Any, ...]:
        """The bins of the units, and the first of them above each level, as compiled loops read them."""
        bins, count = self._listed, self.levels.shape[1]
        listed = bins.begins.numpy(), bins.kept.numpy()
        return listed, *(bins.above(level, count).numpy() for level in (self.level, self.null_level))

    def _taking_on_device(self, places: Tensor, block: int | None) -> Take:
        own, device = self.blocks if block is None else block, self.levels.device
        at, shown = places.clamp(min=0), places >= 0
        begins, kept = self._listed.begins.tolist(), self._listed.kept.to(device)

        def take(unit: int, counts: Tensor) -> None:
            mine = slice(begins[unit], begins[unit + 1])
            self.bins[:, own, mine] += counts[:, 0, kept[mine]].to(self.bins.dtype)
            row = places[self.kept[unit].long()]
            of_kept = torch.where((row >= 0)[:, None], counts[:, row.clamp(min=0)], 0)
            self.kept_bins[:, :, mine] += of_kept[..., kept[mine]].to(self.kept_bins.dtype)
            if block is not None:
                few = torch.nn.functional.pad(of_kept[0, : self.group_bins.shape[2], 1:], (1, 0))
                self.group_bins[block, unit] += grouped(few).to(self.group_bins.dtype)
            above = counts.flip(-1).cumsum(-1).flip(-1)
            for levels, kinds, tables in (
                (self.level[unit], (0, 1), self.both[:, own, unit]),
                (self.null_level[unit], (1,), [self.null_both[unit]]),
            ):
                bins = (levels.long() + 1).clamp(min=0)
                for kind, both in zip(kinds, tables, strict=True):
                    both += torch.where((levels >= 0) & shown, above[kind, at, bins], 0).to(both.dtype)

        return take

    def merge(self, other: "PairCounts") -> "PairCounts":
        """Return the counts of both samples; with those of an older version, what that counted."""
        if {type(self), type(other)} == {PairCounts, OldPairCounts}:
            return Accumulator.merge(*(OldPairCounts.like(each) for each in (self, other)))
        return super().merge(other)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "PairCounts":
        """Build it from what `state_dict` returned, or what that of an older version did."""
        kind: type[PairCounts] = OldPairCounts if "on" in state else cls
        return super(PairCounts, kind).from_state(state)


class OldPairCounts(PairCounts):
    """The counts of a study of an older version, which has in its files what else follows from them."""

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **dict.fromkeys(("levels", "concepts", "level", "null_level", "kept", "span"), require_equal),
        **dict.fromkeys(("both", "on", "shown", "null", "curves", "groups"), add),
    }
    on = null = curves = groups = torch.empty(0)  # read, not computed

    @classmethod
    def like(cls, other: PairCounts) -> "PairCounts":
        """Return the same counts as an older version has them."""
        return cls.from_state({name: getattr(other, name) for name in cls.FIELDS})


def shapes(chosen: PairLevels, images: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the counts of `PairCounts`, for so many images."""
    blocks, (units, concepts) = blocks_of(images), chosen.level.shape
    bins, kept = chosen.levels.shape[1] + 1, chosen.kept.shape[1]
    listed = len(Bins.between(chosen.levels).kept)
    return {
        "both": (2, blocks + 1, units, concepts),
        "shown": (2, blocks + 1, concepts),
        "null_both": (units, concepts),
        "bins": (2, blocks + 1, listed),
        "kept_bins": (2, kept, listed),
        "group_bins": (blocks, units, min(kept, GROUPED), math.ceil(bins / GROUP)),
    }


def size(chosen: PairLevels, images: int) -> int:
    """Return how many bytes the counts of one layer take at most."""
    return 8 * sum(math.prod(shape) for shape in shapes(chosen, images).values())


def grouped(counts: Tensor) -> Tensor:
    """Return the sums of groups of bins, [..., groups]."""
    whole = torch.nn.functional.pad(counts, (0, -counts.shape[-1] % GROUP))
    return whole.view(*counts.shape[:-1], -1, GROUP).sum(-1, dtype=counts.dtype)
