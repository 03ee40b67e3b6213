"""How far the counts of a dissection would differ on another sample: its blocks of images drawn again (SPEC 8).

No image is drawn: see `redraws`. Every draw is labelled by the rule of the dissection.

**Bias.** A label is the best of many scores and a match the passing of a threshold, so the mean of the draws is not the
count of the dissection: noise is added to what has noise already. Errors are around the count itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from ganatomy.core.errors import BadValue
from ganatomy.core.vocabulary import CATEGORIES
from ganatomy.experiments.dissection import Dissection, interpretable_with
from ganatomy.experiments.redraws import CONTENDERS, Changes, Redraws
from ganatomy.experiments.tables import Bools, Floats, Ints, UnitLabels
from ganatomy.stats.jackknife import student
from ganatomy.stats.pairs import blocks_of

ALL = "all"
"""The category, or the layer, of a row that counts all of them."""
DRAWS_AT_ONCE, ROOM = 50, 1 << 28
"""Draws made together: so many, or fewer where their scores would take more bytes."""

Drawn = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ConceptCounts:
    """The units of a layer by concept; row 0 of each table as found, the others of one draw each.

    Attributes:
        units: how many there are.
        interpretable: float64 [1 + draws, c], units by the concept that they count as interpretable with, see
            `interpretable_with`; column 0 has units without one.
        matched: float64 [1 + draws, c], units by label.
        iou: float64 [1 + draws, c], sum of the IoUs of the matched ones.
    """

    units: int
    interpretable: Floats
    matched: Floats
    iou: Floats

    def __add__(self, other: "ConceptCounts") -> "ConceptCounts":
        return ConceptCounts(*(own + more for own, more in zip(vars(self).values(), vars(other).values(), strict=True)))

    def of(self, concepts: Sequence[int]) -> "ConceptCounts":
        """Return the columns of some concepts."""
        tables = (table[:, list(concepts)] for table in (self.interpretable, self.matched, self.iou))
        return ConceptCounts(self.units, *tables)

    def by_category(self, categories: Sequence[str]) -> Iterator[tuple[str, dict[str, Drawn]]]:
        """Yield the quantities of all concepts, and of each category, given that of every column."""
        kinds = np.array(categories)
        for name in (ALL, *dict.fromkeys([*(c for c in CATEGORIES if c in kinds), *kinds[1:].tolist()])):
            own = (kinds == name) | (name == ALL)
            matched = self.matched[:, own].sum(1)
            yield (
                name,
                {
                    "interpretable": self.interpretable[:, own].sum(1),
                    "matched": matched,
                    "concepts": (self.matched[:, own] > 0).sum(1),
                    "matched_iou": self.iou[:, own].sum(1) / np.where(matched > 0, matched, np.nan),
                },
            )


def count_concepts(dissection: Dissection, drawn: "Resampled | None") -> dict[str, ConceptCounts]:
    """Return the counts of each layer, and of all, by the concepts of the dissection's own vocabulary."""
    own, concepts = own_labels(dissection)._asdict(), len(dissection.vocabulary)
    tables: list[Drawn] = [np.vstack([x, *([getattr(drawn, name)] if drawn else [])]) for name, x in own.items()]
    layer_of, found = dissection.units.layer.to_numpy(), {}
    for layer in (*dissection.layers, ALL):
        label, iou, best, interpretable, matched = (x[:, (layer_of == layer) | (layer == ALL)] for x in tables)
        found[layer] = ConceptCounts(
            label.shape[1],
            _by_concept(best, interpretable, concepts),
            _by_concept(label, matched, concepts),
            _by_concept(label, matched * iou, concepts),
        )
    return found


def own_labels(dissection: Dissection) -> UnitLabels:
    """Return what each unit is by the tables of the dissection, [u]; concepts by their index in the vocabulary."""
    units = dissection.units
    number = {tuple(concept): i for i, concept in enumerate(dissection.vocabulary)}
    label, best = (
        np.array([number.get(pair, 0) for pair in zip(named.label, named.category, strict=True)])
        for named in (units, interpretable_with(dissection))
    )
    flags = (units[name].to_numpy(bool) for name in ("interpretable", "matched"))
    return UnitLabels(label, units.iou.fillna(0).to_numpy(), best, *flags)


@dataclass(frozen=True, eq=False)
class Resampled:
    """What every unit is in every draw.

    Attributes:
        dissection: what was drawn again.
        seed, blocks: of the draws, and how many blocks each takes its images from.
        label, iou, interpretable_with, interpretable, matched: [draws, u], see `UnitLabels`; units of all layers in
            order, concepts by their index in the vocabulary.
        false_labels: [draws, u], see `Scores`.
    """

    dissection: Dissection
    seed: int
    blocks: int
    label: Ints
    iou: Floats
    interpretable_with: Ints
    interpretable: Bools
    matched: Bools
    false_labels: Bools

    @cached_property
    def counts(self) -> pd.DataFrame:
        """Counts with their errors, one row for each layer, category and quantity.

        Columns: layer and category (``all`` for all together); quantity: ``interpretable`` units (by the category that
        `interpretable_with` says) and ``matched`` ones (by that of their label), ``concepts`` (distinct, of matched
        units) and ``matched_iou`` (mean over matched units); value, as the dissection found it; error, the standard
        error; low and high, a 95 % interval.
        """
        return _with_intervals(self.quantities, ["layer", "category", "quantity"], self.blocks)

    @cached_property
    def concepts(self) -> pd.DataFrame:
        """Matched units of each concept that labels any.

        Columns: layer, concept, category, value, error, low, high; and share, of the draws in which there is one.
        """
        rows: dict[tuple[str, ...], Drawn] = {}
        for layer, counts in self._by_layer.items():
            for c in np.flatnonzero(counts.matched.any(0)):
                rows[layer, *self.dissection.vocabulary[c]] = counts.matched[:, c]
        table = _with_intervals(rows, ["layer", "concept", "category"], self.blocks)
        return table.assign(share=[float((values[1:] > 0).mean()) for values in rows.values()])

    @cached_property
    def units(self) -> pd.DataFrame:
        """One row a unit.

        Columns: layer, unit, label, matched, iou; and of the draws iou_error, same_label, matched_share.
        """
        label = own_labels(self.dissection).label
        table = self.dissection.units[["layer", "unit", "label", "matched", "iou"]]
        return table.assign(
            iou_error=np.where(label > 0, self.iou.std(0, ddof=1), np.nan),
            same_label=(self.label == label).mean(0),
            matched_share=self.matched.mean(0),
        )

    @cached_property
    def quantities(self) -> Mapping[tuple[str, ...], Drawn]:
        """The numbers behind `counts`, [1 + draws], that of the dissection first, by layer, category and quantity."""
        kinds = [concept.category for concept in self.dissection.vocabulary]
        return {
            (layer, category, name): values
            for layer, counts in self._by_layer.items()
            for category, own in counts.by_category(kinds)
            for name, values in own.items()
        }

    @cached_property
    def _by_layer(self) -> dict[str, ConceptCounts]:
        counts = count_concepts(self.dissection, self)
        if len(self.dissection.layers) == 1:
            del counts[ALL]
        return counts


def resampled(dissection: Dissection, draws: int = 200, seed: int = 0) -> Resampled | None:
    """Draw the blocks of a dissection's images again, and label its units anew each time.

    Returns:
        What came of them; None where there are fewer than two blocks (fewer than four images), or where the
            study holds its tables alone.
    """
    if draws < 2:
        raise BadValue(f"draws={draws} is too few for an error; give at least 2, better 200")
    ids = dissection.spec.halves()["evaluation"]
    blocks = blocks_of(len(ids))
    if blocks < 2 or not dissection.has_counts:
        return None
    part = len(ids) / dissection.spec.images
    weights = (block_weights(blocks, part, draws, (seed, i)) for i in range(len(Changes._fields)))
    together = max(1, min(DRAWS_AT_ONCE, ROOM // _draw_bytes(dissection)))
    some = zip(*(torch.split(torch.from_numpy(own - 1), together) for own in weights), strict=True)
    redraws = Redraws(dissection)
    verdicts = [(*scores.labels, scores.false_labels) for each in some for scores in redraws.scores(Changes(*each))]
    label, iou, best, *flags = (np.stack(column) for column in zip(*verdicts, strict=True))
    concepts = dissection.reading.concepts.numpy()
    return Resampled(dissection, seed, blocks, concepts[label], iou, concepts[best], *flags)


def _draw_bytes(dissection: Dissection) -> int:
    """Return what a draw takes: the scores of every pair, and of the layer with most units the counts at all levels."""
    most = max(shape.units for shape in dissection.layers.values())
    kept = 1 + min(3 * CONTENDERS, dissection.chosen.kept.shape[1])
    return 100 * dissection.reading.level.numel() + 120 * most * kept * (dissection.spec.levels + 1)


def block_weights(blocks: int, part: float, draws: int, seed: tuple[int, int]) -> Floats:
    """Return how often each draw takes each block, [draws, blocks]: 1 in the mean.

    Blocks - 1 of them are drawn, which makes the variance of a mean what it is between samples and not a block less;
    fewer where the blocks are only a part of the images that are scored.

    >>> block_weights(4, 1.0, 2, (0, 0)).sum(1).tolist()
    [4.0, 4.0]
    """
    number = max(1, round((blocks - 1) * part))
    taken = np.random.default_rng(seed).multinomial(number, np.full(blocks, 1 / blocks), draws)
    return np.asarray(taken * (blocks / number))


def difference(one: Resampled, other: Resampled) -> pd.DataFrame:
    """Return how much greater the counts of the second are, with errors: columns as `Resampled.counts`.

    Where both are of as many images of the same latents, their errors go together and partly cancel; else they are
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
    return _with_intervals(rows, ["layer", "category", "quantity"], min(one.blocks, other.blocks), signed=True)


def _by_concept(label: Ints, weight: Drawn, concepts: int) -> Drawn:
    """Return the sums of a weight [d, u] by label, [d, concepts]; column 0 has the units without a label."""
    places = np.arange(len(label))[:, None] * concepts + label
    return np.bincount(places.ravel(), weight.ravel(), len(label) * concepts).reshape(len(label), concepts)


def _with_intervals(
    rows: Mapping[tuple[str, ...], Drawn], names: list[str], blocks: int, signed: bool = False
) -> pd.DataFrame:
    """Return value, error and 95 % interval of rows of numbers, the dissection's first; missing draws are left out.

    The interval has the width that the variance of so few blocks asks for. The quantiles of the draws hold the truth
    less often: they begin from one sample, and a count is skewed to the side from which it came.
    """
    table = []
    for name, (value, *drawn) in rows.items():
        known = np.array(drawn)[np.isfinite(drawn)]
        if not np.isfinite(value) or len(known) < 2:
            table.append((*name, value, np.nan, np.nan, np.nan))
            continue
        error = known.std(ddof=1)
        low, high = (value + side * student(blocks - 1) * error for side in (-1, 1))
        table.append((*name, value, error, low if signed else max(low, 0.0), high))
    return pd.DataFrame(table, columns=[*names, "value", "error", "low", "high"])
