"""How far the textures of images are from real ones, scale by scale: the sliced Wasserstein distance.

Karras et al. 2018 (Progressive GAN), section 5; Figure 7 of the paper. A Laplacian pyramid splits each image into
scales, from fine to coarse; at each, small patches of random places are compared as distributions.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Images
from ganatomy.stats.base import Accumulator, Merge, concat, require_equal

SIDE = 7
"""Pixels of a patch."""
COARSEST = 16
"""The shorter side of the last level is at least this, and less than twice this where it can be halved."""
WORKSPACE = 1 << 26
"""Bytes of patches along some directions that are sorted together."""


def pyramid_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the height and width of each level, halved while both are even and no less than 16 is left.

    >>> pyramid_sizes((64, 64)), pyramid_sizes((100, 60))
    ([(64, 64), (32, 32), (16, 16)], [(100, 60), (50, 30)])
    """
    height, width = size
    levels = [(height, width)]
    while height % 2 == width % 2 == 0 and min(height, width) >= 2 * COARSEST:
        height, width = height // 2, width // 2
        levels.append((height, width))
    return levels


def laplacian_pyramid(images: Images) -> list[Float[Tensor, "b 3 _ _"]]:
    """Split images into scales: each level is what the next coarser one cannot show; the last is what is left."""
    levels = [images]
    for _ in pyramid_sizes((images.shape[2], images.shape[3]))[1:]:
        small = _blurred(levels[-1])[:, :, ::2, ::2]
        spread = torch.zeros_like(levels[-1])
        spread[:, :, ::2, ::2] = small
        levels[-1] = levels[-1] - 4 * _blurred(spread)
        levels.append(small)
    return levels


def _blurred(images: Images) -> Images:
    """Convolve with the outer product of 1 4 6 4 1, mirrored at the border."""
    row = torch.tensor([1, 4, 6, 4, 1], dtype=images.dtype, device=images.device) / 16
    kernel = torch.outer(row, row).expand(3, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)


class Patches(Accumulator):
    """Patches of random places of every image, at every level of its pyramid.

    The places of an image depend on the seed and its id alone. All patches are kept: float32 [images, level, patch,
    colour, 49], 75 kB for each level of an image.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"size": require_equal, "seed": require_equal, "values": concat}

    def __init__(
        self, size: tuple[int, int], seed: int = 0, patches: int = 128, device: torch.device | str = "cpu"
    ) -> None:
        if min(size) < SIDE or patches < 1:
            raise BadValue(
                f"images of {size[0]} × {size[1]} pixels have no {patches} patches of {SIDE} × {SIDE}; "
                f"take at least {SIDE} × {SIDE} pixels and one patch"
            )
        if seed < 0:
            raise BadValue(f"seed={seed} is below 0")
        self.size = torch.tensor(size, device=device)
        self.seed = torch.tensor([seed], device=device)
        self.values = torch.zeros(0, len(pyramid_sizes(size)), patches, 3, SIDE**2, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (images [b, 3, H, W], ids [b])."""
        images, ids = batch
        size = images.shape[-2], images.shape[-1]
        if list(size) != self.size.tolist():
            height, width = self.size.tolist()
            raise BadValue(
                f"images of {size[0]} × {size[1]} pixels are given, {height} × {width} were begun with; "
                "they must all be of one size"
            )
        if not math.isfinite(float(images.sum())):
            raise BadValue("an image holds NaN or Inf; its patches cannot be compared")
        places = torch.from_numpy(np.stack([self._places(int(i)) for i in ids])).to(images.device)
        levels = [
            _cut(level, places[:, i, :, 0], places[:, i, :, 1])
            for i, level in enumerate(laplacian_pyramid(images.float()))
        ]
        self.values = torch.cat([self.values, torch.stack(levels, 1).to(self.values.device)])

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each level."""
        height, width = self.size.tolist()
        return pyramid_sizes((height, width))

    def _places(self, i: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
        """Return top and left of an image's patches at each level, [level, patch, 2]."""
        random = np.random.default_rng([int(self.seed), i])
        room = np.array(self.sizes)[:, None] - SIDE + 1
        return random.integers(room, size=(len(room), self.values.shape[2], 2))


def _cut(level: Images, top: Tensor, left: Tensor) -> Float[Tensor, "b patch 3 n"]:
    """Return the patches at these places, [b, patch] each."""
    width = level.shape[3]
    within = torch.arange(SIDE, device=level.device)
    pixels = (top * width + left)[:, :, None] + (within[:, None] * width + within).flatten()
    flat = level.flatten(2)[:, None].expand(-1, top.shape[1], -1, -1)
    return flat.gather(3, pixels[:, :, None].expand(-1, -1, 3, -1))


@torch.no_grad()
def sliced_wasserstein(
    real: Patches, made: Patches, projections: int = 512, seed: int = 0
) -> Float64[Tensor, " level"]:
    """Return the mean difference of sorted projections of the patches of two sets of as many images, × 10³.

    There is one distance for each level, finest first. Each set's patches are first brought to mean 0 and deviation 1,
    colour channel by colour channel.
    """
    if real.sizes != made.sizes or real.values.shape != made.values.shape or not len(real.values):
        (a, b), (c, d) = real.sizes[0], made.sizes[0]
        raise BadValue(
            f"{len(real.values)} images of {a} × {b} pixels, {real.values.shape[2]} patches each, cannot be compared "
            f"with {len(made.values)} of {c} × {d}, {made.values.shape[2]} each; take as many of the same size"
        )
    source = torch.Generator().manual_seed(seed)
    directions = torch.randn(3 * SIDE**2, projections, generator=source)
    directions = (directions / directions.norm(dim=0)).to(real.values.device)
    levels = []
    for i in range(len(real.sizes)):
        one, two = (_normalised(each.values[:, i].to(directions.device)) for each in (real, made))
        levels.append(_distance(one, two, directions))
    return torch.tensor(levels, dtype=torch.float64) * 1000


def _normalised(patches: Float[Tensor, "image patch 3 n"]) -> Float[Tensor, "m pixel"]:
    """Bring each colour channel to mean 0 and deviation 1; one that never changes becomes 0."""
    n = patches.numel() / 3
    mean = patches.sum((0, 1, 3), dtype=torch.float64) / n
    x = patches - mean.float()[:, None]
    deviation = (x.square().sum((0, 1, 3), dtype=torch.float64) / n).sqrt().float()
    return x.div_(torch.where(deviation > 0, deviation, 1)[:, None]).flatten(0, 1).flatten(1)


def _distance(
    real: Float[Tensor, "m pixel"], made: Float[Tensor, "m pixel"], directions: Float[Tensor, "pixel k"]
) -> float:
    """Return the mean over directions of the Wasserstein-1 distance along each."""
    together = max(1, WORKSPACE // (8 * len(real)))
    total = 0.0
    for part in torch.split(directions, together, 1):
        one, two = (_sorted(part.T @ each.T) for each in (real, made))
        total += float((one - two).abs().sum(dtype=torch.float64))
    return total / (len(real) * directions.shape[1])


def _sorted(rows: Float[Tensor, "k m"]) -> Float[Tensor, "k m"]:
    """Sort each row; on a processor NumPy does it ten times as fast as torch, to the same bits."""
    if rows.device.type != "cpu":
        return rows.sort(1).values
    return torch.from_numpy(np.sort(rows.numpy(), axis=1))
