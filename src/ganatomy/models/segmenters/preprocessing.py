"""Preprocessing of images for models of the Hugging Face hub: size, normalisation, order of the channels."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.tensor_types import Images
from ganatomy.models.weights.hub import read_json

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
}
FLIPPED = {"do_normalize": False, "do_flip_channel_order": True}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "beit": HALF,
    "clip": CLIP,
    "data2vec-vision": HALF,
    "deit": {**HALF, "resample": 3},
    "dpt": HALF,
    "grounding-dino": {"size": {"shortest_edge": 800, "longest_edge": 1333}},
    "mobilenet_v2": HALF,
    "mobilevit": FLIPPED,
    "mobilevitv2": FLIPPED,
    "sam3": HALF,
    "siglip": {**HALF, "resample": 3},
    "swin": HALF,
    "swinv2": HALF,
    "tipsv2_dpt": {"do_normalize": False},
    "vit": HALF,
}
"""Normalisation, and sizes, by family where their file does not say; others are normalised as with ImageNet."""
SHORTEST = {"detr", "grounding-dino", "mask2former", "maskformer", "oneformer"}
"""Families for which a single number is the length of the shorter side."""
FILTERS: Mapping[float, str] = {1: "bicubic", 3: "bicubic"}
"""Resampling filters by Pillow's numbers, as far as torch has them; others are bilinear."""
LARGEST_SIDE = 1 << 13
"""Pixels at which an image is read, at most: at 4 bytes for each of three channels, 0.8 GB."""


class Preprocessing(NamedTuple):
    """From images in [-1, 1] to a network's input; differentiable, on the images' device.

    The whole image is used: where the model's own code would crop its middle, it is resized to that size instead.

    Attributes:
        fixed: height and width, whatever the image's; or None.
        shortest: length of the shorter side, the proportions kept; or None. With neither the size stays.
        longest: what the longer side may reach at most; or None.
        multiple: both sides are rounded up to a multiple of this.
        filter: of the resizing, antialiased.
        white: the value of white before normalisation; black is 0.
        mean, std: by channel.
        flipped: blue comes first.
    """

    fixed: tuple[int, int] | None = None
    shortest: int | None = None
    longest: int | None = None
    multiple: int = 1
    filter: str = "bilinear"
    white: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    flipped: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the input for an image.

        >>> Preprocessing(shortest=32, longest=60, multiple=8).size(64, 128)
        (32, 64)
        """
        if self.fixed is not None:
            height, width = self.fixed
        elif self.shortest is not None:
            short, long = sorted((height, width))
            target: float = self.shortest
            if self.longest is not None and long * target > self.longest * short:
                target = self.longest * short / long  # only the shorter side is rounded, as in transformers
            if round(target) != short:
                sides = {long: int(target * long / short), short: round(target)}
                height, width = sides[height], sides[width]
        height, width = (-(-side // self.multiple) * self.multiple for side in (height, width))
        return height, width

    def __call__(self, images: Images) -> Float[Tensor, "b 3 h w"]:
        """Return the network's input."""
        size = self.size(images.shape[-2], images.shape[-1])
        if size != tuple(images.shape[-2:]):
            images = F.interpolate(images, size, mode=self.filter, antialias=True).clamp(-1, 1)
        x = (images + 1) * (self.white / 2)
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        normal = (x.flip(1) if self.flipped else x) - mean
        return normal / std


def read_preprocessing(directory: Path, config: Mapping[str, Any], size: int | None = None) -> Preprocessing:
    """Read ``preprocessor_config.json``, with defaults of the model's family.

    Args:
        directory: of the model.
        config: of the model, its type and perhaps its image_size.
        size: instead of the file's: the length of the shorter side for a model that keeps proportions, else both.
    """
    if size is not None and not 1 <= size <= LARGEST_SIDE:
        small = "small" if size < 1 else "large"
        raise BadValue(f"size={size} is too {small}; give the pixels at which images are read, up to {LARGEST_SIDE}")
    kind = config["model_type"]
    settings = IMAGENET | dict(DEFAULTS.get(kind, {})) | _file(directory)
    source = f"{directory / 'preprocessor_config.json'}"
    fixed, shortest, longest = (
        _size(settings, config, source) if settings.get("do_resize", True) else (None, None, None)
    )
    if size is not None:
        fixed, shortest, longest = (None, size, None) if shortest else ((size, size), None, None)
    normal = settings.get("do_normalize", True)
    scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1
    return Preprocessing(
        fixed=fixed,
        shortest=shortest,
        longest=longest,
        multiple=_pixels(settings.get("size_divisor") or settings.get("ensure_multiple_of") or 1, source),
        filter=FILTERS.get(int(_number(settings.get("resample", 2), source)), "bilinear"),
        white=255 * _number(scale, source),
        mean=_channels(settings["image_mean"], source) if normal else (0.0, 0.0, 0.0),
        std=_channels(settings["image_std"], source) if normal else (1.0, 1.0, 1.0),
        flipped=bool(settings.get("do_flip_channel_order", False)),
    )


def _file(directory: Path) -> dict[str, Any]:
    """Return the settings of the file; newer ones are part of a file of the whole processor."""
    if (directory / "preprocessor_config.json").is_file():
        found = read_json(directory / "preprocessor_config.json")
    elif (directory / "processor_config.json").is_file():
        found = read_json(directory / "processor_config.json").get("image_processor") or {}
    else:
        found = {}
    if not isinstance(found, dict):
        raise BadFile(f"{directory / 'processor_config.json'}: image_processor is a {type(found).__name__}, no object")
    return {key: value for key, value in found.items() if value is not None}


def _size(
    settings: Mapping[str, Any], config: Mapping[str, Any], source: str
) -> tuple[tuple[int, int] | None, int | None, int | None]:
    """Return the fixed size, the shortest and the longest side."""
    cropped = settings.get("do_center_crop", False) and "crop_size" in settings
    size = settings["crop_size"] if cropped else settings.get("size", config.get("image_size") or 512)
    if isinstance(size, int):
        side = _pixels(size, source)
        if not cropped and ("max_size" in settings or config["model_type"] in SHORTEST):
            return None, side, _longest(settings, "max_size", source)
        return (side, side), None, None
    if isinstance(size, list) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if isinstance(size, dict) and {"height", "width"} <= size.keys():
        return (_pixels(size["height"], source), _pixels(size["width"], source)), None, None
    if isinstance(size, dict) and "shortest_edge" in size:
        side = _pixels(size["shortest_edge"], source)
        if config["model_type"].startswith("eomt"):  # reads squares: of an oblong image several, which overlap
            return (side, side), None, None
        return None, side, _longest(size, "longest_edge", source)
    raise BadFile(f"{source}: size {size!r} is not understood; expected height and width, or shortest_edge")


def _pixels(value: Any, source: str, most: float = LARGEST_SIDE) -> int:
    if not isinstance(value, int) or value < 1:
        raise BadFile(f"{source}: {value!r} is no length in pixels")
    if value > most:
        raise BadFile(f"{source}: images would be read at {value} pixels; at most {most} are")
    return value


def _longest(settings: Mapping[str, Any], name: str, source: str) -> int | None:
    return None if settings.get(name) is None else _pixels(settings[name], source, math.inf)


def _channels(values: Any, source: str) -> tuple[float, ...]:
    values = values if isinstance(values, list) else [values] * 3
    if len(values) != 3:
        raise BadFile(f"{source}: {values!r} is no number for each of three channels")
    return tuple(_number(value, source) for value in values)


def _number(value: Any, source: str) -> float:
    if not isinstance(value, int | float) or not abs(value) < 1e30:  # larger ones are none in float32
        raise BadFile(f"{source}: {value!r} is no number, or too large")
    return float(value)
