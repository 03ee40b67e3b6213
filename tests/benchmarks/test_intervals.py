"""Errors and intervals keep what they promise: a small version of the simulation."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import ganatomy
from ganatomy.experiments.bootstrap import resampled


@pytest.fixture(scope="module")
def intervals(load: Any) -> ModuleType:
    return load("intervals")


def test_the_true_distance_is_that_of_means_and_scales(intervals: ModuleType) -> None:
    own = intervals.model(intervals.KINDS["t, 5 degrees"], 4, perfect=False)
    expected = own.shift.square().sum() + 5 / 3 * (own.scale - 1).square().sum()
    assert own.truth == pytest.approx(float(expected), rel=1e-6)
    assert intervals.model(intervals.KINDS["sparse (ReLU)"], 4, perfect=True).truth == pytest.approx(0, abs=1e-9)


def test_kinds_have_the_moments_that_they_are_said_to_have(intervals: ModuleType) -> None:
    for name in ("normal", "sparse (ReLU)", "lognormal", "t, 5 degrees"):
        kind = intervals.KINDS[name]
        drawn = kind.draw(100_000, 2, torch.Generator().manual_seed(0))
        assert float(drawn.mean()) == pytest.approx(kind.mean, abs=0.03), name
        assert float(drawn.var()) == pytest.approx(kind.variance, rel=0.1), name


@pytest.mark.parametrize(("kind", "perfect"), [("normal", True), ("lognormal", False), ("t, 5 degrees", False)])
def test_intervals_of_distances_hold_the_truth(intervals: ModuleType, kind: str, perfect: bool) -> None:
    """Value ± 1.96 errors holds it in half of the samples or fewer: with 200 images most of the distance is bias."""
    found = intervals.frechet_coverage(kind, 8, 200, perfect, repeats=40)
    assert found["interval"] >= 0.9
    assert found["value ± 1.96"] < 0.7
    assert 0.7 < found["predicted"] / found["spread"] < 1.7


@pytest.mark.slow
def test_errors_of_counts_are_as_large_as_counts_vary(intervals: ModuleType, tmp_path: Path) -> None:
    """Ten samples: their spread is known to a quarter."""
    options = {"generator": "planted:", "segmenter": "planted", "images": 48, "levels": 20, "resolution": 16}
    studies = intervals.dissected(tmp_path, 10, layers=("layer2",), **options)
    drawn = [own for own in (resampled(study, 60) for study in studies) if own is not None]
    table = intervals.count_table(drawn).set_index(["layer", "quantity"])
    ratio = table.ratio["layer2", "matched_iou"]
    assert 0.7 < ratio < 1.4
    assert table.covered["layer2", "matched_iou"] >= 0.8
    assert math.isfinite(table.predicted["layer2", "matched"])
    assert isinstance(studies[0], ganatomy.Dissection)
