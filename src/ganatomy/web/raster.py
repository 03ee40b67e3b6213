"""A path of the brush as pixels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


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
    reach = max(radius * width, 0.5**0.5)
    path = np.array(points, dtype=float) * [width, height]
    mask = np.zeros(size, dtype=np.float32)
    for start, end in zip(path, [*path[1:], path[-1]], strict=True):
        (left, top), (right, bottom) = np.minimum(start, end) - reach, np.maximum(start, end) + reach
        near = slice(max(0, int(top)), int(bottom) + 1), slice(max(0, int(left)), int(right) + 1)
        if mask[near].all():
            continue
        y, x = (np.arange(n, dtype=np.float64)[part] + 0.5 for n, part in zip(size, near, strict=True))
        x, y, step = x[None] - start[0], y[:, None] - start[1], end - start
        length = float(step @ step)
        along = np.clip((x * step[0] + y * step[1]) / length, 0, 1) if length else np.zeros((1, 1))
        mask[near][(x - along * step[0]) ** 2 + (y - along * step[1]) ** 2 <= reach**2] = 1
    return mask


def softened(points: Sequence[tuple[float, float]], radius: float, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a mask [H, W] that is 1 near a path and falls to 0 towards the radius, in equal steps."""
    reaches = [radius * share for share in (0.7, 0.8, 0.9, 1.0)]
    mask = np.zeros(size, np.float32)
    for reach in reaches:
        mask += rasterized(points, reach, size) / len(reaches)
    return mask
