"""Linear maps between grids, as matrices: upsampling, pooling over bins, and a convolution after upsampling."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.resample import bilinear_axis


def bilinear(inputs: int, outputs: int, like: Tensor) -> Float[Tensor, "outputs inputs"]:
    """Return the matrix that resizes a line bilinearly, of the dtype and on the device of `like`.

    Half-pixel centres, border clamped, as ``F.interpolate(mode="bilinear")`` has it.
    """
    axis = bilinear_axis(inputs, outputs)
    row, low = torch.arange(outputs), torch.from_numpy(axis.low.astype("int64"))
    weight = torch.from_numpy(axis.weight)
    matrix = torch.zeros(outputs, inputs, dtype=torch.float64)
    matrix[row, low] = 1 - weight
    matrix[row, (low + 1).clamp(max=inputs - 1)] += weight
    return matrix.to(like)


def precise_bins(inputs: int, bins: int, like: Tensor) -> Float[Tensor, "bins inputs"]:
    """Return the matrix that averages a line over equal bins of [0, inputs] (Precise RoI pooling; SPEC 3).

    The line is read as a continuous function: linear between its values at 0, 1, … and falling to zero outside. Entry
    (i, j) is the mean over bin i of ``max(0, 1 - abs(t - j))``.
    """
    edges = torch.linspace(0, inputs, bins + 1, dtype=torch.float64)
    t = (edges[:, None] - torch.arange(inputs, dtype=torch.float64)).clamp(-1, 1)
    integral = 0.5 + t - t * t.abs() / 2  # of the triangle, from -1 to t
    return (integral.diff(dim=0) * (bins / inputs)).to(like)


def convolve_upsampled(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "o c 3 3"], size: tuple[int, int]
) -> Float[Tensor, "b o H W"]:
    """Return ``conv2d(interpolate(x, size, mode="bilinear"), weight, padding=1)``, for about the price of h × w pixels.

    The nine taps mix the channels on the small grid, where they commute with upsampling; only then is each
    upsampled and shifted, which is a matrix for either axis.
    """
    b, _, h, w = x.shape
    o = len(weight)
    taps = x.permute(0, 2, 3, 1) @ weight.permute(1, 2, 3, 0).flatten(1)  # [b, h, w, 3 · 3 · o]
    taps = taps.view(b, h, w, 3, 3, o).permute(0, 3, 1, 4, 2, 5).reshape(b, 3 * h, 3 * w * o)
    down, across = _shifted(bilinear(h, size[0], x)), _shifted(bilinear(w, size[1], x))
    rows = (down @ taps).view(b, size[0], 3 * w, o)
    return (across @ rows).permute(0, 3, 1, 2)


def convolve_joined(conv: nn.Conv2d, x: Float[Tensor, "b c H W"], coarser: Sequence[Tensor]) -> Tensor:
    """Return the 3 × 3 convolution of `x` joined with coarser maps, upsampled bilinearly to its size."""
    first, *weights = torch.split(conv.weight, [each.shape[1] for each in (x, *coarser)], 1)
    total = F.conv2d(x, first, conv.bias, padding=1)
    for each, weight in zip(coarser, weights, strict=True):
        total = total + convolve_upsampled(each, weight, (x.shape[2], x.shape[3]))
    return total


def _shifted(matrix: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "outputs thrice"]:
    """Put the matrices side by side that read one position before, at and one behind; beyond the ends is zero."""
    padded = F.pad(matrix, (0, 0, 1, 1))
    return torch.cat([padded[:-2], matrix, padded[2:]], 1)
