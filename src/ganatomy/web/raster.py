"""A path of the brush as pixels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def rasterised(points: Sequence[tuple[float, float]], radius: float, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return the pixels, 1 or 0 [H, W], whose centres are within a radius of a path, at least those that it crosses.

    Args:
        points: x and y as shares of width and height.
        radius: as a share of the width.
        size: height and width in pixels.

    >>> rasterised([(0.5, 0.5)], 0.25, (4, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    height, width = size
    reach = max(radius * width, 0.5**0.5)
    y, x = np.mgrid[:height, :width] + 0.5
    path = np.array(points, dtype=float) * [width, height]
    inside = np.zeros(size, dtype=bool)
    for start, end in zip(path, [*path[1:], path[-1]], strict=True):
        step = end - start
        length = float(step @ step)
        along = ((x - start[0]) * step[0] + (y - start[1]) * step[1]) / length if length else np.zeros(size)
        along = np.clip(along, 0, 1)
        inside |= np.hypot(x - start[0] - along * step[0], y - start[1] - along * step[1]) <= reach
    return inside.astype(np.float32)
