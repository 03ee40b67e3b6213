"""A path of the brush covers what a person would say it does."""

import numpy as np
import pytest

from ganatomy.web.raster import rasterized


def test_a_point_is_a_disc() -> None:
    mask = rasterized([(0.5, 0.5)], 0.25, (64, 64))
    y, x = np.mgrid[:64, :64] + 0.5
    assert np.array_equal(mask, np.hypot(x - 32, y - 32) <= 16)


def test_a_line_is_thick_along_its_length() -> None:
    mask = rasterized([(0.25, 0.5), (0.75, 0.5)], 0.1, (40, 80))
    assert mask[20, 20:60].all()
    assert mask[20 - 7 : 20 + 7, 30].all()
    assert not mask[20 - 10, 30]
    assert not mask[20, 5]


@pytest.mark.parametrize("point", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.5, 0.499)])
def test_even_a_needle_touches_a_pixel(point: tuple[float, float]) -> None:
    assert rasterized([point], 0.0, (8, 8)).sum() >= 1


def test_a_bend_is_painted_on_both_sides() -> None:
    mask = rasterized([(0.1, 0.1), (0.9, 0.1), (0.9, 0.9)], 0.02, (50, 50))
    assert mask[5, 5:45].all()
    assert mask[5:45, 45].all() or mask[5:45, 44].all()
    assert not mask[40, 5]
