"""What the grammar says of an insertion: allowed, forbidden for certain, or left open."""

import pytest

from ganatomy.errors import UnknownName
from ganatomy.experiments.causal.place_truth import by_grammar, category_of, placement_rules
from ganatomy.experiments.causal.source import Source
from ganatomy.scenes import grammar
from ganatomy.vocabulary import Concept


def church(name: str, kind: str = "object") -> tuple[set[str], set[str], set[str]]:
    found = by_grammar(grammar("church"), Concept(name, kind))
    allowed, forbidden = set(found.allowed), set(found.forbidden)
    assert not allowed & forbidden
    return allowed, forbidden, set(grammar("church").rules) - allowed - forbidden


def test_a_door_may_be_in_what_carries_it_and_a_window_may_make_room() -> None:
    allowed, forbidden, silent = church("door")
    assert allowed == {"building", "tower"}
    assert silent == {"door", "window"}
    assert {"sky", "grass", "path", "tree", "roof", "dome"} <= forbidden


def test_a_tree_stands_on_grass_and_what_stands_there_too_may_have_one_in_front() -> None:
    allowed, forbidden, silent = church("tree")
    assert allowed == {"grass"}
    assert forbidden == {"sky", "sun", "moon", "cloud", "mountain", "hill", "water"}
    assert {"tree", "bush", "path", "building", "roof", "window", "dome"} <= silent


def test_what_several_things_carry_is_allowed_on_each() -> None:
    assert church("tower")[0] == {"grass", "building"}
    assert set(by_grammar(grammar("livingroom"), Concept("lamp", "object")).allowed) == {"floor", "table"}


def test_a_part_goes_where_its_object_goes() -> None:
    allowed, forbidden, silent = church("pane", "part")
    assert allowed == {"window", "building", "tower"}
    assert silent == {"door"}
    assert "sky" in forbidden


def test_a_part_of_two_objects_is_forbidden_only_where_both_are() -> None:
    allowed, forbidden, silent = church("frame", "part")
    assert allowed == {"window", "door", "building", "tower"}
    assert silent == set()
    assert "tree" in forbidden


def test_a_material_goes_where_something_of_it_goes() -> None:
    allowed, forbidden, _ = church("glass", "material")
    assert allowed == {"window", "building", "tower"}
    assert "grass" in forbidden


def test_of_what_no_rule_knows_nothing_is_said() -> None:
    assert church("sofa") == (set(), set(), set(grammar("church").rules))
    found = by_grammar(grammar("church"), Concept("door", "object"))
    assert [found.verdict(name) for name in ("tower", "sky", "window", "nothing")] == [True, False, None, None]


def test_the_card_of_a_bundled_generator_names_its_grammar() -> None:
    assert category_of("bundled:church") == "church"
    assert category_of("planted:") is None
    assert category_of("bundled:none") is None


def test_a_person_may_say_instead(source: Source) -> None:
    assert placement_rules(source, "ball") == (None, [], [])
    assert placement_rules(source, "ball", None, ["nothing", "sky"], ["box"]) == (None, ["nothing", "sky"], ["box"])
    with pytest.raises(UnknownName, match="bx"):
        placement_rules(source, "ball", None, [], ["bx"])
    with pytest.raises(UnknownName, match="chruch"):
        placement_rules(source, "ball", "chruch")
