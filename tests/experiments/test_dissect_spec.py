"""A Spec says all that the numbers depend on, and refuses what cannot be meant."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from mistakes import mistake

from ganatomy.experiments.dissect_spec import RUN, DissectRun, DissectSpec
from ganatomy.study import spec_digest, to_json

SPEC = DissectSpec("planted:")

OTHER: dict[str, Any] = {
    "generator": "bundled:church",
    "segmenter": "colors",
    "layers": ("layer1",),
    "images": 999,
    "validation": "cross",
    "seed": 1,
    "calibration": 255,
    "resolution": 32,
    "threshold": "unit",
    "levels": 99,
    "smallest": 0.002,
    "rare": 0.002,
    "interpretable_iou": 0.04,
    "interpretable_accuracy": 0.7,
    "label": "iqr",
    "over_control": 1.2,
    "over_chance": 1.2,
    "false_labels": 0.02,
    "top": 9,
}


@pytest.mark.parametrize("name", [field.name for field in fields(DissectSpec)])
def test_every_field_changes_the_digest(name: str) -> None:
    other = replace(SPEC, **{name: OTHER[name]})
    assert getattr(other, name) != getattr(SPEC, name)
    assert spec_digest(other) != spec_digest(SPEC)


@pytest.mark.parametrize(
    ("threshold", "raw"), [("quantile:0.02", True), ("upsampled-quantile:0.02", False), ("pair", False)]
)
def test_a_quantile_is_of_raw_activations_unless_it_says_otherwise(threshold: str, raw: bool) -> None:
    spec = replace(SPEC, threshold=threshold)
    assert (spec.raw_level is not None) == raw
    assert spec.quantile == (None if threshold == "pair" else 0.02)
    if raw:
        assert spec.tops()[spec.raw_level] == 0.02


def test_it_survives_json() -> None:
    spec = replace(SPEC, layers=["layer2", "layer1"], threshold="quantile:0.005")
    assert spec.layers == ("layer2", "layer1")
    assert DissectSpec(**to_json(spec)) == spec


@pytest.mark.parametrize(
    ("change", "code", "fact"),
    [
        ({"images": 0}, "bad-value", "images=0"),
        ({"images": 1}, "bad-value", "images=1"),
        ({"images": 3, "validation": "cross"}, "bad-value", "images=3"),
        ({"calibration": 0}, "bad-value", "calibration=0"),
        ({"top": 0}, "bad-value", "top=0"),
        ({"resolution": 0}, "bad-value", "resolution=0"),
        ({"levels": 1}, "bad-value", "levels=1"),
        ({"levels": 1000}, "bad-value", "levels=1000"),
        ({"smallest": 0.0}, "bad-value", "smallest=0.0"),
        ({"smallest": 1.0}, "bad-value", "smallest=1.0"),
        ({"rare": -0.1}, "bad-value", "rare=-0.1"),
        ({"false_labels": 1.5}, "bad-value", "false_labels=1.5"),
        ({"interpretable_iou": float("nan")}, "bad-value", "interpretable_iou=nan"),
        ({"layers": "layer4"}, "bad-value", "layers='layer4'"),
        ({"threshold": "quantile:1.5"}, "unknown-name", "quantile:1.5"),
        ({"threshold": "quantile:0.0"}, "bad-value", "threshold=quantile:0.0"),
        ({"threshold": "quantile:__import__('os')"}, "unknown-name", "__import__"),
    ],
)
def test_it_refuses_in_one_line(change: dict[str, Any], code: str, fact: str) -> None:
    with mistake(code, fact):
        replace(SPEC, **change)


@pytest.mark.parametrize("name", ["batch", "shard"])
@pytest.mark.parametrize("value", [0, 7])
def test_a_run_pairs_images(name: str, value: int) -> None:
    with mistake("bad-value", f"{name}={value}"):
        RUN.take({name: value})


def test_a_run_takes_its_own_options() -> None:
    options = {"batch": 8, "images": 4}
    assert (RUN.take(options), options) == (DissectRun(8, 256), {"images": 4})


def test_it_suggests_names() -> None:
    with mistake("unknown-name", "crossed", "cross"):
        replace(SPEC, validation="crossed")
    with mistake("unknown-name", "maxiou", "max-iou"):
        replace(SPEC, threshold="maxiou")


@pytest.mark.parametrize(("text", "q"), [("0.005", 0.005), (".01", 0.01), ("5e-3", 0.005), ("2.5e-3", 0.0025)])
def test_a_quantile_rule_adds_its_own_level(text: str, q: float) -> None:
    spec = replace(SPEC, threshold=f"quantile:{text}")
    assert spec.quantile == q
    assert q in spec.tops()
    assert set(spec.tops()) == {*SPEC.tops(), q}


def test_the_grid_of_levels() -> None:
    tops = SPEC.tops()
    assert len(tops) == 100
    assert tops[0] == 1
    assert tops[-1] == pytest.approx(0.001)
    assert np.all(np.diff(tops) < 0)


def test_halves() -> None:
    assert SPEC.halves() == {"evaluation": range(1000), "validation": range(1000, 2000)}
    assert SPEC.calibration_ids() == range(1000, 1256)
    crossed = replace(SPEC, images=7, validation="cross")
    assert crossed.halves() == {"evaluation": range(4), "validation": range(4, 7)}
    assert crossed.calibration_ids() == range(7)
    assert replace(SPEC, images=100).calibration_ids() == range(100, 200)


@pytest.mark.parametrize("images", [2, 31, 256, 257])
@pytest.mark.parametrize("shard", [2, 32, 256])
@pytest.mark.parametrize("validation", ["separate", "cross"])
def test_shards_hold_every_id_once_and_never_part_a_pair(images: int, shard: int, validation: str) -> None:
    spec, run = replace(SPEC, images=max(images, 4), validation=validation), DissectRun(shard=shard)
    shards = [ids for half in spec.halves().values() for ids in run.shards(half)]
    assert [i for ids in shards for i in ids] == [i for ids in spec.halves().values() for i in ids]
    for half in spec.halves().values():
        own = [ids for ids in shards if ids.start in half]
        assert all(ids.stop <= half.stop for ids in own), "a shard lies in both halves"
        assert all((ids.start - half.start) % 2 == 0 for ids in own)
