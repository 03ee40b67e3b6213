"""A change of an image, put into a photograph: what is not changed stays the photograph's, to the bit."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.tensor_types import Images

NOTHING, WHOLE = 2 / 127.5, 8 / 127.5
"""Mean change around a pixel up to which nothing of it is shown, and from which all of it is: 2 and 8 of 255."""
AROUND = 3
"""Pixels a side over which that mean is taken."""


def shown_change(edited: Images, reconstruction: Images) -> Images:
    """Return edited less reconstructed, times a mask that is 0 where hardly anything changes; within [-2, 2].

    >>> shown_change(torch.full((1, 3, 4, 4), 0.51), torch.full((1, 3, 4, 4), 0.5)).abs().max()
    tensor(0.)
    """
    change = edited - reconstruction
    size = F.avg_pool2d(change.abs().amax(1, keepdim=True), AROUND, 1, AROUND // 2, count_include_pad=False)
    return change * ((size - NOTHING) / (WHOLE - NOTHING)).clamp(0, 1)


def with_change(photographs: Images, change: Images) -> Images:
    """Return photographs with a change added, within [-1, 1]."""
    return torch.where(change == 0, photographs, (photographs + change).clamp(-1, 1))


def enlarged(change: Float[Tensor, "b c h w"], height: int, width: int) -> Float[Tensor, "b c H W"]:
    """Return a change at another size: bilinear, antialiased where it is made smaller."""
    return F.interpolate(change, (height, width), mode="bilinear", antialias=True)
