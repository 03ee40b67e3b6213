"""Pairs of scenes that differ in one kind of object, and in nothing else."""

import numpy as np
import pytest
from mistakes import mistake

from ganatomy.core.vocabulary import Concept
from ganatomy.scenes import grammar, render, scene_pairs
from ganatomy.scenes.grammar import INDEX


@pytest.mark.slow
@pytest.mark.parametrize("category", ["varied-church", "livingroom"])
def test_only_the_object_and_its_edge_differ(category: str) -> None:
    found = scene_pairs(category, 3, scenes=60)
    assert len(found) > 8
    assert set(found) <= set(grammar(category).rules)
    for name, pairs in found.items():
        differs = (pairs.shown != pairs.without).any(1)
        assert 0 < len(pairs) <= 3, name
        assert differs[pairs.where].mean() > 0.5, name
        assert (differs & ~pairs.where).mean() < 0.05, name


def test_what_carries_others_makes_no_pair_with_them() -> None:
    """Of most churches the walls carry windows and a door."""
    whole, lacking = (render("church", range(16), without=name).labels for name in ("", "building"))
    window = INDEX[Concept("window", "object")]
    assert (whole[:, 0] == window).sum() > (lacking[:, 0] == window).sum()
    assert len(scene_pairs("church", 3, scenes=40).get("building", ())) == 0


def test_a_scene_without_a_kind_that_it_lacks_is_the_same() -> None:
    own = INDEX[Concept("moon", "object")]
    whole, lacking = render("church", range(12)), render("church", range(12), without="moon")
    same = ~(whole.labels[:, 0] == own).any((1, 2))
    assert same.any()
    np.testing.assert_array_equal(whole.images[same], lacking.images[same])
    assert not (lacking.labels == own).any()


def test_scenes_are_drawn_by_their_ids() -> None:
    every, some = render("church", range(9)), render("church", [7, 2])
    np.testing.assert_array_equal(some.images, every.images[[7, 2]])


def test_an_object_of_another_category_is_refused() -> None:
    with mistake("unknown-name", "sofa", "church"):
        render("church", range(1), without="sofa")
