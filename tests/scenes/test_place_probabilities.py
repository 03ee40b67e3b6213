"""With which probability an object would be drawn at a place of a scene, against scenes that are drawn anew."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ganatomy.core.vocabulary import Concept
from ganatomy.scenes import CATEGORIES, grammar, render
from ganatomy.scenes.grammar import INDEX
from ganatomy.scenes.places import (
    _BANKS,
    ALIKE,
    COVERED,
    Bank,
    _packed,
    drawing_jobs,
    exact,
    open_bank,
    place_probabilities,
)
from ganatomy.scenes.redraw import DRAWS, drawn_alone, horizon_rows, redraws
from ganatomy.scenes.seeded_random import SeededRandom

SIDE = 12
BOXES = np.array([(row, column, SIDE, SIDE) for row in range(0, 53, 13) for column in range(0, 53, 13)])


class Counted:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.pieces = 0

    def begin(self, label: str, total: int) -> None:
        self.labels.append(f"{label}: {total}")

    def advance(self, pieces: int) -> None:
        self.pieces += pieces

    def end(self) -> None:
        pass


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return open_bank("church", tmp_path_factory.mktemp("cache"), 120)


def covered(labels: np.ndarray, concept: Concept) -> np.ndarray:
    shown = (labels == INDEX[concept]).any(1)
    shares = [shown[:, t : t + h, x : x + w].mean((1, 2)) for t, x, h, w in BOXES]
    return np.stack(shares, 1) >= COVERED - 1e-6


def test_what_is_drawn_independently_is_drawn_anew_and_the_rest_is_looked_up() -> None:
    assert set(redraws("church")) >= {"tree", "bush", "cloud", "mountain", "hill"}
    assert not {"door", "window", "building"} & set(redraws("church"))
    assert exact("church", Concept("crown", "part"))
    assert exact("church", Concept("foliage", "material"))  # trees and bushes
    assert not exact("church", Concept("stone", "material"))
    assert not exact("livingroom", Concept("window", "object"))
    assert DRAWS >= 400
    assert ALIKE == 60


def test_the_horizon_is_read_from_what_is_seen() -> None:
    scenes = render("church", range(64), seed=5).labels[:, 0]
    true = SeededRandom(5, list(range(64))).uniform("horizon", 0.54, 0.62).ravel() * 64
    assert np.abs(np.array(horizon_rows(scenes)) - true).mean() < 1.2


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draw less often, and take fewer look-alikes, as the bank is small."""
    monkeypatch.setattr("ganatomy.scenes.redraw.DRAWS", 100)
    monkeypatch.setattr("ganatomy.scenes.places.ALIKE", 6)
    kept = drawn_alone, _packed
    for each in kept:
        each.cache_clear()
    yield
    for each in kept:
        each.cache_clear()


@pytest.mark.usefixtures("fewer")
def test_a_tree_may_be_before_the_sky_above_the_horizon_and_not_in_the_heights(small: Bank) -> None:
    boxes = np.array([(0, 26, 12, 12), (26, 0, 12, 12), (26, 52, 12, 12), (52, 26, 12, 12)])
    scenes = render("church", range(3), seed=9).labels
    possible = place_probabilities(small, Concept("tree", "object"), scenes, boxes)
    assert (possible[:, 0] == 0).all()  # high in the sky
    assert (possible[:, 3] == 0).all()  # the grass before the building
    assert (possible[:, 1:3] > 0.3).all()  # before the sky at either side
    crown = place_probabilities(small, Concept("crown", "part"), scenes, boxes)
    assert (crown <= possible + 1e-9).all()
    assert crown[:, 1].mean() > 0.3


@pytest.mark.usefixtures("fewer")
@pytest.mark.slow
def test_what_is_drawn_ahead_need_not_be_drawn_when_it_is_asked_for(small: Bank) -> None:
    concepts = [Concept("bush", "object"), Concept("door", "object"), Concept("cloud", "object")]
    for job in drawing_jobs("church", concepts):
        job()
    drawn = drawn_alone.cache_info().misses
    scenes = render("church", range(12), seed=9).labels
    for concept in concepts:
        place_probabilities(small, concept, scenes, BOXES)
    assert drawn_alone.cache_info().misses == drawn > 0


@pytest.mark.usefixtures("fewer")
def test_a_door_is_possible_in_walls_only(small: Bank) -> None:
    door = Concept("door", "object")
    scenes = render("church", range(8), seed=9).labels
    possible = place_probabilities(small, door, scenes, BOXES)
    assert (possible[:, BOXES[:, 0] < 26] == 0).all()  # the sky, and roofs
    found = covered(scenes, door)
    assert possible[found].mean() > 0.3


def test_a_bank_is_made_once_and_made_again_when_its_file_is_no_bank(tmp_path: Path) -> None:
    shown = Counted()
    _BANKS.clear()
    first = open_bank("livingroom", tmp_path, 24, shown)
    (file,) = tmp_path.iterdir()
    assert shown.pieces == 24
    assert "24" in shown.labels[0]
    _BANKS.clear()
    again = open_bank("livingroom", tmp_path, 24, shown)
    assert shown.pieces == 24
    assert np.array_equal(again.labels, first.labels)
    for damage in (b"", b"PK\x03\x04 no archive", file.read_bytes()[:-200]):
        file.write_bytes(damage)
        _BANKS.clear()
        assert np.array_equal(open_bank("livingroom", tmp_path, 24, shown).labels, first.labels)
    assert shown.pieces == 96


def test_a_bank_needs_no_place_to_be_kept(tmp_path: Path) -> None:
    _BANKS.clear()
    (tmp_path / "file").write_text("no directory")
    assert len(open_bank("church", tmp_path / "file", 10).labels) == 10


@pytest.mark.slow
@pytest.mark.parametrize("category", CATEGORIES)
def test_probabilities_agree_with_fresh_scenes(category: str, tmp_path: Path) -> None:
    """Places with P = 0 show none, those with P ≥ 5 % show it, and the mean is the frequency: for every object."""
    bank = open_bank(category, tmp_path, 1200)
    scenes = render(category, range(32), seed=9).labels
    zero = hits = 0
    for name in grammar(category).rules:
        concept = Concept(name, "object")
        possible, found = place_probabilities(bank, concept, scenes, BOXES), covered(scenes, concept)
        spread = (found - possible).mean(1).std() / len(scenes) ** 0.5
        assert abs(possible.mean() - found.mean()) < 4 * spread + 0.006, name
        zero, hits = zero + int((possible == 0).sum()), hits + int(found[possible == 0].sum())
        assert found[possible == 0].mean() < 0.02, name
        likely = possible >= 0.5
        assert not likely.any() or found[likely].mean() > 0.4, name
    assert hits / zero < 0.002
