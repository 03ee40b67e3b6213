"""From what a person asks to a Spec and a place of its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake

from ganatomy.experiments.base import Runner
from ganatomy.experiments.causal.dissected_model import DissectedModel, default_directory
from ganatomy.experiments.causal.effect_spec import EffectSpec
from ganatomy.experiments.causal.effects import edit_spec, plan_effect
from ganatomy.experiments.causal.places import region_at
from ganatomy.experiments.causal.plans import effect_seconds
from ganatomy.experiments.causal.unit_effects import UnitEffectSpec
from ganatomy.interventions import Intervention


def test_options_become_a_spec(source: DissectedModel) -> None:
    options = {
        "layer": "layer2",
        "concept": "ball",
        "top": 2,
        "at": (3, 4),
        "cell": 2,
        "images": 30,
        "seed": 5,
        "multiple": 2.0,
    }
    plan = plan_effect(source, "insert", options, Runner())
    spec, place = plan.spec, plan.directory
    assert options["at"] == (3, 4), "what is handed over stays as it is"
    assert (spec.kind, spec.layer, spec.concept, spec.chosen) == ("insert", "layer2", "ball", "top 2 for ball by iou")
    assert (spec.region, spec.images, spec.seed, spec.multiple) == ((3, 4, 2, 2), 30, 5, 2.0)
    assert spec.units[0] == 10
    assert place.name == "insert-ball-iou-2-at-3-4-2-2-images-30-seed-5-multiple-2.0"
    plan = plan_effect(source, "ablate", {"layer": "layer1", "units": [3, 1]})
    assert (plan.spec.units, plan.spec.concept, plan.spec.region) == ((3, 1), None, None)
    assert plan.directory.name == "ablate-units-3-1"


def test_the_seed_also_draws_the_units(source: DissectedModel) -> None:
    options = {"layer": "layer3", "by": "random", "top": 4}
    drawn = [plan_effect(source, "ablate", {**options, "seed": seed}).spec for seed in (0, 1)]
    assert drawn[0].units != drawn[1].units
    assert [spec.seed for spec in drawn] == [0, 1]


@pytest.mark.parametrize("ranking", [{"top": 3}, {"by": "iou"}, {"ace": Path("x")}])
def test_units_and_a_ranking_at_once_are_refused(source: DissectedModel, ranking: dict[str, Any]) -> None:
    with mistake("bad-value", "units", next(iter(ranking))):
        plan_effect(source, "ablate", {"layer": "layer1", "units": [3], **ranking})
    with pytest.raises(TypeError, match="imges"):
        plan_effect(source, "ablate", {"layer": "layer1", "units": [3], "imges": 2})


@pytest.mark.parametrize(
    ("at", "cell", "fact"),
    [((1, 2, 3), None, "at=1,2,3"), (None, 2, "cell=2"),
     ((0, 0, 1, 1), 2, "cell=2")],
)  # fmt: skip
def test_regions_that_are_none(at: tuple[int, ...] | None, cell: int | None, fact: str) -> None:
    with mistake("bad-value", fact):
        region_at(at, cell)


def test_edits_that_apply_refuses(source: DissectedModel) -> None:
    each = Intervention.ablate("layer2", source.shape("layer2"), [1], torch.ones(2, 16, 16))
    with mistake("bad-value", "edit.json", "every image"):
        edit_spec(source, [each], "edit.json")
    with mistake("bad-value", "edit.json", "nothing"):
        edit_spec(source, [], "edit.json")


def test_other_questions_have_other_homes(source: DissectedModel) -> None:
    def home_of(kind: str = "ablate", **options: Any) -> Path:
        return plan_effect(source, kind, {"layer": "layer2", "concept": "ball", **options}).directory

    ranked, named = {"top": 1}, {"units": [1]}
    changes: list[dict[str, Any]] = [{}, {"images": 25}, {"seed": 25}, {"strength": 0.5}, {"kind": "insert"}]
    changes += [{"at": (0, 0)}, {"at": (0, 1)}]
    homes = [home_of(**change, **choice) for change in changes for choice in (ranked, named)]
    assert len(set(homes)) == len(homes)
    assert homes[0].parts[-2:] == ("layer2", "ablate-ball-iou-1")
    assert homes[1].name == "ablate-units-1-ball"
    assert homes[-2].name == "ablate-ball-iou-1-at-0-1-1-1"
    each = default_directory(source, UnitEffectSpec(**source.names(), layer="layer2", estimate=False), "each")
    assert each.name == "each-estimate-False"


def test_time_grows_with_the_trials(source: DissectedModel) -> None:
    spec = EffectSpec(**source.names(), layer="layer2", units=(1,))
    assert 0 < effect_seconds(source, spec, 1) < effect_seconds(source, spec, 500)
