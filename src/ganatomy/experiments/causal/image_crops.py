"""Crops of an image: parts of one size that overlap by half; and the one in which a unit is greatest."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.core.tensor_types import Features, Images


class Crop(NamedTuple):
    """A part of an image: where it begins, and its size, as shares of the image's height and width."""

    top: float
    left: float
    side: float

    def slices(self, height: int, width: int) -> tuple[slice, slice]:
        """Return its rows and columns of a map; as many of every crop of that side, one at least."""
        rows, columns = (max(1, round(self.side * size)) for size in (height, width))
        top = min(round(self.top * height), height - rows)
        left = min(round(self.left * width), width - columns)
        return slice(top, top + rows), slice(left, left + columns)


def crops(side: float) -> list[Crop]:
    """Return crops whose sides are that share of the image's, the most central first.

    >>> len(crops(0.5)), crops(0.5)[0], crops(1.0)
    (9, Crop(top=0.25, left=0.25, side=0.5), [Crop(top=0.0, left=0.0, side=1.0)])
    """
    steps = math.ceil(2 * (1 - side) / side)
    starts = [i * (1 - side) / steps for i in range(steps + 1)] if steps else [0.0]
    middle = (1 - side) / 2
    places = sorted(itertools.product(starts, repeat=2), key=lambda at: math.dist(at, (middle, middle)))
    return [Crop(top, left, side) for top, left in places]


def crop_means(r: Features, grid: Sequence[Crop]) -> Float[Tensor, "b u n"]:
    """Return the mean of each unit in each crop."""
    height, width = r.shape[2:]
    return torch.stack([r[:, :, rows, columns].mean((2, 3)) for rows, columns in _slices(grid, height, width)], 2)


def cropped(images: Images, grid: Sequence[Crop], which: Int64[Tensor, " b"]) -> Float[Tensor, "b 3 y x"]:
    """Return the part of each image in its crop."""
    found = _slices(grid, images.shape[2], images.shape[3])
    return torch.stack([image[:, *found[place]] for image, place in zip(images, which.tolist(), strict=True)])


def _slices(grid: Sequence[Crop], height: int, width: int) -> list[tuple[slice, slice]]:
    return [crop.slices(height, width) for crop in grid]
