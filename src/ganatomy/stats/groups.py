"""Means over groups of images, with their standard errors."""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor


class GroupMeans(NamedTuple):
    """Of each group: how many images it has, the mean of each value over them, and its standard error.

    Attributes:
        images: int64 [groups].
        mean: float64 [groups, values]; NaN of a group without images.
        error: float64 [groups, values]; NaN of a group of fewer than two.
    """

    images: Int64[Tensor, " groups"]
    mean: Float64[Tensor, "groups values"]
    error: Float64[Tensor, "groups values"]


def means_by(values: Float64[Tensor, "images values"], group: Int64[Tensor, " images"], groups: int) -> GroupMeans:
    """Return the means over the images of each group; an image of group -1 is in none.

    >>> means = means_by(torch.tensor([[0.5], [0.25], [0.0]]).double(), torch.tensor([0, 1, 0]), 2)
    >>> means.images.tolist(), means.mean.tolist(), means.error.tolist()
    ([2, 1], [[0.25], [0.25]], [[0.25], [nan]])
    """
    values, group = values[group >= 0], group[group >= 0]
    images = group.bincount(minlength=groups)
    n = images.double()[:, None]
    empty = torch.zeros(groups, values.shape[1], dtype=torch.float64)
    mean = empty.index_add(0, group, values) / n
    squares = empty.index_add(0, group, (values - mean[group]).square())
    return GroupMeans(images, mean, torch.where(n > 1, (squares / (n - 1) / n).sqrt(), torch.nan))
