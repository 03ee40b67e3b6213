"""Any torch module that describes images: ``torch:package.module:callable?weights=FILE&bounds=0..1&size=224``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.errors import BadValue
from ganatomy.features.protocol import checked_vectors
from ganatomy.features.registry import FEATURES
from ganatomy.generators.module import numbers_in
from ganatomy.imported import call_named, guarded
from ganatomy.types import Images
from ganatomy.weights import fingerprint, load_weights
from ganatomy.wrapped import check_numbers, frozen, weights_fingerprint


@dataclass(frozen=True)
class Given:
    """As what images in [-1, 1] are given to a network.

    Attributes:
        size: height and width at which it looks at them, resized by antialiased bilinear interpolation; None for
            theirs.
        bounds: the values that mean black and white.
        mean, std: it takes ``(x - mean) / std``, x within the bounds, for red, green and blue.

    >>> Given(bounds=(0, 255))(torch.ones(1, 3, 2, 2)).unique()
    tensor([255.])
    """

    size: int | None = None
    bounds: tuple[float, ...] = (-1.0, 1.0)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.size is not None and self.size < 1:
            raise BadValue(f"size={self.size} is too small; give the pixels at which the network looks at images")
        if len(self.bounds) != 2 or not self.bounds[0] < self.bounds[1]:
            raise BadValue(f"bounds={self.bounds} are not two numbers, black and white, the lower first; give 0..1")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(each > 0 for each in self.std):
            raise BadValue(f"mean={self.mean}, std={self.std}: give three numbers each, for red, green and blue")

    def __call__(self, images: Images) -> Float[Tensor, "b 3 h w"]:
        """Return images as the network takes them."""
        if self.size is not None and images.shape[2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        low, high = self.bounds
        mean, std = (images.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        return (low + (high - low) / 2 * (images + 1) - mean) / std


class ModuleFeatures:
    """A module around which nothing is known; every output is checked.

    Args:
        module: takes images [b, 3, H, W] and returns vectors [b, d]; a torch module is frozen.
        given: as what it gets them.
        pool: average its maps [b, d, h, w] over their places.
        device: where it shall compute.
        name: what to call it in messages and fingerprints.

    Raises:
        BadFile: its weights hold NaN or Inf.
    """

    def __init__(
        self, module: Callable[..., Any], given: Given, *, pool: bool, device: torch.device, name: str
    ) -> None:
        self.fingerprint = fingerprint({}, name, given, pool)
        if isinstance(module, nn.Module):
            module = frozen(module, device, name)
            check_numbers(module, name)
            self.fingerprint = weights_fingerprint(module, name, given, pool)
        self._module, self._given, self._pool, self._name = module, given, pool, name

    @torch.no_grad()
    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Return what the module says of each image.

        Raises:
            BadModel: it raises, or gives no vector of each.
        """
        x = self._given(images)
        with guarded(self._name):
            found = self._module(x)
        if self._pool and isinstance(found, Tensor) and found.ndim == 4:
            found = found.float().mean((2, 3))
        return checked_vectors(found, images, self._name)


@FEATURES.register("torch")
def open_module(
    argument: str,
    /,
    *,
    device: torch.device,
    weights: str = "",
    prefix: str = "",
    size: int | None = None,
    bounds: str = "",
    mean: str = "",
    std: str = "",
    pool: bool = False,
    **options: str,
) -> ModuleFeatures:
    """Open ``package.module:callable``, a torch module that gives vectors; other options go to the callable.

    Args:
        argument: what to import and call; the current directory is importable.
        device: where it shall compute.
        weights: a file with its state dict.
        prefix: what the names of its tensors begin with in that file.
        size: height and width at which it looks at images; else theirs.
        bounds: the values that mean black and white, ``0..1``; else -1..1, or 0..1 where mean or std are given.
        mean, std: it takes ``(x - mean) / std``; three numbers each, ``0.485,0.456,0.406``.
        pool: average maps [b, d, h, w] over their places.
        options: for the callable.

    Raises:
        UnknownName: no such module, callable or option.
        BadFile: the weights do not fit, or hold NaN or Inf.
        BadModel: it cannot be imported or called.
        BadValue: an option cannot be read.
    """
    usual = Given(bounds=(0.0, 1.0) if mean or std else (-1.0, 1.0))
    given = Given(
        size,
        numbers_in("bounds", bounds, "..", float) if bounds else usual.bounds,
        numbers_in("mean", mean, ",", float) if mean else usual.mean,
        numbers_in("std", std, ",", float) if std else usual.std,
    )
    module = call_named(argument, options)
    if weights:
        if not isinstance(module, nn.Module):
            raise BadValue(f"{argument} returned no torch module that could load weights={weights}")
        load_weights(module, Path(weights), prefix)
    name = f"{argument}?{urlencode(options)}" if options else argument
    return ModuleFeatures(module, given, pool=pool, device=device, name=name)
