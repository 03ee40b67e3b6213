"""Do labels say what units cause? Each unit is ablated alone; does its own concept shrink?"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from ganatomy.experiments.dissection import Dissection

LEAST = 0.004
"""Share of the pixels that a concept must cover for its changes to be told from noise."""
CLEAR = 2.0
"""Standard errors by which a concept must shrink."""
TOP = 0.1


def label_agreement(dissection: Dissection, layer: str, effects: pd.DataFrame) -> pd.DataFrame:
    """Return how often ablating a unit shrinks the concept that it is labelled with.

    Args:
        dissection: which labels the units.
        layer: whose units were ablated.
        effects: `UnitEffects.table`.

    Returns:
        One row a rule: the dissection's own labels, the concept of greatest IoU of all, and random labels (the mean
        over all concepts). Columns: rule; labelled (units); scored (those whose concept covers at least 0.4 % of the
        pixels); concepts (distinct); shrinks (share of the scored whose concept shrinks by more than two standard
        errors) and shrinks_error; top_tenth (share whose concept is among the tenth that shrink most, by relative
        change) and its error; relative (mean relative change of the concept).
    """
    scored = effects[effects.before >= LEAST]
    clear = scored.change < -CLEAR * scored.change_error
    rank = scored.groupby("unit").relative.rank(pct=True)
    scored = scored.assign(shrinks=clear, top_tenth=rank <= TOP)
    units = dissection.units[dissection.units.layer == layer]
    start = int((dissection.units.layer == layer).to_numpy().argmax())
    iou = np.nan_to_num(dissection.scores.iou[start : start + len(units), 1:], nan=-1.0)
    best = dissection.concepts.iloc[dissection.reading.concepts[1:].numpy()[iou.argmax(1)] - 1]
    rules = {
        f"labels of the dissection ({dissection.spec.label})": units[["unit", "label", "category"]].dropna(),
        "greatest IoU of all": pd.DataFrame(
            {"unit": units.unit.to_numpy(), "label": best.concept.to_numpy(), "category": best.category.to_numpy()}
        ),
    }
    rows = [_row(rule, labels, _of(labels, scored)) for rule, labels in rules.items()]
    everything = scored.assign(label=scored.concept)
    return pd.DataFrame([*rows, _row("random labels", everything.drop_duplicates("unit"), everything)])


def _of(labels: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """Return the effect of every unit on the concept of its label, where that is scored."""
    return labels.merge(scored, left_on=["unit", "label", "category"], right_on=["unit", "concept", "category"])


def _row(rule: str, labels: pd.DataFrame, own: pd.DataFrame) -> dict[str, object]:
    units = own.unit.nunique()
    row: dict[str, object] = {
        "rule": rule,
        "labelled": len(labels),
        "scored": units,
        "concepts": own[["label", "category"]].drop_duplicates().shape[0],
    }
    for name in ("shrinks", "top_tenth"):
        share = float(own[name].mean()) if len(own) else math.nan
        row |= {name: share, f"{name}_error": math.sqrt(share * (1 - share) / units) if units else math.nan}
    return row | {"relative": float(_finite(own.relative.to_numpy()).mean()) if len(own) else math.nan}


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values[np.isfinite(values)]
