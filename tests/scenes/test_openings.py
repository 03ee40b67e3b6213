"""Free openings: anywhere on a wall, in some scenes only, never one over another."""

import numpy as np

from ganatomy.scenes import VOCABULARY, render

OBJECT = {c.name: i for i, c in enumerate(VOCABULARY) if c.category == "object"}
SCENES = render("varied-church", range(400)).labels[:, 0]


def cover(name: str) -> np.ndarray:
    return np.asarray((OBJECT[name] == SCENES).mean(0))


def test_doors_windows_and_paths_may_be_absent() -> None:
    present = {name: (OBJECT[name] == SCENES).any((1, 2)).mean() for name in ("door", "window", "path")}
    assert 0.55 < present["door"] < 0.75  # 70 % have one; a tree or a bush hides some
    assert 0.65 < present["window"] < 0.85
    assert 0.65 < present["path"] < 0.85
    assert all((render("church", range(64)).labels[:, 0] == OBJECT["path"]).any((1, 2)))


def test_openings_stand_all_over_the_walls() -> None:
    walls = cover("building") + cover("tower")
    free = (SCENES[:, 50] == OBJECT["door"]).any(0)  # a row just above most thresholds
    assert free[16:48].mean() > 0.9
    columns = cover("door").sum(0)[22:42]
    assert columns.min() > 0.4 * columns.max()
    assert cover("door")[walls < 0.01].sum() < 0.02 * cover("door").sum()
