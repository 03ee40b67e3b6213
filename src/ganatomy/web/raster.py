"""A path of the brush as pixels."""

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
import numpy.typing as npt
from numba import njit


def rasterized(points: Sequence[tuple[float, float]], radius: float, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a mask [H, W] of the pixels whose centres are within a radius of a path, or that it crosses.

    Args:
        points: x and y as shares of width and height.
        radius: as a share of the width.
        size: height and width in pixels.

    >>> rasterized([(0.5, 0.5)], 0.25, (4, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    height, width = size
    path = np.array(points, dtype=np.float64).reshape(-1, 2) * [width, height]
    mask = np.zeros(size, dtype=np.float32)
    _draw(path, max(radius * width, 0.5**0.5), mask)
    return mask


@njit(cache=True, nogil=True)
@no_type_check  # the compiler reads the function itself
def _draw(path, reach, mask):
    """Set the pixels to 1 whose centres are within a reach of a path: compiled, as it grows with every stroke."""
    height, width = mask.shape
    for i in range(len(path)):
        x0, y0 = path[i]
        x1, y1 = path[min(i + 1, len(path) - 1)]
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        for row in range(max(0, int(min(y0, y1) - reach)), min(height, int(max(y0, y1) + reach) + 1)):
            for column in range(max(0, int(min(x0, x1) - reach)), min(width, int(max(x0, x1) + reach) + 1)):
                x, y = column + 0.5 - x0, row + 0.5 - y0
                along = min(max((x * dx + y * dy) / length, 0.0), 1.0) if length > 0 else 0.0
                if (x - along * dx) ** 2 + (y - along * dy) ** 2 <= reach**2:
                    mask[row, column] = 1


def softened(points: Sequence[tuple[float, float]], radius: float, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a mask [H, W] that is 1 near a path and falls to 0 towards the radius, in equal steps."""
    reaches = [radius * share for share in (0.7, 0.8, 0.9, 1.0)]
    mask = np.zeros(size, np.float32)
    for reach in reaches:
        mask += rasterized(points, reach, size) / len(reaches)
    return mask
