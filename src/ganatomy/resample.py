"""Line up feature grids, label maps, pictures and painted strokes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Integer
from torch import Tensor

from ganatomy.errors import UnknownName
from ganatomy.types import Features, Labels, Where

POOLINGS: Mapping[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "max": F.adaptive_max_pool2d,
    "mean": F.adaptive_avg_pool2d,
}


class Axis(NamedTuple):
    """How `size` output positions read `source` input positions along one axis.

    Output i is ``(1 - weight[i]) * x[low[i]] + weight[i] * x[low[i] + 1]``, the last index clamped to the border.
    """

    low: npt.NDArray[np.uint32]
    weight: npt.NDArray[np.float64]


def bilinear_axis(source: int, size: int) -> Axis:
    """Return the bilinear resampling of one axis: half-pixel centres, border clamped (SPEC 2, ``align_corners=False``).

    >>> bilinear_axis(2, 4).weight.tolist()
    [0.0, 0.25, 0.75, 0.0]
    """
    position = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
    low = np.floor(position)
    return Axis(low.astype(np.uint32), position - low)


def upsample(r: Features, size: tuple[int, int]) -> Float64[Tensor, "b u H W"]:
    """Resample features bilinearly to (height, width), in float64: columns first, then rows, as the compiled loops do.

    Every operation is rounded alike everywhere, so thresholds cut in the same place on every machine and device, and
    what is constant stays so.
    """
    x = r.double()
    for dim in (3, 2):
        axis = bilinear_axis(x.shape[dim], size[dim - 2])
        low = torch.from_numpy(axis.low.astype(np.int64)).to(r.device)
        weight = torch.from_numpy(axis.weight).to(r.device).view(-1, *[1] * (3 - dim))
        left, right = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=x.shape[dim] - 1))
        x = left + weight * (right - left)
    return x


def labels_at(labels: Labels, size: tuple[int, int]) -> Integer[Tensor, "b plane h w"]:
    """Return the labels at another resolution: the label under each pixel's centre."""
    if labels.shape[-2:] == torch.Size(size):
        return labels
    rows = _centres(labels.shape[-2], size[0], labels.device)
    columns = _centres(labels.shape[-1], size[1], labels.device)
    return labels[..., rows[:, None], columns]


def pooled(stroke: Float[Tensor, "p H W"], grid: tuple[int, int], how: str) -> Where:
    """Bring a stroke that was painted on a picture to a layer's grid (height, width) (SPEC 4).

    A place takes the pixels that overlap its area, wholly or in part; where the grid is finer, places share them.

    >>> pooled(torch.eye(4)[None], (2, 2), "max").tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    >>> pooled(torch.eye(4)[None], (2, 2), "mean").tolist()
    [[[0.5, 0.0], [0.0, 0.5]]]

    Args:
        stroke: how far each pixel is painted, in [0, 1].
        grid: of the layer.
        how: ``max`` for all places that the stroke touches, ``mean`` for as much of each as it covers.

    Raises:
        UnknownName: another way of pooling.
    """
    if how not in POOLINGS:
        raise UnknownName("pooling", how, POOLINGS)
    return POOLINGS[how](stroke, grid)


def _centres(source: int, size: int, device: torch.device) -> Tensor:
    return ((torch.arange(size, device=device, dtype=torch.float64) + 0.5) * source / size).long().clamp(max=source - 1)
