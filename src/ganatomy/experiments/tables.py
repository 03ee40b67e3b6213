"""The tidy tables of a dissection: units, concepts, pairs and layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from ganatomy.core.vocabulary import CATEGORIES, Vocabulary, addresses
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.scoring import UnitScores, required_iou
from ganatomy.models.generators import LayerShape

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
HUGE = 1e9
"""In the place of infinity, which times 0 is no number."""


@dataclass(frozen=True, eq=False)
class Scores:
    """All that the tables are made from.

    Attributes:
        spec, layers: of the dissection.
        vocabulary: its scored concepts, as the columns of the reading are.
        reading: scores of units × concepts.
        levels: float64 [u, l], the candidate thresholds.
        greatest: float [u], greatest activation.
        pixels: float64 [c], evaluation pixels that show each concept; concept 0 is shown by all.
        validation_share: float64 [c], each concept's share of the validation pixels.
    """

    spec: DissectSpec
    layers: Mapping[str, LayerShape]
    vocabulary: Vocabulary
    reading: UnitScores
    levels: Floats
    greatest: Floats
    pixels: Floats
    validation_share: Floats

    @cached_property
    def share(self) -> Floats:
        """Each concept's share of the evaluation pixels, float64 [c]."""
        return np.asarray(self.pixels / self.pixels[0])

    @cached_property
    def rare(self) -> Bools:
        """Concepts that cover too little of the validation pixels to be scored; nothing is one of them."""
        rare = self.validation_share < self.spec.rare
        rare[0] = True
        return rare

    @cached_property
    def iou(self) -> Floats:
        """IoU of units × concepts, NaN where a concept is too rare."""
        return np.where(self.rare, np.nan, self.reading.iou.numpy())

    @property
    def label(self) -> Ints:
        """Each unit's label, see `label_units`."""
        return self.labels.label

    @cached_property
    def raised(self) -> Floats:
        """The factors, 1 or more, by which `required_iou` of each concept is raised, float64 [c].

        Where more than the share `false_labels` of the units would be matched to some concept by their mismatched
        counts, the margin of the concept to which most of them would be is raised until none would be, and so on. So
        margins grow with the number of concepts that are tried, and where few images make a control uncertain.
        """
        null = self._null
        factor, over = np.ones(null.shape[1]), null > 1
        while over.any(1).sum() > int(self.spec.false_labels * len(null)):
            concept = int(over.sum(0).argmax())
            factor[concept], over[:, concept] = null[:, concept].max(), False
        return factor

    @cached_property
    def false_labels(self) -> Bools:
        """Which units would be matched to some concept by their mismatched counts, under the same rule."""
        return np.asarray((self._null > self.raised).any(1))

    @cached_property
    def _null(self) -> Floats:
        """`UnitScores.null` of units × concepts, 0 where a concept is too rare."""
        return np.where(self.rare, 0.0, self.reading.null.numpy().clip(max=HUGE)).astype(np.float64)

    @cached_property
    def interpretable(self) -> Bools:
        """Which pairs are interpretable, units × concepts."""
        return interpretable(self.spec, self.iou, self.reading.accuracy.numpy())

    @cached_property
    def matched(self) -> Bools:
        """Which pairs are matched, units × concepts."""
        return self.interpretable & self.exceeds(self.iou, self.reading.control.numpy(), self.share)

    @cached_property
    def above(self) -> Bools:
        """Which pairs have an IoU above chance and control, units × concepts."""
        return np.asarray(np.nan_to_num(self.iou) > np.maximum(self.reading.control.numpy(), self.share))

    def exceeds(self, iou: Floats, control: Floats, chance: Floats) -> Bools:
        """Return where IoU exceeds control and chance level by as much as a matched pair's does."""
        required = required_iou(self.spec, torch.from_numpy(control), torch.from_numpy(chance)).numpy()
        return np.asarray(np.nan_to_num(iou, nan=-1.0) > np.minimum(self.raised * required, (1 + required) / 2))

    @cached_property
    def labels(self) -> "UnitLabels":
        """What each unit is."""
        iqr = self.reading.iqr.numpy()
        return label_units(self.spec.label, self.iou, iqr, self.above, self.interpretable, self.matched)

    def of_label(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the column of each unit's label."""
        return np.asarray(table[np.arange(len(table)), self.label])

    def unit_names(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the columns layer and unit of all units in order."""
        units = [shape.units for shape in self.layers.values()]
        return {"layer": np.repeat(list(self.layers), units), "unit": np.concatenate([np.arange(n) for n in units])}


class UnitLabels(NamedTuple):
    """What units are; any axes, the last one units.

    Attributes:
        label: integer, a concept; 0 where the unit has no label.
        iou: float64, with the label; 0 where there is none.
        interpretable_with: integer, the concept that the unit counts as interpretable with, see `interpretable_with`; 0
            where there is none.
        interpretable: bool, whether any pair of the unit is interpretable (Figure 5).
        matched: bool, whether the unit is matched to its label.
    """

    label: Ints
    iou: Floats
    interpretable_with: Ints
    interpretable: Bools
    matched: Bools


def interpretable(spec: DissectSpec, iou: Floats, accuracy: Floats) -> Bools:
    """Return which pairs are interpretable (Figure 5); IoU is NaN where a concept is too rare to be scored."""
    found = np.nan_to_num(iou, nan=0.0) > spec.interpretable_iou
    return np.asarray(found & (accuracy > spec.interpretable_accuracy))


def label_units(rule: str, iou: Floats, iqr: Floats, above: Bools, interpretable: Bools, matched: Bools) -> UnitLabels:
    """Label units (SPEC 2).

    Args:
        rule: ``matched``, ``iou`` or ``iqr``; ties go to the lower concept index.
        iou: [..., u, c], NaN where a concept is too rare to be scored.
        iqr: [..., u, c], on the validation half.
        above: [..., u, c], which pairs have an IoU above chance and control.
        interpretable, matched: [..., u, c], what each pair is.
    """
    known = np.nan_to_num(iou, nan=0.0)
    scores = {"iqr": np.where(np.isnan(iou), 0.0, iqr), "matched": np.where(matched, known, 0.0), "iou": known}
    score = scores[rule]
    label = score.argmax(-1)
    label[score.max(-1) <= 0] = 0

    def of_label(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.take_along_axis(table, label[..., None], -1)[..., 0]

    best = np.where(label > 0, label, np.where(above & interpretable, known, 0.0).argmax(-1))
    return UnitLabels(label, of_label(known), best, np.asarray(interpretable.any(-1)), (label > 0) & of_label(matched))


def unit_table(s: Scores) -> pd.DataFrame:
    """One row a unit: its label and the scores of that pair; missing where it has no label."""
    tops = s.spec.tops()
    level = s.of_label(s.reading.level.numpy()).astype(np.int64)
    # a unit without a label is outlined at its top half per cent, as Network Dissection does
    on_level = np.where(level >= 0, level, int(np.abs(tops - 0.005).argmin()))
    score = {name: s.of_label(getattr(s.reading, name).numpy()) for name in ("control", "iqr", "accuracy", "on")}
    iou, chance = s.of_label(s.iou), s.share[s.label]
    table = pd.DataFrame(
        {
            **s.unit_names(),
            "label": _names(s.vocabulary, s.label),
            "category": _categories(s.vocabulary, s.label),
            "iou": iou,
            "chance": chance,
            "lift": iou / np.where(chance > 0, chance, np.nan),
            "control": score["control"],
            "iqr": score["iqr"],
            "level": on_level,
            "fraction": tops[on_level],
            "threshold": s.levels[np.arange(len(on_level)), on_level],
            "accuracy": score["accuracy"],
            "interpretable": s.labels.interpretable,
            "matched": s.labels.matched,
            "on": score["on"],
            "greatest": s.greatest,
        }
    )
    table.loc[s.label == 0, ["iou", "chance", "lift", "control", "iqr", "accuracy", "on"]] = np.nan
    return table


def pair_table(s: Scores) -> pd.DataFrame:
    """One row for each unit and concept whose IoU beats chance and control; rank 1 is the unit's greatest IoU."""
    units, concepts = np.nonzero(s.above)
    order = np.argsort(np.argsort(-np.nan_to_num(s.iou, nan=-1.0), axis=1, kind="stable"), axis=1, kind="stable")
    level = s.reading.level.numpy()[units, concepts].astype(np.int64)
    iou, chance = s.iou[units, concepts], s.share[concepts]
    return pd.DataFrame(
        {
            **{name: column[units] for name, column in s.unit_names().items()},
            "concept": _names(s.vocabulary, concepts),
            "category": _categories(s.vocabulary, concepts),
            "iou": iou,
            "chance": chance,
            "lift": iou / np.where(chance > 0, chance, np.nan),
            "control": s.reading.control.numpy()[units, concepts],
            "iqr": s.reading.iqr.numpy()[units, concepts],
            "level": level,
            "threshold": s.levels[units, level],
            "accuracy": s.reading.accuracy.numpy()[units, concepts],
            "interpretable": s.interpretable[units, concepts],
            "matched": s.matched[units, concepts],
            "rank": order[units, concepts] + 1,
        }
    )


def concept_table(s: Scores, units: pd.DataFrame, vocabulary: Vocabulary) -> pd.DataFrame:
    """One row a concept of a vocabulary: how common it is, its units, and the best of them; missing if it has none.

    The best unit is the one of greatest IoU among those that are matched to the concept, or among all if none is.
    """
    names = s.unit_names()
    known = np.nan_to_num(s.iou, nan=0.0)
    known = np.where(s.matched | ~s.matched.any(0), known, 0.0)
    best, found = known.argmax(0), known.max(0) > 0
    scored = pd.DataFrame(
        {
            "rare": s.rare,
            "units_interpretable": s.interpretable.sum(0),
            "units_matched": s.matched.sum(0),
            "units_labelled": np.bincount(s.label[units.matched], minlength=len(s.vocabulary)),
            "best_layer": pd.Series(names["layer"][best]).where(found, None),
            "best_unit": pd.Series(names["unit"][best], dtype="Int64").where(found),
            "best_iou": s.iou[best, np.arange(len(best))],
        }
    ).set_axis(s.reading.concepts.numpy())
    table = scored.reindex(range(len(vocabulary)))
    counts = ("units_interpretable", "units_matched", "units_labelled")
    table = table.fillna({"rare": s.spec.rare > 0, **dict.fromkeys(counts, 0)})
    shown = s.reading.shown.double().numpy()
    return pd.DataFrame(
        {
            "concept": [c.name for c in vocabulary],
            "category": [c.category for c in vocabulary],
            "share": shown / shown[0],
            "images": s.reading.images.numpy(),
            **table.astype({"rare": bool, **dict.fromkeys(counts, np.int64)}).to_dict("series"),
        }
    )[1:].reset_index(drop=True)


def layer_table(s: Scores, units: pd.DataFrame) -> pd.DataFrame:
    """One row a layer: its size, and how many units and concepts were found in it."""
    rows = []
    for layer, shape in s.layers.items():
        own = units[units.layer == layer]
        matched = own[own.matched]
        rows.append(
            {
                "layer": layer,
                **shape._asdict(),
                "interpretable": int(own.interpretable.sum()),
                "matched": len(matched),
                "concepts": matched.groupby(["label", "category"]).ngroups,
                **{category: int((matched.category == category).sum()) for category in CATEGORIES},
                "mean_iou": own.iou.mean(),
            }
        )
    return pd.DataFrame(rows)


def _names(vocabulary: Vocabulary, indices: Ints) -> Sequence[str | None]:
    return [vocabulary[i].name if i else None for i in indices]


def _categories(vocabulary: Vocabulary, indices: Ints) -> Sequence[str | None]:
    return [vocabulary[i].category if i else None for i in indices]


def raised_margins(scores: Scores) -> dict[str, float]:
    """Return by how much margins were raised, for concepts whose control is uncertain."""
    names = addresses(scores.vocabulary)
    return {names[scores.vocabulary[c]]: float(scores.raised[c]) for c in np.flatnonzero(scores.raised > 1).tolist()}


def matched_rule(spec: DissectSpec, scores: Scores) -> str:
    """Say in words when a unit and a concept are matched."""
    raised = ", ".join(f"{name} {factor:.2g}" for name, factor in raised_margins(scores).items())
    return (
        f"IoU > {spec.interpretable_iou:g} and accuracy > {spec.interpretable_accuracy:g} (interpretable), and IoU "
        f"more than {spec.over_chance:g} times its chance level (the concept's share of all pixels) and "
        f"{spec.over_control:g} times its control (the same unit and concept with features and images mismatched), or "
        "a third of the way from there to 1 where that is less"
        + (f"; both times as much as stated for concepts whose control is uncertain: {raised}" if raised else "")
        + f"; {scores.false_labels.mean():.1%} of the units would be matched to some concept by their mismatched "
        "counts, put through the same rule"
    )
