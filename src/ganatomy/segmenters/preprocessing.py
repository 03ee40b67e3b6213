"""How a model of the Hugging Face hub wants its images: the size, the bounds, the order of the colours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ganatomy.errors import BadFile, BadValue
from ganatomy.types import Images
from ganatomy.weights.hub import read_json

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
FLIPPED = {"do_normalize": False, "do_flip_channel_order": True}
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "beit": HALF,
    "data2vec-vision": HALF,
    "dpt": HALF,
    "mobilenet_v2": HALF,
    "mobilevit": FLIPPED,
    "mobilevitv2": FLIPPED,
    "tipsv2_dpt": {"do_normalize": False},
}
"""What the families do with colours where their file does not say; others do as with ImageNet."""
SHORTEST = {"detr", "mask2former", "maskformer", "oneformer"}
"""The families for which a lone number is the length of the shorter side."""
FILTERS = {1: "bicubic", 3: "bicubic"}
"""Resampling filters by Pillow's numbers; those that torch lacks become the nearest in kind, bilinear by default."""


class Preprocessing(NamedTuple):
    """From images in [-1, 1] to what a network takes; differentiable, on the images' device.

    The whole image is read: where the model's own code would crop its middle, it is resized to that size instead.

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
        """Return the height and width at which an image is read.

        >>> Preprocessing(shortest=32, longest=60, multiple=8).size(64, 128)
        (32, 64)
        """
        if self.fixed is not None:
            height, width = self.fixed
        elif self.shortest is not None:
            short, long = sorted((height, width))
            target = self.shortest
            if self.longest is not None and long * target > self.longest * short:
                target = round(self.longest * short / long)
            height, width = height * target // short, width * target // short
        return _up(height, self.multiple), _up(width, self.multiple)

    def __call__(self, images: Images) -> Float[Tensor, "b 3 h w"]:
        """Return what the network takes."""
        size = self.size(images.shape[-2], images.shape[-1])
        if size != tuple(images.shape[-2:]):
            images = F.interpolate(images, size, mode=self.filter, antialias=True).clamp(-1, 1)
        x = (images + 1) * (self.white / 2)
        mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        normal = (x.flip(1) if self.flipped else x) - mean
        return normal / std


def read_preprocessing(directory: Path, config: Mapping[str, Any], size: int | None = None) -> Preprocessing:
    """Read ``preprocessor_config.json``; where it is silent or missing, do as the model's family does.

    Args:
        directory: of the model.
        config: of the model, its type and perhaps its image_size.
        size: read at this size instead: the length of the shorter side for a model that keeps proportions, else both.

    Raises:
        BadFile: a file whose values are not understood.
        BadValue: a size below 1.
    """
    if size is not None and size < 1:
        raise BadValue(f"size={size} is too small; give the pixels at which images are read")
    kind = config["model_type"]
    said = IMAGENET | dict(DEFAULTS.get(kind, {})) | _file(directory)
    source = f"{directory / 'preprocessor_config.json'}"
    fixed, shortest, longest = _size(said, config, source) if said.get("do_resize", True) else (None, None, None)
    if size is not None:
        fixed, shortest, longest = (None, size, None) if shortest else ((size, size), None, None)
    normal = said.get("do_normalize", True)
    scale = said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1
    return Preprocessing(
        fixed=fixed,
        shortest=shortest,
        longest=longest,
        multiple=_whole(said.get("size_divisor") or said.get("ensure_multiple_of") or 1, source),
        filter=FILTERS.get(said.get("resample", 2), "bilinear"),
        white=255 * float(scale),
        mean=_channels(said["image_mean"], source) if normal else (0.0, 0.0, 0.0),
        std=_channels(said["image_std"], source) if normal else (1.0, 1.0, 1.0),
        flipped=bool(said.get("do_flip_channel_order", False)),
    )


def _file(directory: Path) -> dict[str, Any]:
    """Return what the file says; newer ones lie in a file of the whole processor."""
    if (directory / "preprocessor_config.json").is_file():
        found = read_json(directory / "preprocessor_config.json")
    elif (directory / "processor_config.json").is_file():
        found = read_json(directory / "processor_config.json").get("image_processor", {})
    else:
        found = {}
    return {key: value for key, value in found.items() if value is not None}


def _size(
    said: Mapping[str, Any], config: Mapping[str, Any], source: str
) -> tuple[tuple[int, int] | None, int | None, int | None]:
    """Return the fixed size, the shortest and the longest side."""
    cropped = said.get("do_center_crop", False) and "crop_size" in said
    size = said["crop_size"] if cropped else said.get("size", config.get("image_size") or 512)
    if isinstance(size, int):
        side = _whole(size, source)
        if not cropped and ("max_size" in said or config["model_type"] in SHORTEST):
            return None, side, _whole_or_none(said.get("max_size"), source)
        return (side, side), None, None
    if isinstance(size, list) and len(size) == 2:
        size = {"height": size[0], "width": size[1]}
    if isinstance(size, dict) and {"height", "width"} <= size.keys():
        return (_whole(size["height"], source), _whole(size["width"], source)), None, None
    if isinstance(size, dict) and "shortest_edge" in size:
        side = _whole(size["shortest_edge"], source)
        if config["model_type"].startswith("eomt"):  # reads squares: of an oblong image several, which overlap
            return (side, side), None, None
        return None, side, _whole_or_none(size.get("longest_edge"), source)
    raise BadFile(f"{source}: size {size!r} is not understood; expected height and width, or shortest_edge")


def _whole(value: Any, source: str) -> int:
    if not isinstance(value, int) or value < 1:
        raise BadFile(f"{source}: {value!r} is no length in pixels")
    return value


def _whole_or_none(value: Any, source: str) -> int | None:
    return None if value is None else _whole(value, source)


def _channels(values: Any, source: str) -> tuple[float, ...]:
    values = values if isinstance(values, list) else [values] * 3
    if len(values) != 3 or not all(isinstance(value, (int, float)) for value in values):
        raise BadFile(f"{source}: {values!r} is no number for each of three channels")
    return tuple(float(value) for value in values)


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
