"""Named draws: reproducible, independent, and of the right distribution."""

import numpy as np
import pytest

from ganatomy.scenes.seeded_random import SeededRandom

MANY = SeededRandom(3, range(20_000))


def test_uniform_fills_its_range() -> None:
    values = MANY.uniform("x", 2, 4)
    assert values.shape == (20_000, 1, 1)
    assert values.dtype == np.float32
    assert (values >= 2).all()
    assert (values < 4).all()
    assert values.mean() == pytest.approx(3, abs=0.02)
    assert values.std() == pytest.approx(2 / 12**0.5, abs=0.02)


@pytest.mark.parametrize(
    "other", [SeededRandom(4, range(20_000)).uniform("x"), MANY.uniform("y"), np.roll(MANY.uniform("x"), 1)]
)
def test_seeds_names_and_scenes_are_unrelated(other: np.ndarray) -> None:
    assert abs(np.corrcoef(MANY.uniform("x").ravel(), other.ravel())[0, 1]) < 0.03


def test_chance_and_choice_follow_their_weights() -> None:
    assert MANY.chance("c", 0.3).mean() == pytest.approx(0.3, abs=0.02)
    counts = np.bincount(MANY.choice("k", (1, 2, 5)), minlength=3)
    assert counts / 20_000 == pytest.approx([0.125, 0.25, 0.625], abs=0.02)


def test_lattice_values_are_unrelated() -> None:
    values = MANY.lattice("l", 2).reshape(-1, 4)
    assert abs(np.corrcoef(values.T) - np.eye(4)).max() < 0.03
    assert abs(values.mean()) < 0.02
