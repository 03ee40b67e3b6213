"""The tidy tables of a dissection: units, concepts, pairs and layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.reading import Reading
from ganatomy.generators import LayerShape
from ganatomy.vocabulary import CATEGORIES, Vocabulary

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scores:
    """All that the tables are made from.

    Attributes:
        spec, layers, vocabulary: of the dissection.
        reading: scores of units × concepts.
        levels: float64 [u, l], the candidate thresholds.
        greatest: float [u], greatest activation.
        pixels: float64 [c], evaluation pixels that show each concept; concept 0 is shown by all.
        validation_share: float64 [c], each concept's share of the validation pixels.
        images: int64 [c], evaluation images that contain it.
    """

    spec: DissectSpec
    layers: Mapping[str, LayerShape]
    vocabulary: Vocabulary
    reading: Reading
    levels: Floats
    greatest: Floats
    pixels: Floats
    validation_share: Floats
    images: Ints

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

    @cached_property
    def label(self) -> Ints:
        """Each unit's best concept, see `judge`."""
        return self.verdict.label

    @cached_property
    def margin(self) -> Floats:
        """The control's sampling noise of each concept, float64 [c], see `reading`."""
        drift: Floats = np.abs(self.reading.drift.numpy())
        return np.asarray(np.quantile(drift, self.spec.noise, axis=0, method="higher"))

    @cached_property
    def above_noise(self) -> Bools:
        """Where a unit's IoU with a concept beats its control and its chance level, units × concepts."""
        return beats(self.iou, self.reading.control.numpy() + self.margin, self.share)

    @cached_property
    def verdict(self) -> "Verdict":
        """What each unit is."""
        return judge(self.spec, self.iou, self.reading.accuracy.numpy(), self.above_noise)

    @cached_property
    def false_positives(self) -> float:
        """Share of units whose control on one half would beat their control on the other by the same margin."""
        drift = self.of_label(self.reading.drift.numpy())
        labelled = self.label > 0
        return float((drift > self.margin[self.label])[labelled].mean()) if labelled.any() else 0.0

    def of_label(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the column of each unit's label."""
        return np.asarray(table[np.arange(len(table)), self.label])

    def unit_names(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the columns layer and unit of all units in order."""
        units = [shape.units for shape in self.layers.values()]
        return {"layer": np.repeat(list(self.layers), units), "unit": np.concatenate([np.arange(n) for n in units])}


class Verdict(NamedTuple):
    """What units are; any axes, the last one units.

    Attributes:
        label: integer, the best concept, ties to the lower index; 0 where no concept has any overlap.
        iou: float64, with the label; 0 where there is none.
        interpretable, matched: bool.
    """

    label: Ints
    iou: Floats
    interpretable: Bools
    matched: Bools


def judge(spec: DissectSpec, iou: Floats, accuracy: Floats, above_noise: Bools) -> Verdict:
    """Name units by their best concept, and say which are interpretable and which are matched.

    Args:
        spec: of the dissection, which has the rules.
        iou: [..., u, c], NaN where a concept is too rare to be scored.
        accuracy, above_noise: of the same shape.
    """
    known = np.nan_to_num(iou, nan=0.0)
    best = known.max(-1)
    label = np.where(best > 0, known.argmax(-1), 0)
    right = np.take_along_axis(accuracy, label[..., None], -1)[..., 0]
    above = np.take_along_axis(above_noise, label[..., None], -1)[..., 0]
    interpretable = (label > 0) & (best > spec.interpretable_iou) & (right > spec.interpretable_accuracy)
    return Verdict(label, best, interpretable, interpretable & above)


def beats(iou: Floats, control: Floats, chance: Floats) -> Bools:
    """Return where IoU is above its control (margin included) and above chance."""
    return np.asarray(np.nan_to_num(iou, nan=-1.0) > np.maximum(control, chance))


def unit_table(s: Scores) -> pd.DataFrame:
    """One row a unit: its label and the scores of that pair; missing where it has no label."""
    tops = s.spec.tops()
    level = s.of_label(s.reading.level.numpy()).astype(np.int64)
    on_level = np.where(level >= 0, level, _outline_level(tops))
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
            "interpretable": s.verdict.interpretable,
            "matched": s.verdict.matched,
            "on": score["on"],
            "greatest": s.greatest,
        }
    )
    table.loc[s.label == 0, ["iou", "chance", "lift", "control", "iqr", "accuracy", "on"]] = np.nan
    return table


def _outline_level(tops: Floats) -> int:
    """The level at which a unit without a label is outlined: the top half per cent, as Network Dissection does."""
    return int(np.abs(tops - 0.005).argmin())


def pair_table(s: Scores) -> pd.DataFrame:
    """One row for each unit and concept whose IoU beats the control; rank 1 is the unit's best concept."""
    units, concepts = np.nonzero(s.above_noise)
    order = np.argsort(np.argsort(-np.nan_to_num(s.iou, nan=-1.0), axis=1, kind="stable"), axis=1, kind="stable")
    level = s.reading.level.numpy()[units, concepts]
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
            "rank": order[units, concepts] + 1,
        }
    )


def concept_table(s: Scores, units: pd.DataFrame) -> pd.DataFrame:
    """One row a concept: how common it is, how many units it labels, and its best unit; missing if it has none."""
    names = s.unit_names()
    known = np.nan_to_num(s.iou, nan=0.0)
    best, found = known.argmax(0), known.max(0) > 0
    label = s.label
    table = pd.DataFrame(
        {
            "concept": [c.name for c in s.vocabulary],
            "category": [c.category for c in s.vocabulary],
            "share": s.share,
            "images": s.images,
            "rare": s.rare,
            "units_interpretable": np.bincount(label[units.interpretable], minlength=len(s.vocabulary)),
            "units_matched": np.bincount(label[units.matched], minlength=len(s.vocabulary)),
            "best_layer": pd.Series(names["layer"][best]).where(found, None),
            "best_unit": pd.Series(names["unit"][best], dtype="Int64").where(found),
            "best_iou": s.iou[best, np.arange(len(best))],
        }
    )
    return table.iloc[1:].reset_index(drop=True)


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
