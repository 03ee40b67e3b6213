"""Of generators of rendered scenes, what is accepted is judged by what the renderer would do at that very place."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.causal.context import Context, ContextSpec, run_context
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.causal.place_truth import (
    PlacementRules,
    PlaceTruth,
    by_grammar,
    by_probability,
    category_of,
    placement_rules,
    scene_boxes,
    scene_labels,
    truth_category,
    truth_facts,
    typical_area,
    verdict_table,
    with_truth,
)
from ganatomy.experiments.run_options import RunOptions
from ganatomy.report.causal.page import causal_html
from ganatomy.scenes import Bank, grammar, render
from ganatomy.scenes.grammar import INDEX, VOCABULARY


def places(possible: list[float], gain: list[float], free: list[bool]) -> pd.DataFrame:
    """One image a place, as a study has them, a sixteenth of the image each; half of the usual area is 0.125."""
    n = len(gain)
    rows = pd.DataFrame({"id": range(n), "gain": gain, "random_gain": [0.0] * n})
    truth = PlaceTruth(torch.tensor([possible]).double(), torch.tensor([free]), torch.tensor([1 / 64]).double())
    return with_truth(rows, truth, 1 / 16)


def test_it_appears_where_it_newly_covers_half_its_usual_area_or_a_quarter_of_the_place() -> None:
    found = places([1, 1, 1, 1], [0.12, 0.13, 0.9, 0.0], [True, True, False, True])
    assert found.appears.tolist() == [False, True, False, False]
    assert not found.random_appears.any()


def test_only_free_places_are_judged_by_whether_the_renderer_could() -> None:
    possible, gain = [0.0, 0.0, 0.02, 0.3, 0.3, 0.9], [0.0, 0.1, 0.9, 0.5, 0.9, 0.4]
    found = places(possible, gain, [True, True, True, True, False, True])
    units = verdict_table(found, PlacementRules("church", [], []), 50, 0).iloc[0]
    assert (units.allowed_places, units.forbidden_places) == (2, 2)
    assert (units.allowed, units.forbidden) == (pytest.approx(0.45), pytest.approx(0.05))
    assert (units.allowed_appears, units.forbidden_appears) == (1, 0)
    assert units.difference == pytest.approx(0.4)
    assert np.isnan(units.ratio)  # two places do not tell what is forbidden from nothing
    table = by_probability(found)
    assert table.places.tolist() == [2, 1, 0, 1, 1]
    assert table.appears.fillna(-1).tolist() == [0, 1, -1, 1, 1]
    assert (table.appears_error[table.places > 0] > 0).all()  # a few places prove nothing, nor does one


def test_places_and_labels_are_those_of_rendered_scenes() -> None:
    at = torch.tensor([[0, 0], [5, 13]])
    assert scene_boxes(at, 3, (16, 16)).tolist() == [[0, 0, 12, 12], [20, 52, 12, 12]]
    assert scene_boxes(torch.tensor([[127, 1]]), 1, (128, 128)).tolist() == [[63, 1, 1, 1]]

    vocabulary = (VOCABULARY[0], Concept("dog", "object"), *VOCABULARY[1:])  # one word that scenes do not have
    labels = torch.from_numpy(render("church", range(2), 128).labels.astype(np.int64))
    known = torch.where(labels > 0, labels + 1, 0)
    known[0, 0, :64] = 1
    read = scene_labels(vocabulary, known)
    expected = labels[:, :, 1::2, 1::2].numpy()
    assert (read[0, 0, :32] == 0).all()
    assert np.array_equal(read[1], expected[1])
    assert np.array_equal(read[0, 1:], expected[0, 1:])


def test_the_usual_area_is_of_one_object() -> None:
    labels = np.zeros((1, 3, 64, 64), np.uint8)
    window = INDEX[Concept("window", "object")]
    labels[0, 0, :4, :4] = labels[0, 0, 10:12, :4] = labels[0, 0, 20:26, 20:26] = window
    assert typical_area(Bank("church", labels), Concept("window", "object")) * 64**2 == 16
    assert typical_area(Bank("church", labels), Concept("door", "object")) == 1


@pytest.fixture(scope="module")
def church(tmp_path_factory: pytest.TempPathFactory) -> DissectedModel:
    study = tmp_path_factory.mktemp("church") / "study"
    ganatomy.dissect("bundled:church", images=16, calibration=16, layers=["layer6"], out=study)
    return open_source(study, run=RunOptions(shard=2))


@pytest.fixture(scope="module")
def trees(church: DissectedModel, tmp_path_factory: pytest.TempPathFactory) -> Context:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganatomy.scenes.places.BANK", 40)
        patch.setattr("ganatomy.scenes.redraw.DRAWS", 100)
        every = tuple(range(128))
        spec = ContextSpec(
            **church.names(), layer="layer6", concept="tree", units=every, constant="place", chosen="all", cell=4,
            images=4, pool=32, show=1,
        )  # fmt: skip
        return run_context(spec, church, tmp_path_factory.mktemp("context") / "tree")


@pytest.mark.slow
def test_the_study_of_a_generator_of_scenes_says_so(church: DissectedModel, trees: Context) -> None:
    truth = trees.facts["truth"]
    assert (truth["category"], truth["allowed"], truth["exact"]) == ("church", 0.05, True)
    assert trees.facts["control"] == "without"
    assert trees.possible.places.sum() == trees.places.free.sum()
    assert ((trees.places.possible > 0) & (trees.places.row >= 13)).sum() == 0  # no tree in the foreground
    top = trees.places[(trees.places.row == 0) & (trees.places.column == 4)]
    assert (top.possible == 0).all()
    assert trees.under.allowed.isna().all()
    again = Context.open(trees.study.directory)
    pd.testing.assert_frame_equal(again.possible, trees.possible)
    page = causal_html(trees)
    assert "would the renderer" in page
    assert "P = 0" in page


@pytest.mark.slow
def test_for_other_generators_nothing_changes(church: DissectedModel, trees: Context, tmp_path: Path) -> None:
    said = ContextSpec(
        **church.names(), layer="layer6", concept="tree", units=(1, 2), chosen="two", cell=8, images=2,
        pool=32, show=1, allowed=("grass",), forbidden=("sky",),
    )  # fmt: skip
    found = run_context(said, church, tmp_path / "said")
    assert found.facts["truth"] is None
    assert found.possible.empty
    assert "possible" not in found.places
    assert truth_category(church, "tree", None) == "church"
    assert truth_facts(None, VOCABULARY[1]) == {"truth": None}


def church_rules(name: str, kind: str = "object") -> tuple[set[str], set[str], set[str]]:
    found = by_grammar(grammar("church"), Concept(name, kind))
    allowed, forbidden = set(found.allowed), set(found.forbidden)
    assert not allowed & forbidden
    return allowed, forbidden, set(grammar("church").rules) - allowed - forbidden


def test_a_door_may_be_in_what_carries_it_and_a_window_may_make_room() -> None:
    allowed, forbidden, silent = church_rules("door")
    assert allowed == {"building", "tower"}
    assert silent == {"door", "window"}
    assert {"sky", "grass", "path", "tree", "roof", "dome"} <= forbidden


def test_a_tree_stands_on_grass_and_what_stands_there_too_may_have_one_in_front() -> None:
    allowed, forbidden, silent = church_rules("tree")
    assert allowed == {"grass"}
    assert forbidden == {"sky", "sun", "moon", "cloud", "mountain", "hill", "water"}
    assert {"tree", "bush", "path", "building", "roof", "window", "dome"} <= silent


def test_what_several_things_carry_is_allowed_on_each() -> None:
    assert church_rules("tower")[0] == {"grass", "building"}
    assert set(by_grammar(grammar("livingroom"), Concept("lamp", "object")).allowed) == {"floor", "table"}


def test_a_part_goes_where_its_object_goes() -> None:
    allowed, forbidden, silent = church_rules("pane", "part")
    assert allowed == {"window", "building", "tower"}
    assert silent == {"door"}
    assert "sky" in forbidden


def test_a_part_of_two_objects_is_forbidden_only_where_both_are() -> None:
    allowed, forbidden, silent = church_rules("frame", "part")
    assert allowed == {"window", "door", "building", "tower"}
    assert silent == set()
    assert "tree" in forbidden


def test_a_material_goes_where_something_of_it_goes() -> None:
    allowed, forbidden, _ = church_rules("glass", "material")
    assert allowed == {"window", "building", "tower"}
    assert "grass" in forbidden


def test_of_what_no_rule_knows_nothing_is_said() -> None:
    assert church_rules("sofa") == (set(), set(), set(grammar("church").rules))
    found = by_grammar(grammar("church"), Concept("door", "object"))
    assert [found.verdict(name) for name in ("tower", "sky", "window", "nothing")] == [True, False, None, None]


def test_the_card_of_a_bundled_generator_names_its_grammar() -> None:
    assert category_of("bundled:church") == "church"
    assert category_of("planted:") is None
    assert category_of("bundled:none") is None


def test_a_person_may_say_instead(source: DissectedModel) -> None:
    assert placement_rules(source, "ball") == (None, [], [])
    assert placement_rules(source, "ball", None, ["nothing", "sky"], ["box"]) == (None, ["nothing", "sky"], ["box"])
    with mistake("unknown-name", "bx", "box"):
        placement_rules(source, "ball", None, [], ["bx"])
    with mistake("unknown-name", "chruch", "church"):
        placement_rules(source, "ball", "chruch")
