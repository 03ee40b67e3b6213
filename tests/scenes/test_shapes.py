"""Each shape's distance against the area and the distances that geometry gives."""

import numpy as np
import pytest

from ganatomy.scenes import shapes
from ganatomy.scenes.arrays import Plane

CENTRES = ((np.arange(400) + 0.5) / 400).astype(np.float32)
X, Y = CENTRES[None, None, :], CENTRES[None, :, None]


def number(value: float) -> Plane:
    return np.full((1, 1, 1), value, np.float32)


TRIANGLE = ((number(0.2), number(0.8)), (number(0.5), number(0.2)), (number(0.8), number(0.8)))
SHAPES = {
    "box": (shapes.box(X, Y, 0.5, 0.3, 0.2, 0.7), 0.4 * 0.4),
    "rounded": (shapes.rounded(X, Y, 0.5, 0.3, 0.2, 0.7, 0.1), 0.16 - (4 - np.pi) * 0.01),
    "ellipse": (shapes.ellipse(X, Y, 0.5, 0.5, 0.3, 0.2), np.pi * 0.06),
    "arch": (shapes.arch(X, Y, 0.5, 0.2, 0.1, 0.6), 0.2 * 0.3 + np.pi * 0.005),
    "convex": (shapes.convex(X, Y, *TRIANGLE), 0.18),
    "gable": (shapes.gable(X, Y, number(0.5), number(0.2), number(0.3), number(0.8)), 0.18),
    "lens": (shapes.lens(X - 0.5, Y - 0.9, 0.2, number(0.4)), np.pi * 0.04),
}


@pytest.mark.parametrize("name", SHAPES)
def test_area(name: str) -> None:
    distance, area = SHAPES[name]
    assert (np.broadcast_to(distance, (1, 400, 400)) < 0).mean() == pytest.approx(area, rel=0.01)


@pytest.mark.parametrize("name", SHAPES)
def test_a_pixel_away_from_the_edge_is_a_pixel_of_distance(name: str) -> None:
    distance = np.broadcast_to(SHAPES[name][0], (1, 400, 400))[0]
    slope = np.hypot(*np.gradient(distance, 1 / 400))[np.abs(distance) < 0.004]
    assert np.median(slope) == pytest.approx(1, abs=0.3 if name == "ellipse" else 0.02)


def test_tilted_turns_about_its_point() -> None:
    a, b = shapes.tilted(X, Y, 0.5, 0.5, number(np.pi / 2))
    assert a[0, 300, 200] == pytest.approx(CENTRES[300] - 0.5, abs=1e-6)
    assert b[0, 300, 200] == pytest.approx(0.5 - CENTRES[200], abs=1e-6)
