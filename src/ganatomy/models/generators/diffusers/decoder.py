"""The decoder of a latent diffusion model as a generator: latents to images, whatever kind of autoencoder it is."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Features, Latents
from ganatomy.datasets import CropSpec, open_images
from ganatomy.datasets.rendered import RenderedScenes
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.nested_tensors import tensors
from ganatomy.models.wrapped import device_of, dtype_of

LARGEST = 256
"""Side of the images unless a size is asked for; decoders of large images draw small ones, too."""


class Decoder:
    """An autoencoder of diffusers, used from its latents on.

    Latents are in the units of the diffusion model, in which their variance is about 1: the decoder gets
    z · latents_std / scaling_factor + latents_mean (or shift_factor), where its config has them. FLUX.2 has these
    numbers among its weights, for each place of a patch of 2 × 2.

    Args:
        model: with the methods `encode` and `decode`.
        size: height and width of the images; else as in the config, and no more than `LARGEST`.
        images: a set of images to encode, by name; else latents are drawn from N(0, 1).

    Attributes:
        facts: that images depend on, besides the weights.

    Raises:
        BadFile: no such images.
        BadValue: the model does not draw images of that size.
    """

    def __init__(self, model: Any, size: int | None, images: str | None) -> None:
        self._model = model
        config = model.config
        self._size = size or min(side(config.get("sample_size")) or LARGEST, LARGEST)
        self._channels = channels = int(config.get("in_channels") or 3)
        self._scale, self._shift = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
        with foreign_errors(f"encoding images of size={self._size}"):
            self._shape = self.encode(torch.zeros(1, channels, self._size, self._size)).shape[1:]
        self._scale, self._shift = scale_and_shift(model, self._shape[-1])
        self._image: Callable[[int, int], Features] | None
        self._image, chosen = image_source(images, self._size, channels) if images else (None, "")
        self.facts = (self._scale.tolist(), self._shift.tolist(), chosen)

    @torch.no_grad()
    def latents(self, ids: range, seed: int) -> Latents:
        """Return N(0, 1), or the modes of encoded images, each encoded alone, so that none depends on others."""
        if self._image is None:
            return standard_normal(ids, seed, self._shape, torch.device("cpu"))
        rows = [self.encode(self._image(i, seed)) for i in ids]
        return torch.cat([torch.empty(0, *self._shape), *rows])

    def encode(self, images: Tensor) -> Tensor:
        """Return the modes of the latents of images, on the CPU."""
        images = images.mean(1, keepdim=True) if self._channels == 1 else images
        return (modes(self._model, images).cpu() - self._shift) / self._scale

    def draw(self, z: Tensor) -> Tensor:
        """Return the images of latents."""
        z = z * self._scale.to(z.device) + self._shift.to(z.device)
        images: Tensor = self._model.decode(z.to(dtype_of(self._model))).sample
        if images.shape[-1] != self._size:
            step = images.shape[-1] // z.shape[-1]
            raise BadValue(f"size={self._size}: the decoder draws {images.shape[-1]} pixels; give a multiple of {step}")
        return images


@torch.no_grad()
def modes(model: Any, images: Tensor) -> Tensor:
    """Return the modes of what an autoencoder's encoder makes of images, in its own units, float32."""
    found = model.encode(images.to(device_of(model), dtype_of(model)))
    posterior = getattr(found, "latent_dist", None)
    z: Tensor = next(tensors(found)) if posterior is None else posterior.mode()
    return z.float()


def image_source(name: str, size: int, channels: int) -> tuple[Callable[[int, int], Features], str]:
    """Return a function of id and seed to an image [1, channels, size, size] of a set, and the set's fingerprint.

    Each image is the square in its middle.

    Raises:
        BadFile: no such set, or no images in it.
    """
    images = open_images(name)
    frame = CropSpec(size, crop=0.0 if isinstance(images, RenderedScenes) else 1.0)

    def image(i: int, seed: int) -> Features:
        found = images.images(images.sample_indices(range(i, i + 1), seed), frame)
        return found.mean(1, keepdim=True) if channels == 1 else found

    return image, images.fingerprint


def side(size: Any) -> int | None:
    """Return the side of the squares that a config's ``sample_size`` means, if it has one."""
    return int(max(size)) if isinstance(size, Sequence) else size


def scale_and_shift(model: Any, width: int) -> tuple[Tensor, Tensor]:
    """Return the scale and the shift of latents, [channels or 1, h or 1, w or 1]."""
    if hasattr(model, "bn"):
        spread = (model.bn.running_var.float() + model.bn.eps).sqrt()
        many = -(-width // 2)
        tiled = [value.cpu().view(-1, 2, 2).repeat(1, many, many) for value in (spread, model.bn.running_mean.float())]
        return tiled[0][:, :width, :width], tiled[1][:, :width, :width]
    config = model.config
    scale = _per_channel(config.get("latents_std") or 1.0) / (config.get("scaling_factor") or 1.0)
    return scale, _per_channel(config.get("latents_mean") or config.get("shift_factor") or 0.0)


def _per_channel(value: float | Sequence[float]) -> Tensor:
    try:
        return torch.tensor(value, dtype=torch.float32).view(-1, 1, 1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadFile(f"the config says {str(value)[:40]!r} of the latents, and no number for each channel") from error
