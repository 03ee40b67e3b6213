"""What a module returns: which of its tensors are the images, and which values mean black and white."""

import functools
import logging
import math
from typing import Any

from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue, UnknownName
from ganatomy.models.generators.nested_tensors import named_tensors

_log = logging.getLogger(__name__)

NAMES = ("image", "images", "sample", "samples", "rgb", "img")
"""What images are called among several tensors; one of these is taken before others."""
BEYOND = 0.05
"""How far values may lie beyond black and white before they count as clipped; of wider ranges than 1, 0.025 of them."""
MOST = 0.02
"""Share of clipped values above which black and white are not what they were taken for."""
FEW = 0.005
"""Share of clipped values above which there is a warning."""


def images_in(output: Any, count: int, name: str, chosen: str = "") -> tuple[str, Tensor]:
    """Return the images in what the module `name` returned for `count` latents, and the path that leads to them.

    Of several tensors that could be images, those with three channels come before grey ones, then the one that has a
    name of images, then the largest; or the one at the path `chosen`, such as ``mask`` or ``0``.

    >>> import torch
    >>> returned = {"mask": torch.zeros(2, 1, 8, 8), "colour": torch.zeros(2, 3, 8, 8)}
    >>> images_in(returned, 2, "net")[0]
    'colour'

    Raises:
        BadModel: there are none, or more than one that could be meant; names what there is.
        UnknownName: there is no tensor at that path.
        BadValue: there is nothing to choose.
    """
    found = dict(named_tensors(output))
    if chosen and isinstance(output, Tensor):
        raise BadValue(f"{name} returns one tensor and no others; leave out output={chosen}")
    if chosen and chosen not in found:
        raise UnknownName(f"output of {name}", chosen, found)
    path = chosen or ("" if isinstance(output, Tensor) else _best(output, found, count, name))
    if wrong := _wrong(found[path], count):
        what = f"{path} {list(found[path].shape)}" if path else str(list(found[path].shape))
        raise BadModel(f"{name} returns {what} for {count} latents; it must return images [b, 3, H, W]: {wrong}")
    return path, found[path].float()


def _best(output: Any, found: dict[str, Tensor], count: int, name: str) -> str:
    """Return the path of the images among several tensors."""
    fit = {path: each for path, each in found.items() if not _wrong(each, count)}
    if not fit:
        if len(found) == 1:
            return next(iter(found))
        listed = f" of {_listed(found)}" if found else " without tensors"
        raise BadModel(f"{name} returns a {type(output).__name__}{listed}; it must return images [b, 3, H, W]")
    once = {id(each): path for path, each in reversed(fit.items())}
    fit = {path: each for path, each in fit.items() if once[id(each)] == path}
    fit = {path: each for path, each in fit.items() if each.shape[1] == 3} or fit
    named = [path for path in fit if path.rpartition(".")[2] in NAMES]
    size = max(each.shape[2:].numel() for each in fit.values())
    best = named if len(named) == 1 else [path for path, each in fit.items() if each.shape[2:].numel() == size]
    if len(best) > 1:
        raise BadModel(
            f"{name} returns several tensors that could be its images: {_listed({path: fit[path] for path in best})}; "
            f"choose one: output={best[0]}"
        )
    return best[0]


def _listed(found: dict[str, Tensor]) -> str:
    return ", ".join(f"{path} {list(each.shape)}" for path, each in list(found.items())[:12])


def _wrong(output: Tensor, count: int) -> str:
    """Return why a tensor is no batch of images, and what to do; "" if it is one."""
    wrong = _wrong_shape(tuple(output.shape), count)
    if not output.is_floating_point():
        kind = str(output.dtype).removeprefix("torch.")
        scaled = " and give bounds=0..255" if kind == "uint8" else ""
        return f"these are {kind}, return them as float{scaled}" + (f"; {wrong}" if wrong else "")
    return wrong


def _wrong_shape(shape: tuple[int, ...], count: int) -> str:
    match shape:
        case (rows, 1 | 3, height, width) if rows == count:
            return "" if height and width else "these are empty"
        case (rows, _, _, 1 | 3 | 4 as channels) if rows == count:
            colours = "[:, :3]" if channels == 4 else ""
            return f"the channels come last, return x.permute(0, 3, 1, 2){colours}"
        case (rows, 4, _, _) if rows == count:
            return "four channels may be RGBA, return x[:, :3]"
        case (rows, channels, _, _) if rows == count:
            return f"these have {channels} channels"
        case (rows, _, _, _, _) if rows == count:
            return "these may be videos or volumes, return one frame of each"
        case (1 | 3, _, _):
            return "this is one image without a batch, return x[None]"
        case (rows, _, _) if rows == count:
            return "these have no channels, return x[:, None]"
        case (rows, numbers) if rows == count and (side := _side(numbers)):
            return f"these may be flat images, return x.view(-1, {numbers // side**2}, {side}, {side})"
    return "one image for each latent" if shape[:1] != (count,) else "these are no images"


def _side(numbers: int) -> int:
    """Return the side of the square image that so many numbers may be, in three channels or one; 0 if none."""
    for channels in (3, 1):
        side = math.isqrt(numbers // channels)
        if side >= 4 and channels * side * side == numbers:
            return side
    return 0


def find_bounds(images: Tensor, name: str) -> tuple[float, float]:
    """Return the values that mean black and white in images: 0 and 1, or -1 and 1.

    Raises:
        BadModel: more than `MOST` of the values would be clipped.
    """
    if not bool(images.isfinite().all()):
        raise BadModel(f"{name} draws NaN or Inf; compute in float32, or leave that checkpoint")
    bounds = (0.0, 1.0) if float((images < -BEYOND).double().mean()) <= FEW else (-1.0, 1.0)
    share = clipped(images, bounds)
    if share > MOST:
        low, high = float(images.min()), float(images.max())
        fits = "0..255" if low >= -0.1 and 100 < high <= 256 else "LOW..HIGH"
        raise BadModel(
            f"{name} draws values from {low:.3g} to {high:.3g}, {share:.1%} of them outside of "
            f"{bounds[0]:g}..{bounds[1]:g}; say what black and white are: bounds={fits}"
        )
    return bounds


def clipped(images: Tensor, bounds: tuple[float, float]) -> float:
    """Return the share of values that lie beyond black and white.

    >>> import torch
    >>> clipped(torch.tensor([-1.0, 0.0, 1.04, 3.0]), (-1, 1))
    0.25
    """
    low, high = bounds
    beyond = BEYOND * max(1.0, (high - low) / 2)
    return float(((images < low - beyond) | (images > high + beyond)).double().mean())


def warn_clipped(images: Tensor, bounds: tuple[float, float], name: str) -> None:
    """Warn once of a module that some of its values are clipped, if they are more than a few."""
    share = clipped(images, bounds)
    if share > FEW:
        low, high = float(images.min()), float(images.max())
        _warn(
            f"{name} draws values from {low:.3g} to {high:.3g}; {share:.1%} of them lie outside of "
            f"{bounds[0]:g}..{bounds[1]:g} and are clipped; if black and white are others, give bounds=LOW..HIGH"
        )


@functools.lru_cache(maxsize=64)
def _warn(message: str) -> None:
    _log.warning("%s", message)


def check_bounds(bounds: Any) -> tuple[float, float]:
    """Return bounds as two numbers.

    Raises:
        BadValue: they are not, or the first is not the lower.
    """
    if not (len(bounds) == 2 and all(map(math.isfinite, bounds)) and bounds[0] < bounds[1]):
        raise BadValue(f"bounds={tuple(bounds)} are not two numbers, black and white, the lower first; give 0..1")
    return bounds[0], bounds[1]
