"""How far the counts of a dissection would differ on another sample: its blocks of pictures drawn again (SPEC 8).

Each draw takes blocks of the validation pictures at random, some twice and some not at all, and chooses levels anew;
then blocks of the evaluation pictures, and scores, labels and counts the units by the rules of the dissection. Which
concepts are too rare is kept. No picture is drawn: the study has the counts of every block, of evaluation blocks at the
level of each pair, of validation blocks at some levels of all. At another level, what a block adds is taken to be what
it adds at the chosen one.

**Margin.** By how much a matched pair exceeds its control and its chance level is kept, as what is too rare is.

**Bias.** A label is the best of many scores and a match the passing of a threshold, so the mean of the draws is not the
count of the dissection: noise is added to what has noise already. Errors are told around the count itself.

**Crossed halves.** The levels of the second fold are known only after it was counted, so its scores are kept; those of
the first are drawn again in so few blocks that their variance stands for that of both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from ganatomy.errors import BadValue
from ganatomy.experiments.dissect_spec import HALVES
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.reading import Counted, levels_of, pixels_at, share_right
from ganatomy.experiments.tables import Bools, Floats, Ints, Verdict, interpretable, judge
from ganatomy.stats.blocks import GROUP, BlockedAgreement, GroupedAgreement, grouped
from ganatomy.stats.scores import Rates, iou
from ganatomy.vocabulary import CATEGORIES

ALL = "all"
"""The category, or the layer, of a row that counts all of them."""
SURE = 0.95
DRAWS_AT_ONCE = 50
"""A table of 64 units takes a few hundred bytes for each concept, and for each of these."""

CONTENDERS = 2
"""So many concepts of each unit get a level of their own in every draw; the others keep theirs, and rarely win."""

Drawn = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Resampled:
    """The verdict on every unit in every draw.

    Attributes:
        dissection: what was drawn again.
        seed, blocks: of the draws, and how many blocks each takes its pictures from.
        label: int64 [draws, u], units through all layers in order: index into the vocabulary, 0 for none.
        iou: float64 [draws, u], with that label.
        interpretable, matched: bool [draws, u].
    """

    dissection: Dissection
    seed: int
    blocks: int
    label: Ints
    iou: Floats
    interpretable: Bools
    matched: Bools

    @cached_property
    def counts(self) -> pd.DataFrame:
        """Counts with their errors, one row for each layer, category and quantity.

        Columns: layer and category (``all`` for all together); quantity: ``interpretable`` and ``matched`` units,
        ``concepts`` (distinct, of matched units) and ``matched_iou`` (mean over matched units); value, as the
        dissection found it; error, the standard error; low and high, a 95 % interval.
        """
        return _told(self.quantities, ["layer", "category", "quantity"])

    @cached_property
    def concepts(self) -> pd.DataFrame:
        """Matched units of each concept that labels any.

        Columns: layer, concept, category, value, error, low, high; and share, of the draws in which there is one.
        """
        rows: dict[tuple[str, ...], Drawn] = {}
        for layer, verdict in self._by_layer():
            units = by_concept(verdict.label, verdict.matched, len(self.dissection.vocabulary))
            for c in np.flatnonzero(units.any(0)):
                rows[layer, *self.dissection.vocabulary[c]] = units[:, c]
        table = _told(rows, ["layer", "concept", "category"])
        return table.assign(share=[float((values[1:] > 0).mean()) for values in rows.values()])

    @cached_property
    def units(self) -> pd.DataFrame:
        """One row a unit.

        Columns: layer, unit, label, matched, iou; and of the draws iou_error, same_label, matched_share.
        """
        own = self._own
        table = self.dissection.units[["layer", "unit", "label", "matched", "iou"]]
        return table.assign(
            iou_error=np.where(own.label > 0, self.iou.std(0, ddof=1), np.nan),
            same_label=(self.label == own.label).mean(0),
            matched_share=self.matched.mean(0),
        )

    @cached_property
    def quantities(self) -> Mapping[tuple[str, ...], Drawn]:
        """The numbers behind `counts`, [1 + draws], that of the dissection first, by layer, category and quantity."""
        kinds = np.array([concept.category for concept in self.dissection.vocabulary])
        names = dict.fromkeys([*(c for c in CATEGORIES if c in kinds), *kinds[1:].tolist()])
        found: dict[tuple[str, ...], Drawn] = {}
        for layer, verdict in self._by_layer():
            flags = {"interpretable": verdict.interpretable, "matched": verdict.matched}
            weights = {**flags, "iou": verdict.matched * verdict.iou}
            tables = {name: by_concept(verdict.label, weight, len(kinds)) for name, weight in weights.items()}
            for category in (ALL, *names):
                own = {name: table[:, (kinds == category) | (category == ALL)] for name, table in tables.items()}
                matched = own["matched"].sum(1)
                found[layer, category, "interpretable"] = own["interpretable"].sum(1)
                found[layer, category, "matched"] = matched
                found[layer, category, "concepts"] = (own["matched"] > 0).sum(1)
                found[layer, category, "matched_iou"] = own["iou"].sum(1) / np.where(matched > 0, matched, np.nan)
        return found

    @cached_property
    def _own(self) -> Verdict:
        """The dissection's own verdict, [u]."""
        units = self.dissection.units
        number = {tuple(concept): i for i, concept in enumerate(self.dissection.vocabulary)}
        label = [number.get(pair, 0) for pair in zip(units.label, units.category, strict=True)]
        flags = (units[name].to_numpy(bool) for name in ("interpretable", "matched"))
        return Verdict(np.array(label), units.iou.fillna(0).to_numpy(), *flags)

    def _by_layer(self) -> Iterator[tuple[str, Verdict]]:
        """Yield the verdicts of each layer, and of all, [1 + draws, u]: the dissection's own first."""
        drawn = (self.label, self.iou, self.interpretable, self.matched)
        tables = [np.vstack([own, table]) for own, table in zip(self._own, drawn, strict=True)]
        layer_of = self.dissection.units.layer.to_numpy()
        for layer in self.dissection.layers:
            yield layer, Verdict(*(table[:, layer_of == layer] for table in tables))
        if len(self.dissection.layers) > 1:
            yield ALL, Verdict(*tables)


def resampled(dissection: Dissection, draws: int = 200, seed: int = 0) -> Resampled | None:
    """Draw the blocks of a dissection's pictures again, and judge its units anew each time.

    Args:
        dissection: a finished one.
        draws: how often.
        seed: of the draws. Two dissections of as many pictures take the same blocks at the same seed.

    Returns:
        What came of them; None where there are no blocks, in studies of before they were kept or of fewer than four
        pictures.

    Raises:
        BadValue: fewer than two draws.
    """
    if draws < 2:
        raise BadValue(f"draws={draws} is too few for an error; give at least 2, better 200")
    if not dissection.has_blocks:
        return None
    halves, layer = dissection.spec.halves(), next(iter(dissection.layers))
    blocks = [dissection.tally.blocked(half, layer).blocks for half in HALVES]
    if min(blocks) < 2:
        return None
    part = len(halves["evaluation"]) / dissection.spec.images
    weights = [torch.from_numpy(block_weights(n, part, draws, (seed, i))) for i, n in enumerate(blocks)]
    sizes = np.cumsum([0, *(len(units.level) for units in dissection.counted())])
    verdicts = (
        _judged(dissection, units, weights, dissection.reading.iqr[first : first + len(units.level)].numpy())
        for first, units in zip(sizes, dissection.counted(), strict=False)
    )
    return Resampled(dissection, seed, blocks[0], *(np.concatenate(each, 1) for each in zip(*verdicts, strict=True)))


def block_weights(blocks: int, part: float, draws: int, seed: tuple[int, int]) -> Floats:
    """Return how often each draw takes each block, [draws, blocks]: 1 in the mean.

    Blocks - 1 of them are drawn, which makes the variance of a mean what it is between samples and not a block less;
    fewer where the blocks are only a part of the pictures that are scored.

    >>> block_weights(4, 1.0, 2, (0, 0)).sum(1).tolist()
    [4.0, 4.0]
    """
    number = max(1, round((blocks - 1) * part))
    taken = np.random.default_rng(seed).multinomial(number, np.full(blocks, 1 / blocks), draws)
    return np.asarray(taken * (blocks / number))


def difference(one: Resampled, other: Resampled) -> pd.DataFrame:
    """Return how much greater the counts of the second are, with errors: columns as `Resampled.counts`.

    Where both are of as many pictures of the same latents, their errors go together and partly cancel; else they are
    independent. Rows are those that both have.
    """
    same = [(r.dissection.spec.seed, r.dissection.spec.images, r.dissection.spec.validation) for r in (one, other)]
    paired = same[0] == same[1] and one.seed == other.seed and one.label.shape[0] == other.label.shape[0]
    order = np.arange(len(other.label)) if paired else np.random.default_rng(0).permutation(len(other.label))
    rows = {}
    for name, before in one.quantities.items():
        after = other.quantities.get(name)
        if after is not None:
            drawn = min(len(before), len(after))
            rows[name] = np.concatenate([after[:1], after[1:][order]])[:drawn] - before[:drawn]
    return _told(rows, ["layer", "category", "quantity"], signed=True)


def _judged(dissection: Dissection, units: Counted, weights: Sequence[Tensor], iqr: Floats) -> Verdict:
    """Judge some units in every draw, [draws, u].

    Args:
        dissection: which has the rules.
        units: what they are scored by.
        weights: float64 [draws, blocks], of the pictures that are scored, and of those that levels are chosen on.
        iqr: [u, c], which is kept in every draw.
    """
    table, scores = dissection.tally.agreement("evaluation", units.layer), dissection.scores
    shown, on, both = _blocks(dissection, units)
    drawn = [torch.split(own - 1, DRAWS_AT_ONCE) for own in weights]
    verdicts = []
    for change, chosen in zip(*drawn, strict=True):
        level = _levels_drawn(dissection, units, chosen)
        redrawn = []
        for kind, pixels in enumerate((units.own, units.control)):
            there, here = (pixels_at(table.counts[kind, units.rows], at) for at in (level, units.level[..., None]))
            moved = Rates(*(x + (a - b) for x, a, b in zip(pixels, there, here, strict=True)))
            redrawn.append(_redrawn(moved, both[kind], on, shown, change))
        own, control = redrawn
        pixels_shown = scores.pixels + (change @ shown).numpy()
        chance = pixels_shown / pixels_shown[:, :1]
        overlap = np.where(scores.rare, np.nan, _by_draw(iou(own)))
        fits = interpretable(dissection.spec, overlap, _by_draw(share_right(own)))
        matched = fits & scores.exceeds(overlap, _by_draw(iou(control)), chance[:, None])
        verdicts.append(judge(dissection.spec.label, overlap, iqr[None], fits, matched))
    return Verdict(*(np.concatenate(each) for each in zip(*verdicts, strict=True)))


def _blocks(dissection: Dissection, units: Counted) -> tuple[Tensor, Tensor, Tensor]:
    """Return pixels of each block of scored pictures, float64: shown [blocks, c], on [blocks, u, c] and both."""
    table = dissection.tally.blocked("evaluation", units.layer)
    assert isinstance(table, BlockedAgreement)
    return table.shown.double(), table.on[:, units.rows].double(), table.both[:, :, units.rows].double()


def _levels_drawn(dissection: Dissection, units: Counted, change: Tensor) -> Tensor:
    """Return the levels that other pictures would choose, int64 [u, c, draws].

    Only the best concepts of units that may be interpretable have levels of their own; what others do is not counted.
    `change`, [draws, blocks], says how much more each block weighs. Within a group of bins all counts change alike.
    """
    spec, draws = dissection.spec, len(change)
    level = units.level[..., None].repeat(1, 1, draws)
    score = iou(units.own)[..., 0].masked_fill(torch.from_numpy(dissection.scores.rare), -1.0)
    rows = (score.amax(1) > spec.interpretable_iou / 2).nonzero()
    if spec.quantile is not None or not len(rows):
        return level
    table = dissection.tally.blocked("validation", units.layer)
    assert isinstance(table, GroupedAgreement)
    best = score[rows[:, 0]].topk(min(CONTENDERS, score.shape[1])).indices
    pairs = torch.cat([torch.zeros_like(rows), best], 1)  # nothing first, which counts every pixel
    counts, groups = table.counts[0, units.rows][rows, pairs], table.groups[:, units.rows][:, rows, pairs]
    more = torch.einsum("dk,kucg->ducg", change, groups.double()) / grouped(counts).clamp(min=1)
    factor = (1 + more).repeat_interleave(GROUP, -1)[..., : counts.shape[-1]]
    drawn = (counts * factor).round().clamp(min=0).long().flatten(0, 1)
    cuts = table.levels[units.rows][rows[:, 0]]
    chosen = levels_of(spec, drawn, cuts.repeat(draws, 1)).view(draws, *pairs.shape)[..., 1:].permute(1, 2, 0)
    alone = levels_of(spec, counts, cuts)[:, 1:, None]  # by another rule than `pair`, others may have a say
    level[rows, best] = torch.where(alone == level[rows, best], chosen, level[rows, best])
    return level


def _redrawn(pixels: Rates, both: Tensor, on: Tensor, shown: Tensor, change: Tensor) -> Rates:
    """Return the pixels of each kind in every draw, [u, c, draws].

    Args:
        pixels: of the dissection, [u, c, 1].
        both, on: of each block, [blocks, u, c].
        shown: of each block, [blocks, c].
        change: how much more each block weighs, [draws, blocks].
    """
    more_both, more_on = (torch.einsum("dk,kuc->ucd", change, table) for table in (both, on))
    more_shown = (change @ shown).T
    return Rates(
        pixels.on_and_shown + more_both,
        pixels.on_only + more_on - more_both,
        pixels.shown_only + more_shown - more_both,
        pixels.neither + more_shown[0] - more_on - more_shown + more_both,
    )


def _by_draw(table: Tensor) -> Floats:
    """Return a table [u, c, draws] as [draws, u, c]."""
    return table.permute(2, 0, 1).numpy()


def by_concept(label: Ints, weight: Drawn, concepts: int) -> Drawn:
    """Return the sums of a weight [d, u] by label, [d, concepts]; column 0 has the units without a label."""
    places = np.arange(len(label))[:, None] * concepts + label
    return np.bincount(places.ravel(), weight.ravel(), len(label) * concepts).reshape(len(label), concepts)


def _told(rows: Mapping[tuple[str, ...], Drawn], names: list[str], signed: bool = False) -> pd.DataFrame:
    """Return value, error and 95 % interval of rows of numbers, the dissection's first; missing draws are left out."""
    told = []
    for name, (value, *drawn) in rows.items():
        known = np.array(drawn)[np.isfinite(drawn)]
        if not np.isfinite(value) or len(known) < 2:
            told.append((*name, value, np.nan, np.nan, np.nan))
            continue
        low, high = value + np.quantile(known, [(1 - SURE) / 2, (1 + SURE) / 2]) - known.mean()
        low, high = min(low if signed else max(low, 0.0), value), max(high, value)
        told.append((*name, value, known.std(ddof=1), low, high))
    return pd.DataFrame(told, columns=[*names, "value", "error", "low", "high"])
