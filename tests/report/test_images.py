import numpy as np

from ganatomy.experiments.top_images import Strip
from ganatomy.report.images import OUTLINE, outlined, side_by_side


def strip(masks: np.ndarray, side: int) -> Strip:
    k = len(masks)
    images = np.full((k, side, side, 3), 200, np.uint8)
    return Strip(np.arange(k), np.ones(k, np.float32), images, masks)


def test_the_region_is_bright_inside_an_outline_and_the_rest_is_dimmed() -> None:
    masks = np.zeros((1, 8, 8), bool)
    masks[0, 2:6, 0:4] = True
    (shown,) = outlined(strip(masks, 8), 1)
    assert (shown[0, 0] == 94).all()
    assert (shown[3, 1] == 200).all()
    assert tuple(shown[2, 1]) == OUTLINE
    assert tuple(shown[3, 3]) == OUTLINE
    assert (shown[3, 0] == 200).all(), "the edge of the image is no border"
    assert (np.argwhere((shown == OUTLINE).all(-1)).max(0) == (5, 3)).all()


def test_images_grow_by_whole_pixels_and_coarse_masks_with_them() -> None:
    masks = np.zeros((2, 4, 4), bool)
    masks[1] = True
    shown = outlined(strip(masks, 8), 3)
    assert shown.shape == (2, 24, 24, 3)
    assert (shown[0] == 94).all()
    assert (shown[1] == 200).all()


def test_side_by_side_leaves_room_between() -> None:
    row = side_by_side(np.zeros((3, 4, 5, 3), np.uint8))
    assert row.shape == (4, 3 * 5 + 2 * 2, 3)
    assert (row[0, :, 0] == [0] * 5 + [255] * 2 + [0] * 5 + [255] * 2 + [0] * 5).all()
