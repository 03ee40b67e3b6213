"""Models that sample in steps, block by step: units matched, whether labels say what units cause, and how much."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ganatomy.core.layer_steps import split_layer
from ganatomy.experiments.bootstrap import ALL
from ganatomy.experiments.causal.unit_effects import RANDOM, UnitEffects
from ganatomy.experiments.compare.studies import StudyView, results_beside

COUNTED = ("units", "matched", "matched_error", "concepts", "concepts_error")
MEASURED = {"agreement": "shrinks", "agreement_error": "shrinks_error", "effect": "relative"}
"""Columns of the table, and of `UnitEffects.labels`, of the labels of the dissection and of random ones."""
COLUMNS = (
    *("study", "block", "step", "layer", *COUNTED, "scored", *MEASURED, "effect_error"),
    *("agreement_random", "effect_random"),
)


def step_table(studies: Sequence[StudyView], counts: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each layer that belongs to a step, see `Comparison.steps`.

    Args:
        counts: as in `Comparison.counts`.
    """
    rows = []
    for study in studies:
        found = counts[(counts.study == study.name) & (counts.category == ALL)].set_index("layer")
        own = found[list(COUNTED)].to_dict("index")
        parts = {layer: split_layer(layer) for layer in study.dissection.layers}
        stepped = {layer: part for layer, part in parts.items() if part.step is not None}
        ablated = _ablated(study) if stepped else {}
        for layer, part in stepped.items():
            row: dict[Any, Any] = {"study": study.name, **part._asdict(), "layer": layer} | own[layer]
            rows.append(row | (_caused(ablated[layer]) if layer in ablated else {}))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ablated(study: StudyView) -> dict[str, UnitEffects]:
    """Return what single units of each layer cause, as far as that was measured: on most images, where several did."""
    found = sorted(results_beside(study, UnitEffects, "ablate-each"), key=lambda each: each.spec.images)
    return {each.spec.layer: each for each in found}


def _caused(effects: UnitEffects) -> dict[str, Any]:
    """Return what the effects of single units say of the labels of the dissection, beside random labels."""
    own, (_, random) = effects.labels.iloc[0], next(effects.labels[effects.labels.rule == RANDOM].iterrows())
    return {
        "scored": int(own.scored),
        **{name: own[column] for name, column in MEASURED.items()},
        "effect_error": own.get("relative_error", math.nan),  # earlier versions kept none
        "agreement_random": random.shrinks,
        "effect_random": random.relative,
    }
