"""How units get their label, and when a label is beyond noise, on scores made for it."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.reading import Reading
from ganatomy.experiments.tables import Scores, concept_table, layer_table, pair_table, unit_table
from ganatomy.generators import LayerShape
from ganatomy.vocabulary import NOTHING, Concept

WORDS = (NOTHING, Concept("a", "object"), Concept("b", "part"), Concept("c", "object"), Concept("rare", "material"))
IOU = [
    [0.9, 0.5, 0.5, 0.2, 0.9],
    [0.9, 0.0, 0.06, 0.0, 0.0],
    [0.9, 0.0, 0.0, 0.0, 0.3],
    [0.9, 0.1, 0.3, 0.05, 0.0],
]
DRIFT = [0.01, -0.03, 0.02, -0.04]
SHARE = [1, 0.1, 0.05, 0.3, 0.0005]


def scores(**options: Any) -> Scores:
    iou = torch.tensor(IOU, dtype=torch.float64)
    same = torch.full_like(iou, 0.25)
    level = torch.where(iou > 0, 1, -1)
    level[:, 0] = -1
    reading = Reading(
        level=level,
        iou=iou,
        accuracy=torch.full_like(iou, 0.8),
        on=same,
        iqr=same,
        control=torch.full_like(iou, 0.01),
        drift=torch.tensor(DRIFT, dtype=torch.float64)[:, None].expand(-1, 5),
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
        images=np.array([9, 3, 2, 5, 1]),
    )


def test_labels_are_the_best_concepts_that_are_common_enough() -> None:
    units = unit_table(scores())
    assert units.label.fillna("none").tolist() == ["a", "b", "none", "b"], (
        "ties go to the lower index; nothing and rare never win"
    )
    assert units.category.fillna("none").tolist() == ["object", "part", "none", "part"]
    assert units.iou.tolist()[:2] == [0.5, 0.06]
    assert math.isnan(units.iou[2])
    assert units.lift[0] == pytest.approx(5)
    assert unit_table(scores(rare=0.0)).label.tolist() == ["rare", "b", "rare", "b"]


def test_thresholds_are_those_of_the_level_or_the_top_half_per_cent() -> None:
    units = unit_table(scores())
    assert units.level.tolist() == [1, 1, 2, 1], "fractions are 1, 0.1, 0.01: the last is the nearest to 0.005"
    assert units.threshold.tolist() == [1, 4, 8, 10]
    assert units.fraction.tolist() == pytest.approx([0.1, 0.1, 0.01, 0.1])


@pytest.mark.parametrize(("noise", "margin"), [(1.0, 0.04), (0.99, 0.04), (0.67, 0.04), (0.66, 0.03), (0.0, 0.01)])
def test_the_margin_is_a_quantile_of_the_drift_in_either_direction(noise: float, margin: float) -> None:
    np.testing.assert_allclose(scores(noise=noise).margin, margin)


def test_beyond_noise_means_over_the_control_and_over_chance() -> None:
    """Control 0.01 and margin 0.04: more than 0.05 is wanted, and more than the concept's share of all pixels."""
    assert scores().above_noise[:, 1:].tolist() == [
        [True, True, False, False],
        [False, True, False, False],
        [False, False, False, False],
        [False, True, False, False],
    ]
    pairs = pair_table(scores())
    assert list(zip(pairs.layer, pairs.unit, pairs.concept, pairs["rank"], strict=True)) == [
        ("one", 0, "a", 1),
        ("one", 0, "b", 2),
        ("one", 1, "b", 1),
        ("two", 0, "b", 1),
    ]


def test_both_counts_are_kept() -> None:
    assert unit_table(scores()).interpretable.tolist() == [True, True, False, True]
    assert unit_table(scores()).matched.tolist() == [True, True, False, True]
    assert unit_table(scores(interpretable_iou=0.06)).matched.tolist() == [True, False, False, True]
    assert not unit_table(scores(interpretable_accuracy=0.8)).interpretable.any()


def test_false_positives_are_controls_that_would_pass() -> None:
    assert scores().false_positives == 0
    assert scores(noise=0.0).false_positives == 0, "unit 2, the one above the margin of 0.01, has no label"
    assert scores(noise=0.0, rare=0.0).false_positives == 0.25


def test_concepts_and_layers_count_units_by_their_label() -> None:
    s = scores()
    units = unit_table(s)
    concepts = concept_table(s, units).set_index("concept")
    assert concepts.units_matched.to_dict() == {"a": 1, "b": 2, "c": 0, "rare": 0}
    assert concepts.rare.to_dict() == {"a": False, "b": False, "c": False, "rare": True}
    assert (concepts.best_layer["b"], concepts.best_unit["b"]) == ("one", 0)
    assert concepts.best_layer.isna().to_dict() == {"a": False, "b": False, "c": False, "rare": True}
    layers = layer_table(s, units).set_index("layer")
    assert layers.loc["one", ["matched", "concepts", "object", "part"]].tolist() == [2, 2, 1, 1]
    assert layers.mean_iou["one"] == pytest.approx(0.28)
