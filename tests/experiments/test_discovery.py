"""What units that know nothing are matched for; and directions in the place of units, through whole experiments."""

import dataclasses
from collections.abc import Sequence

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import ganatomy
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.fdr import _upper, false_discovery
from ganatomy.models.generators import Edit, LayerShape, Observation, open_generator
from ganatomy.models.generators.planted import UNITS
from ganatomy.report.html import report_html

TREES = [unit for unit, role in enumerate(UNITS["layer2"]) if role == "tree"]


class Elsewhere:
    """The planted world, seen with the features of other images: no unit knows anything."""

    def __init__(self) -> None:
        self._inner = open_generator("planted:")
        self.layers: dict[str, LayerShape] = dict(self._inner.layers)
        self.device, self.latents, self.fingerprint = self._inner.device, self._inner.latents, "elsewhere"

    def observe(self, z: torch.Tensor, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        seen = self._inner.observe(z, layers, edits)
        return dataclasses.replace(seen, features={layer: r.roll(2, 0) for layer, r in seen.features.items()})


def test_units_that_know_nothing_are_matched_as_often_as_expected(planted: Dissection) -> None:
    nothing = ganatomy.dissect(Elsewhere(), segmenter="planted", images=planted.spec.images)
    false = int(nothing.units.matched.sum())
    for study in (planted, nothing):
        table = false_discovery(study)
        assert list(table.columns) == ["layer", "units", "matched", "expected", "rate", "at_most"]
        assert list(table.layer) == list(study.layers)
        assert abs(table.expected.sum() - false) <= 2
    assert false_discovery(planted).rate.max() < 0.2
    assert float(false_discovery(nothing).at_most.fillna(1).min()) > 0.5


def test_expected_are_units_that_mismatched_counts_match_to_a_common_concept(planted: Dissection) -> None:
    """At lax margins, so that there are some; the counts behind `null` are checked in test_dissection."""
    lax = dataclasses.replace(planted, spec=dataclasses.replace(planted.spec, false_labels=1.0))
    found = (planted.reading.null[:, 1:].numpy()[:, ~planted.concepts.rare.to_numpy()] > 0.5).any(1)
    lax.scores.__dict__["_null"] = 2 * lax.scores._null  # as if half as much were enough
    assert found.any(), "nothing is tested: no chance match in this sample"
    expected = false_discovery(lax).set_index("layer").expected
    assert expected.to_dict() == planted.units.assign(found=found).groupby("layer").found.sum().to_dict()


def test_the_upper_bound_is_wilsons() -> None:
    """It solves (p̂ - p)² = z² p (1 - p) / n."""
    for found, n in ((0, 256), (1, 256), (7, 24), (24, 24)):
        p = _upper(found, n)
        assert (found / n - p) ** 2 == pytest.approx(1.645**2 * p * (1 - p) / n, abs=1e-12)
        assert p >= found / n


def test_nothing_matched_has_no_rate(planted: Dissection) -> None:
    table = false_discovery(dataclasses.replace(planted, units=planted.units.assign(matched=False)))
    assert bool((table.matched == 0).all())
    assert bool(table[["rate", "at_most"]].isna().all(axis=None))


def test_a_basis_turned_by_nothing_dissects_like_units(planted: Dissection) -> None:
    name = "basis:planted:?layer=layer2&directions=rotation&amount=0"
    same = ganatomy.dissect(name, segmenter="planted", images=planted.spec.images)
    pd.testing.assert_frame_equal(same.units, planted.units)
    pd.testing.assert_frame_equal(same.pairs, planted.pairs)


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    """A dissection of two directions: both units that draw the tree, half of it each, and the one of the sky."""
    directory = tmp_path_factory.mktemp("sums")
    matrix = torch.zeros(2, len(UNITS["layer2"]))
    matrix[0, TREES], matrix[1, UNITS["layer2"].index("sky")] = 2**-0.5, 1.0
    save_file({"directions": matrix}, directory / "sums.safetensors")
    name = f"basis:planted:?layer=layer2&directions={directory / 'sums.safetensors'}"
    return ganatomy.dissect(name, segmenter="planted", layers=["layer2"], images=120, out=directory / "study")


def test_directions_are_named_by_what_they_draw(planted: Dissection, sums: Dissection) -> None:
    assert list(sums.units.label) == ["tree", "sky"]
    assert float(sums.units.iou.min()) > 0.5
    assert sums.facts["directions"] is True
    assert "What does each direction of basis:planted draw?" in report_html(sums)
    assert planted.facts["directions"] is False


@pytest.mark.slow
def test_a_direction_is_ablated_as_its_units_are(planted: Dissection, sums: Dissection) -> None:
    given = {"layer": "layer2", "images": 32, "random": 0}
    of_units = ganatomy.ablate(planted, units=TREES, **given).table
    of_direction = ganatomy.ablate(sums, units=[0], **given).table
    columns = ["concept", "before", "after", "change", "change_error"]
    pd.testing.assert_frame_equal(of_direction[columns], of_units[columns], atol=1e-3)
    assert float(of_units.set_index("concept").relative["tree"]) < -0.99


@pytest.mark.slow
def test_ace_finds_the_direction_that_draws_the_tree(sums: Dissection) -> None:
    found = ganatomy.ace(sums, layer="layer2", concept="tree", schedule="quick", top=1, images=32)
    alpha = found.units.set_index("unit").alpha
    assert alpha[0] > 2 * alpha[1]
