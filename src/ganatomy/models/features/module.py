"""Any torch module that describes images: ``torch:package.module:callable?weights=FILE&bounds=0..1&size=224``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Images
from ganatomy.models.features.protocol import checked_captions, checked_texts, checked_vectors
from ganatomy.models.features.registry import FEATURES
from ganatomy.models.generators.module import numbers_in
from ganatomy.models.segmenters.module import named_module
from ganatomy.models.wrapped import check_numbers, frozen, weights_fingerprint


@dataclass(frozen=True)
class Preprocess:
    """From images in [-1, 1] to a network's input.

    Attributes:
        size: height and width after antialiased bilinear resizing; None for the images' own.
        bounds: the values of black and white.
        mean, std: the input is ``(x - mean) / std``, x within the bounds, for red, green and blue.

    >>> Preprocess(bounds=(0, 255))(torch.ones(1, 3, 2, 2)).unique()
    tensor([255.])
    """

    size: int | None = None
    bounds: tuple[float, ...] = (-1.0, 1.0)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        """Check the values."""
        if self.size is not None and self.size < 1:
            raise BadValue(f"size={self.size} is too small; give the pixels at which the network looks at images")
        if len(self.bounds) != 2 or not self.bounds[0] < self.bounds[1]:
            raise BadValue(f"bounds={self.bounds} are not two numbers, black and white, the lower first; give 0..1")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(each > 0 for each in self.std):
            raise BadValue(f"mean={self.mean}, std={self.std}: give three numbers each, for red, green and blue")

    def __call__(self, images: Images) -> Float[Tensor, "b 3 h w"]:
        """Return the network's input."""
        if self.size is not None and images.shape[2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        low, high = self.bounds
        mean, std = (images.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        return (low + (high - low) / 2 * (images + 1) - mean) / std


class ModuleFeatures:
    """Any module as a feature network; every output is checked.

    Args:
        module: takes images [b, 3, H, W] and returns vectors [b, d]; a torch module is frozen. With a method ``words``
            it describes texts, too.
        preprocess: of its input.
        pool: average its maps [b, d, h, w] over their positions.
        device: where it computes.
        name: for messages and fingerprints.
    """

    def __init__(
        self, module: Callable[..., Any], preprocess: Preprocess, *, pool: bool, device: torch.device, name: str
    ) -> None:
        self.fingerprint = fingerprint({}, name, preprocess, pool)
        if isinstance(module, nn.Module):
            module = frozen(module, device, name)
            check_numbers(module, name)
            self.fingerprint = weights_fingerprint(module, name, preprocess, pool)
        self._module, self._preprocess, self._pool, self._name = module, preprocess, pool, name

    @torch.no_grad()
    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Return the module's vector of each image."""
        x = self._preprocess(images)
        with foreign_errors(self._name):
            found = self._module(x)
        if self._pool and isinstance(found, Tensor) and found.ndim == 4:
            found = found.float().mean((2, 3))
        return checked_vectors(found, images, self._name)

    @torch.no_grad()
    def words(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Return the vector of each text, by the module's own method ``words``, which takes a list of texts.

        Raises:
            BadModel: it has none.
        """
        describe = getattr(self._module, "words", None)
        if not callable(describe):
            raise BadModel(f"{self._name} describes no words: it has no method words(texts)")
        with foreign_errors(self._name):
            found = describe(list(texts))
        return checked_texts(found, texts, self._name)


class ModuleCaptions(ModuleFeatures):
    """A module with a method ``captions``, which takes images [b, 3, H, W] and returns a list of texts."""

    @torch.no_grad()
    def captions(self, images: Images) -> list[str]:
        """Return the module's text of each image."""
        x = self._preprocess(images)
        with foreign_errors(self._name):
            found = self._module.captions(x)  # type: ignore[attr-defined]  # `open_module` looks for it
        return checked_captions(found, images, self._name)


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
        argument: the callable; the current directory is importable.
        device: where it computes.
        weights: a file with its state dict.
        prefix: of the names of its tensors in that file.
        size: height and width of its input; else the images' own.
        bounds: the values of black and white, ``0..1``; else -1..1, or 0..1 where mean or std are given.
        mean, std: the input is ``(x - mean) / std``; three numbers each, ``0.485,0.456,0.406``.
        pool: average maps [b, d, h, w] over their positions.
        options: for the callable.

    Raises:
        UnknownName: no such module, callable or option.
        BadFile: the weights do not fit, or hold NaN or Inf.
        BadModel: it cannot be imported or called.
        BadValue: an option cannot be read.
    """
    texts = {"mean": (mean, ","), "std": (std, ","), "bounds": (bounds or ("0..1" if mean or std else ""), "..")}
    numbers = {name: numbers_in(name, text, between, float) for name, (text, between) in texts.items() if text}
    preprocess = Preprocess(size, **numbers)
    module, name = named_module(argument, options, weights, prefix)
    kind = ModuleCaptions if callable(getattr(module, "captions", None)) else ModuleFeatures
    return kind(module, preprocess, pool=pool, device=device, name=name)
