"""The scores that other samples would give: blocks of a dissection's images drawn again, with their weights (SPEC 8).

Each draw takes blocks of the validation images, some twice and some not at all, and chooses levels anew; then blocks of
the evaluation images, and counts pixels at these levels. What comes of it is a `Scores` like that of the dissection, so
labels and verdicts follow by whatever rule these have. Kept as they are: the candidate levels, and the IoU of concepts
that were too rare to be counted by blocks.

The study has the counts of every evaluation block: at the level of each pair, and for the concepts that go best with a
unit at all levels, in groups. At another level, what a block adds is taken to be what it adds at the chosen one. Levels
are chosen anew for the pairs that a rule may choose from; those of others have no consequence. They are chosen on the
validation counts, changed as an independent draw of the evaluation blocks changes: both halves are samples of the same.

**Null.** A mismatched pair is scored on one half and controlled by the other, whose mismatched counts are not kept by
blocks: another draw of the evaluation blocks stands for these.

**Crossed halves.** The levels of the second fold are known only after it was counted, so its counts are kept; those of
the first are drawn again in so few blocks that their variance stands for that of both, and what other levels do to
them counts √2 times, for the same reason.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ganatomy.experiments.choosing import levels_of, pixels_at
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.scoring import PixelCounts, null_ratio, share_on, share_right
from ganatomy.experiments.tables import Floats, Scores
from ganatomy.stats.pairs import GROUP, PairCounts
from ganatomy.stats.scores import Rates, at_level, candidates, information_quality, iou, rates

CONTENDERS = 2
"""So many concepts of each unit, by each of three scores, get a level of their own in every draw."""
COLUMNS = ("level", "iou", "accuracy", "on", "iqr", "control", "null")
"""What a draw changes of a `UnitScores`."""
TINY = 1e-9


class Changes(NamedTuple):
    """How much more each block weighs in every draw than in the dissection, float64 [draws, blocks].

    For the images that are scored, for those that levels are chosen on, and for the control of mismatched pairs.
    """

    scored: Tensor
    chosen: Tensor
    other: Tensor


class _Part(NamedTuple):
    """Some units of a layer, and their pairs whose level is chosen anew in every draw.

    Attributes:
        units: what they are scored by.
        run: which run of the units of the layer they are, see `Tally.runs`.
        quality, null: [u, c], IQR on the validation half, and see `UnitScores`.
        rows, kept, concepts: int64 [r, 1], which of the units; [r, k], which of the kept concepts of each; and columns.
        curves, groups, chosen_on: what is kept of all levels, of these units: see `PairCounts`, `ChosenLevels`.
    """

    units: PixelCounts
    run: int
    quality: Tensor
    null: Tensor
    rows: Tensor
    kept: Tensor
    concepts: Tensor
    curves: Tensor
    groups: Tensor
    chosen_on: Tensor


@dataclass(frozen=True, eq=False)
class Redraws:
    """What the draws of a dissection are made from."""

    dissection: Dissection

    def scores(self, changes: Changes) -> Iterator[Scores]:
        """Yield the scores of every draw."""
        own = self.dissection.scores
        parts = (self._reading(part, changes) for part in self._parts)
        columns = {name: torch.cat(tables) for name, tables in zip(COLUMNS, zip(*parts, strict=True), strict=True)}
        shown = self._blocks(self._parts[0])[0]
        seen = own.pixels + (changes.scored @ shown).numpy()
        for draw, (pixels, share) in enumerate(zip(seen, self._validation_share(changes, seen, shown), strict=True)):
            reading = replace(own.reading, **{name: table[..., draw] for name, table in columns.items()})
            yield replace(own, reading=reading, pixels=pixels, validation_share=share)

    def _validation_share(self, changes: Changes, seen: Floats, shown: Tensor) -> Floats:
        """Return each concept's share of the images that levels are chosen on, [draws, c]: with crossed halves, all."""
        if self.dissection.spec.validation == "cross":
            return seen / seen[:, :1]
        chosen = self.dissection.chosen
        pixels = chosen.pixels[chosen.concepts].double()
        drawn = (pixels * (1 + changes.chosen @ shown / shown.sum(0).clamp(min=1))).clamp(min=0)
        return (drawn / drawn[:, :1]).numpy()

    @cached_property
    def _parts(self) -> list[_Part]:
        parts, done = [], 0
        for units in self.dissection.counted():
            begin = 0
            for run in self.dissection.evaluation.runs("evaluation", units.layer):
                table = self._table(units.layer, run)
                rows = slice(begin, begin + len(table.levels))
                where = slice(done + rows.start, done + rows.stop)
                parts.append(self._part(units.of(rows), run, where, table))
                begin = rows.stop
            done += begin
        return parts

    def _part(self, units: PixelCounts, run: int, where: slice, table: PairCounts) -> _Part:
        """Choose the best concepts by IoU, by IoU over chance and control, and by IQR, of units that have any."""
        spec, own, chosen = self.dissection.spec, self.dissection.scores, self.dissection.chosen
        quality = own.reading.iqr[where]
        kept = chosen.kept[where, : table.groups.shape[2] - 1].long()
        rare = torch.from_numpy(own.rare)
        overlap = iou(units.own)[..., 0].masked_fill(rare, -1.0)
        rows = (overlap.amax(1, keepdim=True) > spec.interpretable_iou / 2).nonzero()[:, :1]
        if spec.quantile is not None or not kept.shape[1]:  # levels are the same whatever is counted
            rows = rows[:0]
        floor = torch.maximum(iou(units.control)[..., 0], torch.from_numpy(own.share)).clamp(min=TINY)
        scores = (overlap, overlap / floor, quality.masked_fill(rare, -1.0))
        few = min(CONTENDERS, kept.shape[1])
        best = [score.gather(1, kept)[rows[:, 0]].topk(few).indices for score in scores]
        place = torch.cat(best, 1)
        concepts = kept[rows[:, 0]].gather(1, place)
        chosen_on = chosen.curves[where]
        return _Part(
            units, run, quality, own.reading.null[where], rows, place, concepts, table.curves, table.groups, chosen_on
        )

    def _table(self, layer: str, run: int) -> PairCounts:
        return self.dissection.evaluation.pairs("evaluation", layer, run)

    def _reading(self, part: _Part, changes: Changes) -> tuple[Tensor, ...]:
        """Return the `COLUMNS` for some units, each [u, c, draws]."""
        units, draws = part.units, len(changes.scored)
        level, quality = (table[..., None].repeat(1, 1, draws) for table in (units.level, part.quality))
        if len(part.rows):
            place = part.rows, part.concepts
            level[place], quality[place] = self._levels(part, changes.chosen)
        shown, on, both = self._blocks(part)
        own, control, other = (
            _redrawn(self._pixels(part, level, kind), kept, _more(change, shown, on, both[kind]))
            for kind, kept, change in (
                (0, units.own, changes.scored),
                (1, units.control, changes.scored),
                (1, units.control, changes.other),
            )
        )
        null = null_ratio(self.dissection.spec, control, other)
        return level, iou(own), share_right(own), share_on(own), quality, iou(control), null

    def _levels(self, part: _Part, change: Tensor) -> tuple[Tensor, Tensor]:
        """Return the levels that other images would choose, and IQR there, [r, k, draws].

        Within a group of bins all counts change alike.
        """
        spec, units = self.dissection.spec, part.units
        places = part.rows, torch.cat([torch.zeros_like(part.rows), part.kept + 1], 1)
        counts, groups = part.chosen_on[places], part.groups[:, *places].double()
        more = torch.einsum("dk,kucg->ducg", change, groups) / groups.sum(0).clamp(min=1)
        factor = (1 + more).repeat_interleave(GROUP, -1)[..., : counts.shape[-1]]
        drawn = (counts * factor).round().clamp(min=0).long().flatten(0, 1)
        cuts = self.dissection.levels(units.layer)[1][units.rows][part.rows[:, 0]]
        chosen = levels_of(spec, drawn, cuts.repeat(len(change), 1))
        shares = rates(drawn)
        quality = information_quality(Rates(*(at_level(x, chosen)[..., None] for x in shares)))[..., 0]
        meant = candidates(shares, cuts.repeat(len(change), 1), spec.threshold, spec.rare)
        quality = quality * at_level(meant.double(), chosen)
        chosen, quality = (x.view(len(change), *places[1].shape)[..., 1:].permute(1, 2, 0) for x in (chosen, quality))
        kept = units.level[part.rows, part.concepts][..., None]
        alone = levels_of(spec, counts, cuts)[:, 1:, None]  # by another rule than `pair`, others may have a say
        return torch.where(alone == kept, chosen, kept), quality

    def _pixels(self, part: _Part, level: Tensor, kind: int) -> Rates:
        """Return the pixels of each kind at the levels of every draw, [u, c, draws].

        Args:
            part: of which units.
            level: int64 [u, c, draws].
            kind: 0 for the images, 1 for mismatched images.
        """
        units, draws = part.units, level.shape[-1]
        pixels = Rates(*(x.repeat(1, 1, draws) for x in (units.own, units.control)[kind]))
        if len(part.rows):
            place = part.rows, part.concepts
            counts = part.curves[kind][part.rows, torch.cat([torch.zeros_like(part.rows), part.kept + 1], 1)]
            there, here = (
                pixels_at(counts, torch.nn.functional.pad(at[place], (0, 0, 1, 0)))
                for at in (level, units.level[..., None])
            )
            for x, new, old in zip(pixels, there, here, strict=True):
                x[place] = (x[place] + self._folds * (new - old)[:, 1:]).clamp(min=0)
        return pixels

    @property
    def _folds(self) -> float:
        """How much more what differs in one fold counts where it stands for two: √2, else 1."""
        spec = self.dissection.spec
        return math.sqrt(spec.images / len(spec.halves()["evaluation"]))

    def _blocks(self, part: _Part) -> tuple[Tensor, Tensor, Tensor]:
        """Return pixels of each block of scored images, float64: shown [blocks, c], on [blocks, u, c] and both."""
        table = self._table(part.units.layer, part.run)
        blocks = slice(0, table.blocks)
        return table.shown[0, blocks].double(), table.on[0, blocks].double(), table.both[:, blocks].double()


def _more(change: Tensor, shown: Tensor, on: Tensor, both: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many more pixels every draw has: shown [c, draws], on and both [u, c, draws]."""
    more_on, more_both = (torch.einsum("dk,kuc->ucd", change, table) for table in (on, both))
    return (change @ shown).T, more_on, more_both


def _redrawn(pixels: Rates, kept: Rates, more: tuple[Tensor, Tensor, Tensor]) -> Rates:
    """Return the pixels of each kind in every draw, [u, c, draws].

    Args:
        pixels: at the levels of the draws.
        kept: at the level of the dissection, [u, c, 1], at which blocks were counted.
        more: how many more pixels every draw has there, see `_more`; at another level, as large a share of those there.
    """
    more_shown, more_on, more_both = more
    both = _scaled(pixels.on_and_shown, kept.on_and_shown, more_both)
    on = _scaled(pixels.on_and_shown + pixels.on_only, kept.on_and_shown + kept.on_only, more_on)
    shown, total = kept.on_and_shown + kept.shown_only + more_shown, sum(kept) + more_shown[0]
    return Rates(both, *(x.clamp(min=0) for x in (on - both, shown - both, total - on - shown + both)))


def _scaled(there: Tensor, here: Tensor, more: Tensor) -> Tensor:
    """Return what becomes of a number if a like one grows by so much; where that is 0, it grows as much itself."""
    return torch.where(here > 0, there * (1 + more / here.clamp(min=1)), there + more).clamp(min=0)
