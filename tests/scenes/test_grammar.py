"""The rules: what they answer, and that they contradict nobody."""

import pytest
from mistakes import mistake

from ganatomy.core.vocabulary import NOTHING, Concept, find_concept
from ganatomy.scenes import CATEGORIES, PLANES, VOCABULARY, grammar


@pytest.mark.parametrize(
    ("category", "thing", "host", "allowed"),
    [
        ("church", "door", "building", True),
        ("church", "tree", "grass", True),
        ("church", "crown", "tree", True),
        ("livingroom", "lamp", "table", True),
        ("church", "door", "sky", False),
        ("church", "sky", "building", False),
        ("church", "crown", "building", False),
        ("livingroom", "rug", "wall", False),
    ],
)
def test_what_may_stand_on_what(category: str, thing: str, host: str, allowed: bool) -> None:
    assert grammar(category).allows(thing, on=host) == allowed


def test_unknown_names_are_refused_with_suggestions() -> None:
    with mistake("unknown-name", "door"):
        grammar("church").allows("dor", on="building")
    with mistake("unknown-name", "building"):
        grammar("church").allows("door", on="bilding")
    with mistake("unknown-name", "livingroom"):
        grammar("living")


def test_rules_are_frozen() -> None:
    with pytest.raises(TypeError):
        grammar("church").rules["door"] = grammar("church").rules["sun"]  # type: ignore[index]


@pytest.mark.parametrize("category", CATEGORIES)
def test_rules_name_only_objects_of_their_category(category: str) -> None:
    rules = grammar(category).rules
    for name, rule in rules.items():
        assert rule.name == name
        assert set(rule.adjacent) <= rules.keys()
        assert len(set(rule.adjacent)) == len(rule.adjacent), f"{name} has a neighbour twice"


def test_the_vocabulary_holds_every_word_of_every_rule_once() -> None:
    words = {
        Concept(name, plane)
        for category in CATEGORIES
        for rule in grammar(category).rules.values()
        for plane, names in zip(PLANES, ((rule.name,), rule.parts, rule.materials), strict=True)
        for name in names
    }
    assert VOCABULARY[0] == NOTHING
    assert set(VOCABULARY[1:]) == words
    assert len(VOCABULARY) == len(words) + 1 <= 256
    kinds = [concept.category for concept in VOCABULARY[1:]]
    assert kinds == sorted(kinds, key=PLANES.index)


def test_the_order_of_the_vocabulary_is_that_of_the_bundled_weights() -> None:
    names = ("sky", "building", "door", "table", "slope", "tabletop", "rock", "ceramic")
    assert [find_concept(VOCABULARY, name) for name in names] == [1, 10, 16, 31, 32, 59, 60, 77]
