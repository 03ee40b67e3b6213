import json
import math
from typing import Any

import numpy as np
import pytest
from unpacking import unpacked

from ganatomy.experiments.dissection import Dissection
from ganatomy.report import embed as module
from ganatomy.report.embed import embed


@pytest.fixture(scope="module")
def arrays(dissection: Dissection) -> dict[str, Any]:
    embedded = embed(dissection)
    return unpacked(embedded.facts["arrays"], embedded.arrays)


def test_the_tables_travel(dissection: Dissection, arrays: dict[str, Any]) -> None:
    units, pairs = dissection.units, dissection.pairs
    names = [None, *(c.name for c in dissection.vocabulary[1:])]
    assert [names[i] for i in arrays["unit.label"]] == [None if x != x else x for x in units.label]
    assert [names[i] for i in arrays["pair.concept"]] == pairs.concept.tolist()
    np.testing.assert_array_equal(arrays["unit.number"], units.unit)
    np.testing.assert_array_equal(arrays["unit.flags"], units.interpretable + 2 * units.matched)
    np.testing.assert_array_equal(
        arrays["pair.unit"],
        [units.index[(units.layer == r.layer) & (units.unit == r.unit)][0] for r in pairs.itertuples()],
    )
    for column in ("iou", "chance", "control", "iqr", "threshold", "on"):
        np.testing.assert_allclose(arrays[f"unit.{column}"], units[column], rtol=1e-3, err_msg=column)
    np.testing.assert_allclose(arrays["pair.iou"], pairs.iou, rtol=1e-3)
    assert np.isnan(arrays["unit.iou"]).any()


def test_the_label_of_every_unit_has_its_curve(dissection: Dissection, arrays: dict[str, Any]) -> None:
    carried = dict(zip(zip(arrays["curve.unit"], arrays["curve.concept"], strict=True), range(10**6), strict=False))
    curves = np.add.accumulate(arrays["curve.steps"].astype(int), axis=-1) % 65536 / 65535
    for row, unit in dissection.units.dropna(subset="label").iterrows():
        place = carried[row, [c.name for c in dissection.vocabulary].index(unit.label)]
        expected = dissection.curve(unit.layer, int(unit.unit), unit.label)
        np.testing.assert_allclose(curves[place], [expected.iou, expected.iqr.clip(0)], atol=1e-5)
        assert arrays["curve.level"][place] == expected.attrs["chosen"]


def test_the_strips_travel(dissection: Dissection, arrays: dict[str, Any]) -> None:
    assert len(set(arrays["strip.id"].tolist())) == len(arrays["strip.id"])
    for row, unit in dissection.units.iloc[::7].iterrows():
        strip = dissection.top(unit.layer, int(unit.unit))
        assert arrays["strip.id"][arrays["strip.tile"][row]].tolist() == strip.ids.tolist()
        bits = np.unpackbits(arrays["strip.bits"][row], axis=-1, count=arrays["strip.grid"][1])
        np.testing.assert_array_equal(np.bitwise_xor.accumulate(bits, axis=-2), strip.masks)


def test_facts_are_plain(dissection: Dissection) -> None:
    facts = embed(dissection).facts
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["scale"] == math.ceil(10 * dissection.units.iou.max()) / 10
    lid = next(c for c in facts["concepts"] if c["name"] == "lid")
    assert (lid["category"], lid["key"]) == ("part", "lid")
    assert 0 < lid["share"] < 1


def test_what_is_left_out_is_said(dissection: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PICTURED", 9)
    monkeypatch.setattr(module, "PAIRS", 40)
    monkeypatch.setattr(module, "PICTURE_SIDE", 16)
    monkeypatch.setattr(module, "MASK_SIDE", 8)
    embedded = embed(dissection)
    arrays = unpacked(embedded.facts["arrays"], embedded.arrays)
    pictured = dissection.units.iloc[arrays["strip.unit"]]
    assert pictured.groupby("layer").size().tolist() == [3, 3, 3]
    least = pictured.groupby("layer").iou.min()
    assert all((dissection.units[dissection.units.layer == layer].iou > iou).sum() <= 2 for layer, iou in least.items())
    assert len(arrays["unit.iou"]) == len(dissection.units)
    assert len(arrays["pair.iou"]) < len(dissection.pairs)
    assert set(arrays["curve.unit"]) <= set(arrays["strip.unit"])
    said = " ".join(embedded.left_out)
    assert f"9 of {len(dissection.units)} units" in said
    assert f"Of {len(dissection.pairs)} pairs" in said
    assert "32×32 pixels are shown at 16×16" in said
    assert arrays["strip.grid"].tolist() == [8, 8]


def test_nothing_is_left_out_but_curves(dissection: Dissection) -> None:
    assert len(embed(dissection).left_out) == 1
