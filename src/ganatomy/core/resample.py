"""Line up feature grids, label maps, images and painted strokes."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Integer
from torch import Tensor

from ganatomy.core.errors import UnknownName
from ganatomy.core.tensor_types import Features, Labels, Where

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


class Grid(NamedTuple):
    """The points of an image at which activations and labels are compared.

    Attributes:
        height, width: how many there are.
        image: height and width of label maps of which some pixels are sampled: the points are the centres of these
            pixels. None for evenly spaced points, half a step from the border.
    """

    height: int
    width: int
    image: tuple[int, int] | None = None

    def axes(self, shape: Sequence[int]) -> tuple["Axis", "Axis"]:
        """Return how a feature map of a shape (height, width) is read at the points."""
        rows, columns = self.image or (None, None)
        return bilinear_axis(shape[0], self.height, rows), bilinear_axis(shape[1], self.width, columns)


def bilinear_axis(source: int, size: int, image: int | None = None) -> Axis:
    """Return the bilinear resampling of one axis: half-pixel centres, border clamped (SPEC 2, ``align_corners=False``).

    With `image`, the output positions are the centres of the pixels that `labels_at` samples of that many, so that
    features and sampled labels belong to the same points.

    >>> bilinear_axis(2, 4).weight.tolist()
    [0.0, 0.25, 0.75, 0.0]
    >>> bilinear_axis(8, 4, 8)  # labels 1, 3, 5, 7
    Axis(low=array([1, 3, 5, 7], dtype=uint32), weight=array([0., 0., 0., 0.]))
    """
    centre = (np.arange(size) + 0.5) / size if image is None else (_sampled(image, size) + 0.5) / image
    position = np.clip(centre * source - 0.5, 0, source - 1)
    low = np.floor(position)
    return Axis(low.astype(np.uint32), position - low)


def upsample(r: Features, grid: Grid) -> Float64[Tensor, "b u H W"]:
    """Resample features bilinearly to a grid, in float64: columns first, then rows, as the compiled loops do.

    Every operation is rounded alike on every machine and device, and what is constant stays so.
    """
    x = r.double()
    axes = grid.axes(r.shape[2:])
    for dim in (3, 2):
        axis = axes[dim - 2]
        low = torch.from_numpy(axis.low.astype(np.int64)).to(r.device)
        weight = torch.from_numpy(axis.weight).to(r.device).view(-1, *[1] * (3 - dim))
        left, right = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=x.shape[dim] - 1))
        x = left + weight * (right - left)
    return x


def labels_at(labels: Labels, size: tuple[int, int]) -> Integer[Tensor, "b plane h w"]:
    """Return the labels at another resolution: those of evenly spaced pixels."""
    if labels.shape[-2:] == torch.Size(size):
        return labels
    rows, columns = (
        torch.from_numpy(_sampled(source, target)).to(labels.device)
        for source, target in zip(labels.shape[-2:], size, strict=True)
    )
    return labels[..., rows[:, None], columns]


def pooled(stroke: Float[Tensor, "p H W"], grid: tuple[int, int], how: str) -> Where:
    """Pool a mask that was painted on an image to a layer's grid (height, width) (SPEC 4).

    >>> pooled(torch.eye(4)[None], (2, 2), "max").tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    >>> pooled(torch.eye(4)[None], (2, 2), "mean").tolist()
    [[[0.5, 0.0], [0.0, 0.5]]]

    Args:
        stroke: how far each pixel is painted, in [0, 1].
        grid: of the layer.
        how: ``max`` for all places that the mask touches, ``mean`` for the share of each that it covers.
    """
    if how not in POOLINGS:
        raise UnknownName("pooling", how, POOLINGS)
    return POOLINGS[how](stroke, grid)


def _sampled(source: int, size: int) -> npt.NDArray[np.int64]:
    """Return which of `source` pixels stand for `size` evenly spaced points: the one under each, or the next."""
    return np.minimum(np.floor((np.arange(size) + 0.5) * source / size).astype(np.int64), source - 1)
