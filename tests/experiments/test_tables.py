"""Which pairs are matched, and how units get their label, on scores made for it."""

from typing import Any

import numpy as np
import pytest
import torch
from mistakes import mistake

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.scoring import UnitScores
from ganatomy.experiments.tables import Scores, concept_table, layer_table, pair_table, unit_table
from ganatomy.models.generators import LayerShape

WORDS = (NOTHING, Concept("a", "object"), Concept("b", "part"), Concept("c", "object"), Concept("rare", "material"))
IOU = [
    [0.9, 0.5, 0.2, 0.52, 0.9],
    [0.9, 0.0, 0.2, 0.2, 0.0],
    [0.9, 0.15, 0.0, 0.0, 0.3],
    [0.9, 0.1, 0.3, 0.05, 0.0],
]
IQR = [
    [0.9, 0.1, 0.4, 0.2, 0.9],
    [0.0, 0.3, 0.2, 0.1, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0],
    [0.9, 0.2, 0.2, 0.2, 0.9],
]
CONTROL = [0.9, 0.1, 0.05, 0.3, 0.01]
SHARE = [1, 0.1, 0.05, 0.3, 0.0005]


def scores(null: float = 0.0, **options: Any) -> Scores:
    iou = torch.tensor(IOU, dtype=torch.float64)
    same = torch.full_like(iou, 0.25)
    level = torch.where(iou > 0, 1, -1)
    level[:, 0] = -1
    by_chance = torch.zeros(4, 5)
    by_chance[0, 3], by_chance[:, 4] = null, 9.0  # what is rare is no candidate, by chance or not
    reading = UnitScores(
        concepts=torch.arange(5),
        level=level,
        iou=iou,
        accuracy=torch.full_like(iou, 0.8),
        on=same,
        iqr=torch.tensor(IQR, dtype=torch.float64),
        control=torch.tensor(CONTROL, dtype=torch.float64).expand(4, -1),
        null=by_chance,
        pixels=torch.zeros(0),
        images=torch.tensor([9, 3, 2, 5, 1]),
        shown=torch.tensor(SHARE),
    )
    share = np.array(SHARE)
    return Scores(
        spec=DissectSpec("planted:", levels=3, smallest=0.01, **options),
        layers={"one": LayerShape(3, 2, 2), "two": LayerShape(1, 4, 4)},
        vocabulary=WORDS,
        reading=reading,
        levels=np.arange(12, dtype=np.float64).reshape(4, 3),
        greatest=np.ones(4),
        pixels=share,
        validation_share=share,
    )


def labels(s: Scores) -> list[str]:
    return unit_table(s).label.fillna("none").tolist()


def test_pairs_are_matched_that_fit_and_exceed_chance_twice_and_control_by_half() -> None:
    assert scores().matched.tolist() == [
        [False, True, True, False, False],  # c: 0.52 is below 2 × 0.3, and a third of the way from 0.3 to 1
        [False, False, True, False, False],
        [False, False, False, False, False],  # a: 0.15 is not above 2 × 0.1
        [False, False, True, False, False],
    ]
    assert scores(over_chance=1.0, over_control=1.0).matched[2].tolist() == [False, True, False, False, False]
    assert not scores(interpretable_accuracy=0.8).matched.any()
    assert scores(interpretable_iou=0.2).matched.sum() == 2


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("matched", ["a", "b", "none", "b"]),  # not c, which is greater, and not what is rare
        ("iou", ["c", "b", "a", "b"]),  # ties go to the lower index
        ("iqr", ["b", "a", "none", "a"]),
    ],
)
def test_labels(rule: str, expected: list[str]) -> None:
    assert labels(scores(label=rule)) == expected


def test_a_unit_is_matched_if_its_label_is_and_interpretable_if_any_concept_fits() -> None:
    for rule, matched in (("matched", [1, 1, 0, 1]), ("iou", [0, 1, 0, 1]), ("iqr", [1, 0, 0, 0])):
        units = unit_table(scores(label=rule))
        assert units.matched.tolist() == [bool(m) for m in matched]
        assert units.interpretable.tolist() == [True] * 4
    none = unit_table(scores()).iloc[2]
    assert none[["iou", "chance", "lift", "control", "iqr", "accuracy", "on"]].isna().all()


def test_margins_are_raised_where_units_are_matched_by_chance() -> None:
    assert scores().raised.tolist() == [1, 1, 1, 1, 1]
    assert scores(0.9).raised.tolist() == [1, 1, 1, 1, 1]
    raised = scores(1.25)
    assert raised.raised.tolist() == [1, 1, 1, 1.25, 1], "of the concept that is in question alone"
    assert raised.false_labels.sum() == 0
    assert raised.matched.tolist() == scores().matched.tolist()
    assert not scores(2.5, over_chance=1.0, over_control=1.0).matched[:, 3].any()
    allowed = scores(1.25, false_labels=0.25)
    assert (allowed.raised.max(), allowed.false_labels.tolist()) == (1.0, [True, False, False, False])


def test_the_concept_that_most_units_are_matched_to_by_chance_is_raised_first() -> None:
    s = scores(false_labels=0.25)
    s.reading.null[:3, 1], s.reading.null[2, 2] = torch.tensor([1.5, 1.1, 1.2]), 3.0
    assert s.raised.tolist() == [1, 1.5, 1, 1, 1], "one unit of four may be left"
    assert s.false_labels.tolist() == [False, False, True, False]


def test_what_is_beyond_any_margin_is_beyond_it() -> None:
    s = scores(float("inf"))
    assert s.raised[3] == 1e9
    assert not s.matched[:, 3].any()


def test_thresholds_are_those_of_the_level_or_the_top_half_per_cent() -> None:
    units = unit_table(scores())
    assert units.level.tolist() == [1, 1, 2, 1], "fractions are 1, 0.1, 0.01: the last is the nearest to 0.005"
    assert units.threshold.tolist() == [1, 4, 8, 10]
    assert units.fraction.tolist() == pytest.approx([0.1, 0.1, 0.01, 0.1])


def test_pairs_are_listed_that_beat_chance_and_control() -> None:
    pairs = pair_table(scores())
    found = list(zip(pairs.layer, pairs.unit, pairs.concept, pairs["rank"], pairs.matched, strict=True))
    assert found == [
        ("one", 0, "a", 2, True),
        ("one", 0, "b", 3, True),
        ("one", 0, "c", 1, False),
        ("one", 1, "b", 1, True),
        ("one", 2, "a", 1, False),
        ("two", 0, "b", 1, True),
    ]
    assert pairs.interpretable.all()


def test_concepts_list_every_unit_that_is_matched_to_them() -> None:
    s = scores()
    units = unit_table(s)
    concepts = concept_table(s, units, WORDS).set_index("concept")
    assert concepts.units_matched.to_dict() == {"a": 1, "b": 3, "c": 0, "rare": 0}
    assert concepts.units_labelled.to_dict() == {"a": 1, "b": 2, "c": 0, "rare": 0}
    assert concepts.units_interpretable.to_dict() == {"a": 3, "b": 3, "c": 2, "rare": 0}
    assert concepts.rare.to_dict() == {"a": False, "b": False, "c": False, "rare": True}
    assert (concepts.best_layer["b"], concepts.best_unit["b"]) == ("two", 0)
    assert concepts.best_iou["c"] == 0.52, "nothing is matched to it, so the best of all"
    assert concepts.best_layer.isna().to_dict() == {"a": False, "b": False, "c": False, "rare": True}
    layers = layer_table(s, units).set_index("layer")
    assert layers.loc["one", ["matched", "concepts", "object", "part"]].tolist() == [2, 2, 1, 1]
    assert layers.mean_iou["one"] == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ({"label": "best"}, "unknown-name", "best"),
        ({"over_control": 0.5}, "bad-value", "over_control=0.5"),
        ({"over_chance": float("nan")}, "bad-value", "over_chance=nan"),
    ],
)
def test_rules_that_mean_nothing_are_refused(options: dict[str, Any], code: str, fact: str) -> None:
    with mistake(code, fact):
        scores(**options)
