"""Units are named, ranked or drawn; what cannot be chosen is refused in a sentence."""

from pathlib import Path

import pytest
from mistakes import mistake

from ganatomy.experiments.causal.choice import UnitQuery, ace_path, random_sets, select_units
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.models.generators.planted import UNITS


def test_named_units_keep_their_order(source: DissectedModel) -> None:
    choice = select_units(source, "layer2", UnitQuery([7, 3], "tree"))
    assert (choice.units, choice.chosen, choice.name) == ((7, 3), "units 7, 3", "units-7-3")
    many = select_units(source, "layer3", UnitQuery(list(range(9))))
    assert (many.chosen, many.name) == ("units 0, 1 … 8", "units-9-from-0-to-8")


@pytest.mark.parametrize("concept", ["ball", "box", "tree", "sky"])
def test_the_best_iou_comes_first(source: DissectedModel, concept: str) -> None:
    choice = select_units(source, "layer2", UnitQuery(concept=concept, top=3))
    ious = source.ious("layer2", concept)
    assert [float(ious[u]) for u in choice.units] == sorted(ious.tolist(), reverse=True)[:3]
    assert concept in UNITS["layer2"][choice.units[0]]
    assert (choice.chosen, choice.name) == (f"top 3 for {concept} by iou", f"{concept}-iou-3")


def test_random_units_depend_on_the_seed_alone(source: DissectedModel) -> None:
    first, again, other = (select_units(source, "layer3", UnitQuery(top=5, by="random", seed=s)) for s in (0, 0, 1))
    assert first == again
    assert first.units != other.units
    assert len(set(first.units)) == 5
    assert other.chosen == "5 units at random (seed 1)"


def test_random_sets_avoid_the_chosen_as_long_as_they_can() -> None:
    for sets in (random_sets(12, 4, range(40), 0, avoid=[1, 2, 8]), random_sets(12, 4, range(40), 7, avoid=[1, 2, 8])):
        assert {unit for units in sets for unit in units} == set(range(12)) - {1, 2, 8}
        assert all(len(set(units)) == 4 for units in sets)
        assert len(set(sets)) > 20
    tight = random_sets(6, 4, range(30), 0, avoid=[0, 1, 2, 3])
    assert all({4, 5} < set(units) for units in tight)
    assert {unit for units in tight for unit in units} == set(range(6))


def test_a_random_set_is_a_function_of_its_number() -> None:
    assert random_sets(50, 9, range(10), 3)[6:] == random_sets(50, 9, range(6, 10), 3)


@pytest.mark.parametrize(
    ("layer", "query", "code", "fact"),
    [
        ("layer9", UnitQuery([1]), "unknown-name", "layer9"),
        ("layer2", UnitQuery([12]), "unknown-name", "layer2/12"),
        ("layer2", UnitQuery([-1]), "unknown-name", "layer2/-1"),
        ("layer2", UnitQuery([]), "bad-value", "units=[]"),
        ("layer2", UnitQuery([3, 3]), "bad-value", "units=[3, 3]"),
        ("layer2", UnitQuery(), "bad-value", "no units"),
        ("layer2", UnitQuery(concept="bal"), "unknown-name", "ball"),
        ("layer2", UnitQuery([1], concept="bal"), "unknown-name", "ball"),
        ("layer2", UnitQuery(concept="ball", top=13), "bad-value", "top=13"),
        ("layer2", UnitQuery(concept="ball", top=0), "bad-value", "top=0"),
        ("layer2", UnitQuery(concept="ball", top=3, by="uio"), "unknown-name", "iou"),
        ("layer2", UnitQuery(concept="ball", top=3, by="ace"), "bad-value", "--layer layer2 --concept ball"),
        ("layer2", UnitQuery(concept="ball", top=3, by="ace", ace=Path("nowhere")), "bad-value", "nowhere"),
    ],
)
def test_what_cannot_be_chosen(source: DissectedModel, layer: str, query: UnitQuery, code: str, fact: str) -> None:
    with mistake(code, fact):
        select_units(source, layer, query)


def test_the_usual_place_of_an_ace_study_is_beside_the_dissection(source: DissectedModel) -> None:
    home = ace_path(source, ["layer2"], "ball")
    assert home.relative_to(source.directory.parent) == Path(f"{source.directory.name}-causal/layer2/ace-ball")
