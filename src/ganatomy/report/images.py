"""Top images as arrays: where a unit is on they stay bright and have an outline, the rest is dimmed (Figure 3)."""

from typing import TYPE_CHECKING

import numpy as np

from ganatomy.report.binary_packing import Array

if TYPE_CHECKING:
    from ganatomy.experiments.top_images import Strip

OUTLINE = (255, 225, 77)
_DIMMED = 0.47
_GAP = 2


def outlined(strip: "Strip", zoom: int) -> Array:
    """Return the images of a strip, `zoom` times as large, as uint8 [k, zoom·H, zoom·W, 3]."""
    images = strip.images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    on = _enlarged(strip.masks, images.shape[1:3])
    shown = np.where(on[..., None], images, images * _DIMMED)
    shown[_border(on)] = OUTLINE
    return shown.astype(np.uint8)


def side_by_side(images: Array, paper: int = 255) -> Array:
    """Return images uint8 [k, h, w, 3] in one row with a little room between them."""
    k, height, width, _ = images.shape
    row = np.full((k, height, width + _GAP, 3), paper, np.uint8)
    row[:, :, :width] = images
    return row.transpose(1, 0, 2, 3).reshape(height, k * (width + _GAP), 3)[:, :-_GAP]


def _enlarged(masks: Array, size: tuple[int, int]) -> Array:
    """Return masks at another size, each pixel the nearest of theirs."""
    rows, columns = (np.arange(n) * masks.shape[axis] // n for axis, n in enumerate(size, start=1))
    return masks[:, rows][:, :, columns]


def _border(on: Array) -> Array:
    """Return the pixels of the regions that touch what is outside; the edge of the image is no border."""
    inside = on.copy()
    for axis in (1, 2):
        for step in (1, -1):
            neighbour = np.roll(on, step, axis)
            edge = [slice(None)] * 3
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            neighbour[tuple(edge)] = True
            inside &= neighbour
    return on & ~inside
