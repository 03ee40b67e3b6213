"""What appeared, what vanished: units per concept of each study against those of one."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ganatomy.core.errors import BadValue
from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.bootstrap import ConceptCounts
from ganatomy.experiments.compare.spec import SURE
from ganatomy.experiments.compare.studies import StudyView

PAIR = ("study", "against", "layer")
COUNTS = ("before", "after", "difference", "difference_error", "share_before", "share_after", "change", "holds", "sure")


def change_table(
    studies: Sequence[StudyView],
    counts: Sequence[Mapping[str, ConceptCounts]],
    concepts: Sequence[Concept],
    against: int,
) -> pd.DataFrame:
    """Return matched units per concept of each study against those of one, see `Comparison.changes`."""
    rows = []
    base, base_counts = studies[against], counts[against]
    shares = [study.dissection.concepts.set_index(["concept", "category"]).share for study in studies]
    for here, own in base.layers.items():
        for i, study in enumerate(studies):
            if i == against:
                continue
            before, after = base_counts[own].matched, counts[i][study.layers[here]].matched
            for c in np.flatnonzero(before[0] + after[0]).tolist():
                rows.append(
                    {
                        "study": study.name,
                        "against": base.name,
                        "layer": here,
                        "concept": concepts[c].name,
                        "category": concepts[c].category,
                        "share_before": shares[against][concepts[c]],
                        "share_after": shares[i][concepts[c]],
                        **_change(before[:, c], after[:, c]),
                    }
                )
    return pd.DataFrame(rows, columns=[*PAIR, "concept", "category", *COUNTS])


def _change(before: np.ndarray, after: np.ndarray) -> dict[str, object]:
    kinds = _kinds(before, after) if len(before) == len(after) else _kinds(before[:1], after[:1])
    drawn = (after[1:] - before[1:]).astype(float) if len(kinds) > 1 else np.array([])
    holds = float((kinds[1:] == kinds[0]).mean()) if len(drawn) else np.nan
    return {
        "before": int(before[0]),
        "after": int(after[0]),
        "difference": int(after[0] - before[0]),
        "difference_error": float(drawn.std(ddof=1)) if len(drawn) > 1 else np.nan,
        "change": str(kinds[0]),
        "holds": holds,
        "sure": holds >= SURE,
    }


def _kinds(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    names = np.where(after > before, "more", np.where(after < before, "fewer", "same"))
    names = np.where((before == 0) & (after > 0), "appeared", names)
    return np.where((before > 0) & (after == 0), "vanished", names)


def unit_table(studies: Sequence[StudyView], against: int) -> pd.DataFrame:
    """Return the same units of two studies side by side, see `Comparison.units`."""
    base, parts = studies[against], []
    columns = ["unit", "label", "category", "iou", "matched"]
    for here, own in base.layers.items():
        before = base.dissection.units[base.rows(own)][columns]
        for study in (s for s in studies if s is not base):
            after = study.dissection.units[study.rows(study.layers[here])][columns]
            if len(after) != len(before):
                raise BadValue(
                    f"{here} has {len(before)} units in {base.name} and {len(after)} in {study.name}: they are not the "
                    "same units; compare without following them"
                )
            both = before.merge(after, on="unit", suffixes=("_before", "_after"))
            same = (both.label_before == both.label_after) & (both.category_before == both.category_after)
            kept = same & both.matched_before & both.matched_after
            both = both.assign(study=study.name, against=base.name, layer=here, kept=kept)
            parts.append(both[[*PAIR, *both.columns.drop(list(PAIR))]])
    return pd.concat(parts, ignore_index=True)
