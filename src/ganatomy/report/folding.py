"""Concepts that the same units overlap with, folded into one that leads: objects before parts and materials."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ganatomy.report.binary_packing import Array
from ganatomy.report.embed import rows_of
from ganatomy.report.palette import category_colours

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection

ALIKE = 0.8
"""Least correlation, over all units, of the IoU of two concepts of which one is folded into the other."""


@dataclass(frozen=True)
class Fold:
    """A concept that leads, and those folded into it.

    Attributes:
        lead: its number in the vocabulary.
        others: numbers of the folded ones, the most alike first.
        pair: row of ``Dissection.pairs``: its clearest matched unit, whose label is of the fold, where there is one.
    """

    lead: int
    others: tuple[int, ...]
    pair: int


def folds(dissection: "Dissection") -> list[Fold]:
    """Return the concepts that units are matched to, folded.

    In the order of the categories, and of their best IoU, each concept joins the leading one that it is most like, if
    their IoUs correlate by `ALIKE` or more over all units, and leads otherwise. An IoU that is not beyond chance and
    control counts as 0.
    """
    pairs = dissection.pairs.reset_index(drop=True)
    number: dict[tuple[str, str], int] = {concept: i for i, concept in enumerate(dissection.vocabulary)}
    pairs["number"] = [number[key] for key in zip(pairs["concept"], pairs["category"], strict=True)]
    order = _order(dissection, pairs)
    alike = _correlations(dissection, pairs, order)
    found: dict[int, list[tuple[float, int]]] = {}  # place of a leading concept -> how alike and which
    for place in range(len(order)):
        best = max(found, key=lambda lead: alike[lead, place], default=None)
        if best is not None and alike[best, place] >= ALIKE:
            found[best].append((-alike[best, place], order[place]))
        else:
            found[place] = []
    members = {order[lead]: tuple(c for _, c in sorted(others)) for lead, others in found.items()}
    labels = dissection.units[["label", "category"]].iloc[rows_of(dissection.units, pairs)]
    pairs["label"] = [number.get(key, 0) for key in zip(labels["label"], labels["category"], strict=True)]
    matched = pairs[pairs["matched"]]
    return [Fold(lead, others, _clearest(matched, lead, others)) for lead, others in members.items()]


def _order(dissection: "Dissection", pairs: pd.DataFrame) -> list[int]:
    """Return the numbers of the concepts that units are matched to, in the order in which they may lead."""
    categories = list(category_colours(dissection.vocabulary))
    best = pairs[pairs["matched"]].sort_values("iou", ascending=False, kind="stable").drop_duplicates("number")
    place = best["category"].map(categories.index)
    return [int(i) for i in best.loc[place.sort_values(kind="stable").index, "number"]]


def _clearest(matched: pd.DataFrame, lead: int, others: tuple[int, ...]) -> int:
    """Return the row of a concept's clearest matched pair; of a unit whose label is of its fold, where there is one."""
    own = matched[matched["number"] == lead]
    labelled = own[own["label"].isin((lead, *others))]
    best = labelled if len(labelled) else own
    return int(best.index[int(best["iou"].argmax())])


def _correlations(dissection: "Dissection", pairs: pd.DataFrame, numbers: list[int]) -> Array:
    """Return the correlation over units of the IoU of each two concepts; 0 where one does not vary."""
    place = pd.Series(np.arange(len(numbers)), index=numbers)
    own = pairs[pairs["number"].isin(numbers)]
    iou = np.zeros((len(numbers), len(dissection.units)))
    iou[place[own["number"]].to_numpy(), rows_of(dissection.units, own)] = own["iou"]
    centred = iou - iou.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1))
    product: Array = centred @ centred.T
    scale = np.outer(length, length)
    return np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
