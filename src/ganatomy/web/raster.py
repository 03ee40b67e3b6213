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
    path = np.array(points, dtype=float) * [width, height]
    inside = np.zeros(size, dtype=np.float32)
    for start, end in zip(path, [*path[1:], path[-1]], strict=True):
        (left, top), (right, bottom) = np.minimum(start, end) - reach, np.maximum(start, end) + reach
        near = slice(max(0, int(top)), int(bottom) + 1), slice(max(0, int(left)), int(right) + 1)
        if not inside[near].all():
            inside[near][_within(start, end, reach, near, size)] = 1
    return inside


def _within(
    start: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    reach: float,
    near: tuple[slice, slice],
    size: tuple[int, int],
) -> npt.NDArray[np.bool_]:
    """Return which pixels of a part of the image are within reach of a line, by x and y of its ends."""
    y, x = (np.arange(n, dtype=np.float64)[part] + 0.5 for n, part in zip(size, near, strict=True))
    x, y = x[None] - start[0], y[:, None] - start[1]
    step = end - start
    length = float(step @ step)
    along = np.clip((x * step[0] + y * step[1]) / length, 0, 1) if length else np.zeros((1, 1))
    found: npt.NDArray[np.bool_] = (x - along * step[0]) ** 2 + (y - along * step[1]) ** 2 <= reach**2
    return found
