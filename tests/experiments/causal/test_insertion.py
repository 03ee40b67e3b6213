"""Several layers are set at once, each to its own constant, and compared with what any units, or none, would do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.experiments.causal.context import ContextSpec, run_context
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.effect_spec import EffectSpec
from ganatomy.experiments.causal.effects import run_effect
from ganatomy.experiments.causal.insertion import (
    at_grid,
    constant_edits,
    control_edits,
    control_trials,
    draw_edited,
    measured_parts,
)
from ganatomy.experiments.causal.places import Rows, masks
from ganatomy.experiments.causal.pool import layer_pool, place_means
from ganatomy.experiments.causal.trace import TraceSpec, run_trace
from ganatomy.experiments.causal.trials import baselines
from ganatomy.experiments.dissection import Dissection
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators.planted import UNITS

BALL1, BALL2 = (UNITS[layer].index("ball") for layer in ("layer1", "layer2"))


def ask(source: DissectedModel, **options: Any) -> ContextSpec:
    usual = {"layer": "layer1", "concept": "ball", "units": (BALL1,), "more": (("layer2", (BALL2,)),)}
    small = {"chosen": "as planted", "images": 4, "pool": 30, "cell": 4, "show": 1}
    return ContextSpec(**source.names(), **{**usual, **small, **options})


def every(source: DissectedModel, layer: str) -> tuple[int, ...]:
    return tuple(range(source.shape(layer).units))


def test_two_layers_are_set_each_to_its_own_k_at_the_same_place(source: DissectedModel) -> None:
    spec = ask(source, multiple=2.0)
    parts = measured_parts(source, spec, "ball")
    given = next(iter(baselines(source, spec, spec.ids())))
    rows = Rows(torch.tensor([1, 3]), masks((16, 16), torch.tensor([[4, 8], [0, 3]]), 4))
    drawn = draw_edited(source, given, rows, constant_edits(parts, rows.where))
    generator, c = source.models.generator, source.concept("ball")
    for i, (image, row, column) in enumerate(((1, 2, 4), (3, 0, 1))):
        wide = 2 if i == 0 else 3  # the coarser place is edited where any of it is
        edits = [
            Intervention.insert(
                layer, source.shape(layer), [unit], 2 * layer_pool(source, layer, 30).constant(c), where
            )
            for layer, unit, where in (
                ("layer1", BALL1, place((8, 8), row, column, 2, wide)),
                ("layer2", BALL2, place((16, 16), (4, 0)[i], (8, 3)[i], 4)),
            )
        ]
        own = generator.edited(given.z[image : image + 1], edits)[0]
        assert torch.allclose(drawn[i], own, atol=1e-6)


def test_random_units_are_others_of_each_layer_and_all_units_are_set_as_without_the_concept(
    source: DissectedModel,
) -> None:
    parts = measured_parts(source, ask(source), "ball")
    where, image = masks((16, 16), torch.tensor([[0, 0], [4, 4], [8, 8]]), 4), torch.tensor([0, 1, 1])
    for edit, unit in zip(control_edits(parts, where, image, range(7, 9), 0), (BALL1, BALL2), strict=True):
        assert edit.alpha.sum(1).tolist() == [1, 1, 1]
        assert not edit.alpha[:, unit].any()
        assert torch.equal(edit.alpha[1], edit.alpha[2])
    whole = ask(source, units=every(source, "layer1"), more=(), constant="place", cell=2)
    (part,) = measured_parts(source, whole, "ball")
    means = place_means(source, ["layer1"], "ball", 30)["layer1"]
    assert torch.equal(part.value, means.constant(layer_pool(source, "layer1", 30).constant(source.concept("ball"))))
    (control,) = control_edits([part], masks((8, 8), torch.tensor([[0, 0]]), 2), torch.tensor([0]), range(1), 0)
    assert torch.equal(control.value, means.absent())
    assert control.alpha.all()
    assert len(control_trials([part], None, 1.0, 5, 0)) == 1
    assert len(control_trials(parts, None, 1.0, 5, 0)) == 5


def test_a_place_of_a_finer_grid_covers_all_that_it_touches() -> None:
    assert at_grid(masks((4, 4), torch.tensor([[1, 1]]), 2), (2, 2)).tolist() == [[[1, 1], [1, 1]]]
    assert at_grid(masks((4, 4), torch.tensor([[0, 0]]), 2), (2, 2)).tolist() == [[[1, 0], [0, 0]]]


@pytest.mark.slow
def test_every_study_of_an_insertion_takes_several_layers_and_k_of_the_place(
    source: DissectedModel, tmp_path: Path
) -> None:
    context = run_context(ask(source, constant="place"), source, tmp_path / "context")
    assert context.places.row.max() == 12  # of the second layer's grid
    assert context.facts["control"] == "random"
    fields = {"layer": "layer1", "units": (BALL1,), "more": (("layer2", (BALL2,)),), "constant": "place"}
    small = {"concept": "ball", "chosen": "x", "images": 4, "pool": 30}
    trace = run_trace(TraceSpec(**source.names(), **fields, **small, cell=4, places=2, show=1), source, tmp_path / "t")
    assert trace.lines.change[trace.lines.visible].notna().all()
    spec = EffectSpec(**source.names(), **fields, **small, kind="insert", region=(4, 4, 4, 4), random=2, show=1)
    effect = run_effect(spec, source, tmp_path / "effect")
    one, two = effect.edits()
    assert (one.layer, two.layer) == ("layer1", "layer2")
    assert two.value.shape == (len(UNITS["layer2"]), 16, 16)
    row = effect.table.iloc[0]
    assert (row.concept, row["read"]) == ("ball", "image")
    assert row.change > 0.01
    whole = EffectSpec(
        **source.names(), **small, kind="insert", layer="layer1", units=every(source, "layer1"), random=3, show=1
    )
    effect = run_effect(whole, source, tmp_path / "whole")
    assert effect.facts["control"] == "without"
    assert effect.table.random_spread.isna().all()  # there is one control


def test_what_cannot_be_inserted_is_refused(source: DissectedModel, tmp_path: Path) -> None:
    for options, code, fact in (
        ({"constant": "kk"}, "unknown-name", "kk"),
        ({"more": (("layer1", (1,)),)}, "bad-value", "layers=layer1, layer1"),
        ({"layer": "layer2", "units": (BALL2,), "more": (("layer1", (1,)),)}, "bad-value", "layers=layer2, layer1"),
        ({"more": (("layer2", (99,)),)}, "unknown-name", "layer2/99"),
    ):
        with mistake(code, fact):
            run_context(ask(source, **options), source, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_layers_are_named_once_each(planted: Dissection) -> None:
    for options, fact in (
        ({}, "layers=layer5,layer6"),
        ({"layer": "layer1", "layers": ["layer2"]}, "layer=layer1"),
        ({"layers": ["layer1", "layer1"]}, "layers=layer1,layer1"),
        ({"layers": []}, "layers=:"),
        ({"layers": ["layer1", "layer2"], "units": [1]}, "layer1, layer2"),
    ):
        with mistake("bad-value", fact):
            ganatomy.ablate(planted, concept="ball", **options)
    with mistake("unknown-name", "layer9", "layer3"):
        ganatomy.ablate(planted, concept="ball", layers=["layer1", "layer9"])


def test_units_of_several_layers_are_ablated(planted: Dissection) -> None:
    effect = ganatomy.ablate(planted, layers=["layer2", "layer1"], concept="ball", top=1, images=6, random=1, show=1)
    assert [edit.layer for edit in effect.edits()] == ["layer1", "layer2"]
    assert effect.table.set_index("concept").relative["ball"] < -0.9
    assert "layer1+layer2" in str(effect.study.directory)
