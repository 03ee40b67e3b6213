import numpy as np
import pytest

from ganatomy.report.atlas import Fit, fit

IDS = np.arange(100 * 10).reshape(100, 10)
"""A hundred units, and no image shown by two."""
AN_IMAGE = {128: 40.0, 64: 10.0}


@pytest.mark.parametrize(
    ("room", "found"),
    [
        (42_000, Fit(100, 10, 128)),  # 1000 x (40 + 2)
        (41_999, Fit(100, 9, 128)),
        (29_400, Fit(100, 7, 128)),  # 700 x (40 + 2), what a card shows
        (29_399, Fit(100, 10, 64)),
        (10_800, Fit(100, 9, 64)),
        (3_600, Fit(100, 3, 64)),
        (3_599, Fit(99, 3, 64)),
        (36, Fit(1, 3, 64)),
        (35, Fit(0, 3, 64)),
        (-1, Fit(0, 3, 64)),
    ],
)
def test_images_give_way_in_order(room: float, found: Fit) -> None:
    assert fit(IDS, AN_IMAGE.__getitem__, 2.0, room) == found


def test_an_image_that_many_units_show_is_counted_once() -> None:
    shared = np.tile(np.arange(10), (100, 1))
    assert fit(shared, AN_IMAGE.__getitem__, 2.0, 2400) == Fit(100, 10, 128)  # 10 x 40 + 1000 x 2


def test_units_of_few_images_are_no_trouble() -> None:
    assert fit(IDS[:, :2], AN_IMAGE.__getitem__, 2.0, 2400) == Fit(100, 2, 64)
    assert fit(IDS[:, :2], AN_IMAGE.__getitem__, 2.0, 2399) == Fit(99, 2, 64)
