"""What may have happened to an image before a segmenter sees it: bent, recoloured, blurred, compressed, half-drawn.

Each distortion takes images [b, 3, H, W] in [-1, 1] and a random generator, and returns images of the same shape.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def uniform(source: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=source)


def moved(images: Tensor, labels: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror and wobble images and labels alike, as a generator bends what it draws; zoom into or out of a half."""
    b, _, height, width = images.shape
    zoom = torch.where(torch.rand(b, generator=source) < 0.5, 2 ** uniform(source, -1, 0.5, b), 1.0)
    mirror = torch.where(torch.rand(b, generator=source) < 0.5, -1.0, 1.0)
    theta = torch.zeros(b, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = zoom * mirror, zoom
    theta[:, :, 2] = uniform(source, -1, 1, b, 2) * (1 - zoom).abs()[:, None]
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    wobble = torch.randn(b, 2, 6, 6, generator=source) * uniform(source, 0, 0.05, b)[:, None, None, None]
    grid = grid + F.interpolate(wobble, (height, width), mode="bicubic").permute(0, 2, 3, 1)
    warped = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    found = F.grid_sample(labels.float(), grid, mode="nearest", padding_mode="reflection", align_corners=False)
    return warped, found.long()


def recoloured(images: Tensor, source: torch.Generator) -> Tensor:
    """Change light, contrast and hue a little: a random matrix near the identity, and a gamma."""
    b = len(images)
    mix = torch.eye(3) + 0.08 * torch.randn(b, 3, 3, generator=source)
    shift = 0.1 * torch.randn(b, 3, 1, 1, generator=source)
    mixed = torch.einsum("bij,bjhw->bihw", mix, images) * uniform(source, 0.7, 1.2, b, 1, 1, 1) + shift
    gamma = 2 ** uniform(source, -0.5, 0.5, b, 1, 1, 1)
    return ((mixed.clamp(-1, 1) + 1) / 2).pow(gamma) * 2 - 1


def blurred(images: Tensor, source: torch.Generator) -> Tensor:
    sigma = float(uniform(source, 0.3, 1.3))
    at = torch.arange(-3, 4)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    wide = F.conv2d(F.pad(images, (3, 3, 0, 0), mode="replicate"), kernel, groups=3)
    return F.conv2d(F.pad(wide, (0, 0, 3, 3), mode="replicate"), kernel.mT, groups=3)


def resampled(images: Tensor, source: torch.Generator) -> Tensor:
    """Go through a coarser grid, as what a generator draws at a lower resolution."""
    size = [max(4, round(side * float(uniform(source, 0.4, 0.9)))) for side in images.shape[-2:]]
    small = F.interpolate(images, size, mode="bilinear", antialias=True)
    mode = "nearest-exact" if torch.rand((), generator=source) < 0.3 else "bilinear"
    return F.interpolate(small, images.shape[-2:], mode=mode)


def noised(images: Tensor, source: torch.Generator) -> Tensor:
    b = len(images)
    white = torch.randn(images.shape, generator=source) * uniform(source, 0, 0.15, b, 1, 1, 1)
    smooth = torch.randn(b, 3, 8, 8, generator=source) * uniform(source, 0, 0.2, b, 1, 1, 1)
    return images + white + F.interpolate(smooth, images.shape[-2:], mode="bilinear")


def checkered(images: Tensor, source: torch.Generator) -> Tensor:
    """Add the two-pixel pattern that upsampling layers leave, strong here and weak there."""
    height, width = images.shape[-2:]
    sign = 1 - 2.0 * ((torch.arange(height)[:, None] + torch.arange(width)) % 2)
    where = torch.randn(len(images), 3, 5, 5, generator=source) * 0.08
    return images + sign * F.interpolate(where, (height, width), mode="bilinear")


def blended(images: Tensor, source: torch.Generator) -> Tensor:
    """Let patches of another image shine through, as a generator mixes two scenes."""
    where = torch.rand(len(images), 1, 4, 4, generator=source)
    amount = F.interpolate(where, images.shape[-2:], mode="bicubic").clamp(0, 1) ** 3 * 0.6
    return images + amount * (images.roll(1, 0) - images)


def compressed(images: Tensor, source: torch.Generator) -> Tensor:
    """Quantise 8×8 cosine coefficients, coarser at higher frequencies, as JPEG does."""
    b, c, height, width = images.shape
    k = torch.arange(8)
    cosine = torch.cos(math.pi * (2 * k + 1) * k[:, None] / 16) * math.sqrt(0.25)
    cosine[0] *= math.sqrt(0.5)
    step = uniform(source, 0.01, 0.12) * (1 + 0.5 * (k[:, None] + k))
    blocks = images.reshape(b, c, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = ((cosine @ blocks @ cosine.T) / step).round() * step
    return (cosine.T @ coefficients @ cosine).transpose(3, 4).reshape(images.shape)


DISTORTIONS = (recoloured, blended, blurred, resampled, checkered, noised, compressed)


def distorted(images: Tensor, source: torch.Generator, share: float = 0.35) -> Tensor:
    """Apply each distortion with a chance of `share`, drawn anew for every eight images."""

    def some(part: Tensor) -> Tensor:
        for distortion in DISTORTIONS:
            if torch.rand((), generator=source) < share:
                part = distortion(part, source)
        return part.clamp(-1, 1)

    parts: Sequence[Tensor] = torch.split(images, 8)
    return torch.cat([some(part) for part in parts])
