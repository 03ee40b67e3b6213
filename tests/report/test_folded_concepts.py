"""Concepts that the same units overlap with are folded by their IoU over units, not by their names."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.folding import ALIKE, folds

TREE, CROWN, FOLIAGE, TURF = (
    Concept("tree", "object"),
    Concept("crown", "part"),
    Concept("foliage", "material"),
    Concept("turf", "material"),
)
VOCABULARY = (NOTHING, FOLIAGE, CROWN, TREE, TURF)


def study(iou: dict[Concept, list[float]], labels: list[Concept | None]) -> Any:
    """Return a dissection of one layer: IoU of each unit with each concept, matched where it is above 0.1."""
    rows = [
        ("layer1", unit, *concept, value, value > 0.1)
        for concept, values in iou.items()
        for unit, value in enumerate(values)
        if value
    ]
    names = [("layer1", u, *(concept or (None, None))) for u, concept in enumerate(labels)]
    return SimpleNamespace(
        vocabulary=VOCABULARY,
        pairs=pd.DataFrame(rows, columns=["layer", "unit", "concept", "category", "iou", "matched"]),
        units=pd.DataFrame(names, columns=["layer", "unit", "label", "category"]),
    )


def test_alike_concepts_share_a_fold_and_the_object_leads() -> None:
    found = folds(
        study(
            {
                CROWN: [0.5, 0.3, 0, 0],
                TREE: [0.45, 0.3, 0, 0],
                FOLIAGE: [0.5, 0.2, 0.05, 0],
                TURF: [0, 0, 0.4, 0.8],
            },
            [CROWN, TREE, TURF, TURF],
        )
    )
    named = [(VOCABULARY[f.lead], {VOCABULARY[c] for c in f.others}) for f in found]
    assert named == [(TREE, {CROWN, FOLIAGE}), (TURF, set())]


def test_concepts_of_other_units_stay_apart() -> None:
    found = folds(study({TREE: [0.5, 0.3, 0, 0.2], CROWN: [0.1, 0.5, 0.4, 0]}, [TREE, CROWN, CROWN, TREE]))
    assert [VOCABULARY[f.lead] for f in found] == [TREE, CROWN]


def test_the_clearest_unit_has_a_label_of_the_fold() -> None:
    given = study({TREE: [0.5, 0.4, 0.3, 0], TURF: [0.9, 0, 0, 0.7]}, [TURF, TREE, TREE, TURF])
    tree, turf = folds(given)
    assert given.pairs.loc[tree.pair, ["concept", "unit"]].tolist() == ["tree", 1]
    assert given.pairs.loc[turf.pair, ["concept", "unit"]].tolist() == ["turf", 0]


def test_nothing_is_folded_where_nothing_is_matched() -> None:
    assert folds(study({TREE: [0.05, 0.02]}, [None, None])) == []


def test_every_matched_concept_is_in_one_fold(dissection: Dissection) -> None:
    found = folds(dissection)
    members = [c for fold in found for c in (fold.lead, *fold.others)]
    matched = dissection.concepts[dissection.concepts.units_matched > 0]
    assert sorted(dissection.vocabulary[c].name for c in members) == sorted(matched.concept)
    pairs = dissection.pairs.assign(u=dissection.pairs.layer + dissection.pairs.unit.astype(str))
    table = pairs.pivot_table(index=["concept", "category"], columns="u", values="iou", fill_value=0)
    table = table.reindex(columns=[f"{r.layer}{r.unit}" for r in dissection.units.itertuples()], fill_value=0)
    for fold in found:
        lead = table.loc[tuple(dissection.vocabulary[fold.lead])]
        for other in fold.others:
            assert np.corrcoef(lead, table.loc[tuple(dissection.vocabulary[other])])[0, 1] >= ALIKE - 1e-9
