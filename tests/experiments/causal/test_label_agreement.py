"""Labels against effects, on effects made for it: what is clear, what is rare, what has no label."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from ganatomy.experiments.causal.label_agreement import label_agreement
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.reading import UnitScores

CONCEPTS = [f"c{i}" for i in range(10)]


def effects(changes: list[list[float]]) -> pd.DataFrame:
    """Changes by unit and concept as multiples of the standard error; the last concept covers too little."""
    return pd.DataFrame(
        {
            "unit": np.repeat(range(len(changes)), 10),
            "concept": CONCEPTS * len(changes),
            "category": "object",
            "before": ([0.1] * 9 + [0.001]) * len(changes),
            "change": 0.01 * np.ravel(changes),
            "change_error": 0.01,
            "relative": 0.1 * np.ravel(changes),
        }
    )


def dissection(labels: list[str | None], best: list[int]) -> Dissection:
    units = pd.DataFrame({"layer": "one", "unit": range(len(labels)), "label": labels, "category": "object"})
    iou = torch.zeros(len(labels), 11)
    iou[range(len(labels)), [1 + b for b in best]] = 0.5
    concepts = pd.DataFrame({"concept": CONCEPTS, "category": "object", "rare": False})
    made, none = object.__new__(Dissection), torch.zeros(0)
    reading = UnitScores(torch.arange(11), *[none] * 10)
    scores = SimpleNamespace(iou=iou.numpy())
    vars(made).update(units=units, concepts=concepts, reading=reading, scores=scores, spec=DissectSpec("planted:"))
    return made


def test_what_shrinks_is_counted_for_labels_for_best_overlaps_and_for_all() -> None:
    rising = [float(x) for x in range(10)]
    changes = [[-3.0, *rising[1:]], [-1.0, *rising[1:]], [1.0, -9.0, *rising[2:]], [-5.0, *rising[1:9], -50.0]]
    found = label_agreement(dissection(["c0", "c0", None, "c9"], [1, 0, 1, 9]), "one", effects(changes))
    own, best, random = found.itertuples()
    assert (own.rule, own.labelled, own.scored, own.concepts) == ("labels of the dissection (matched)", 3, 2, 1)
    assert (own.shrinks, own.top_tenth) == (0.5, 0.0), "−3 errors and −1; of nine concepts none is within a tenth"
    assert own.shrinks_error == pytest.approx((0.25 / 2) ** 0.5)
    assert own.relative == pytest.approx(-0.2)
    assert (best.labelled, best.scored, best.shrinks) == (4, 3, pytest.approx(1 / 3))
    assert (random.labelled, random.scored) == (4, 4)
    assert random.shrinks == pytest.approx(3 / 36)


def test_the_top_tenth_is_of_the_concepts_that_are_scored() -> None:
    wide = pd.concat([effects([[float(x) for x in range(10)]]).assign(concept=[f"{c}{n}" for c in CONCEPTS], before=0.1)
                      for n in range(2)])  # fmt: skip
    found = label_agreement(dissection(["c00"], [0]), "one", wide)
    assert found.top_tenth[0] == 1.0


def test_without_labels_there_is_nothing_to_say() -> None:
    found = label_agreement(dissection([None], [0]), "one", effects([[0.0] * 10]))
    assert found.labelled[0] == 0
    assert found.loc[0, ["shrinks", "top_tenth", "relative"]].isna().all()
