import json
import math
from typing import Any

import numpy as np
import pytest
from unpacking import unpacked

from ganatomy.experiments.dissection import Dissection
from ganatomy.report import embed as module
from ganatomy.report.embed import STEP, UNKNOWN, embed


@pytest.fixture(scope="module")
def arrays(dissection: Dissection) -> dict[str, Any]:
    return _arrays(dissection)


def _arrays(dissection: Dissection) -> dict[str, Any]:
    numbers = embed(dissection)
    packs = {
        name: unpacked(numbers.facts[name], numbers.pieces[f"{name}-pack"])
        for name in ("units", "pairs", "histograms", "curves")
    }
    return {name: array for arrays in packs.values() for name, array in arrays.items()}


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
    for column in ("iou", "control", "iqr", "threshold", "on"):
        np.testing.assert_allclose(arrays[f"unit.{column}"], units[column], rtol=1e-3, err_msg=column)
    np.testing.assert_allclose(arrays["pair.iou"], pairs.iou, rtol=1e-3)
    assert np.isnan(arrays["unit.iou"]).any()


def test_the_label_of_every_unit_has_its_curve(dissection: Dissection, arrays: dict[str, Any]) -> None:
    carried = dict(zip(zip(arrays["curve.unit"], arrays["curve.concept"], strict=True), range(10**6), strict=False))
    curves = np.add.accumulate(arrays["curve.steps"].astype(int), axis=-1) % 65536 / STEP
    for row, unit in dissection.units.dropna(subset="label").iterrows():
        place = carried[row, [c.name for c in dissection.vocabulary].index(unit.label)]
        expected = dissection.curve(unit.layer, int(unit.unit), unit.label)
        np.testing.assert_allclose(curves[place], [expected.iou, expected.iqr.clip(0)], atol=1e-5)
        assert arrays["curve.level"][place] == expected.attrs["chosen"]


def test_what_was_not_counted_is_missing_in_a_curve(dissection: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    def curves(self: Dissection, layer: str, units: list[int], concepts: list[int]) -> Any:
        iou = np.full((len(units), len(self.spec.tops())), np.nan)
        iou[:, 7] = 0.25
        return iou, np.full_like(iou, 0.5), iou

    monkeypatch.setattr(Dissection, "curves", curves)
    steps = np.add.accumulate(_arrays(dissection)["curve.steps"].astype(int), axis=-1) % 65536
    assert (np.delete(steps[:, 0], 7, axis=1) == UNKNOWN).all()
    np.testing.assert_allclose(steps[:, 0, 7] / STEP, 0.25, atol=1e-5)
    np.testing.assert_allclose(steps[:, 1] / STEP, 0.5, atol=1e-5)


def test_facts_are_plain(dissection: Dissection) -> None:
    facts = embed(dissection).facts
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["scale"] == math.ceil(10 * dissection.units.iou.max()) / 10
    lid = next(c for c in facts["concepts"] if c["name"] == "lid")
    assert (lid["category"], lid["key"]) == ("part", "lid")
    assert 0 < lid["share"] < 1


def test_what_is_left_out_is_said(dissection: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS", 40)
    monkeypatch.setattr(module, "CURVED", 5)
    arrays, said = _arrays(dissection), " ".join(embed(dissection).left_out)
    assert len(arrays["unit.iou"]) == len(dissection.units)
    assert len(arrays["pair.iou"]) < len(dissection.pairs)
    assert f"Of {len(dissection.pairs)} pairs of unit and concept the best {len(arrays['pair.iou'])} are" in said
    assert len(arrays["curve.unit"]) == 5
    drawn = set(arrays["curve.unit"].tolist())
    assert dissection.units.iou.idxmax() in drawn
    assert f"{len(drawn)} of {len(dissection.units)} units" in said


def test_nothing_is_left_out_but_curves(dissection: Dissection) -> None:
    assert len(embed(dissection).left_out) == 1


def test_a_histogram_agrees_with_the_levels(dissection: Dissection, arrays: dict[str, Any]) -> None:
    shares = arrays["histogram.shares"] / STEP
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-3)
    low, high = arrays["histogram.low"], arrays["histogram.high"]
    for row, unit in dissection.units.iterrows():
        tops, values = dissection.levels(unit.layer)
        own = np.asarray(values[int(unit.unit)])
        assert (low[row], high[row]) == pytest.approx((own[0], max(own[-1], unit.greatest)), rel=1e-3)
        edges = np.linspace(low[row], high[row], shares.shape[1] + 1)
        above = np.cumsum(shares[row][::-1])[::-1]
        for edge, share in zip(edges[1:-1], above[1:], strict=True):
            around = tops[(own > edge)], tops[own <= edge]
            assert around[0].max(initial=0) - 2e-3 <= share <= around[1].min(initial=1) + 2e-3
