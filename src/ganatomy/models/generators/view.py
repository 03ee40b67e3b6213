"""The images of a classifier, and its inputs for them; a latent of a classifier is the number of an image."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.datasets import CropSpec, ImageDataset, ImageRefs, open_images

DIGITS = 24
"""The number of an image is two floats, the lower one of so many bits, which float32 holds exactly."""
SMALL, LARGEST = 128, 256
"""Inputs of fewer pixels than the first are shown in more, up to the second."""


@dataclass(frozen=True)
class View:
    """A set of images, and a network's inputs for them.

    Attributes:
        dataset: the set.
        frame: the crop of each image, and its size.
        split: the part of the set that samples are taken from; all of it, if none is named.
        mean, std: the input is ``(x - mean) / std``, x in [0, 1]; with the defaults, images in [-1, 1].
        label_size: the size at which images are shown and segmented; see `labelled`.
    """

    dataset: ImageDataset
    frame: CropSpec
    split: str = ""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    label_size: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if len(self.mean) != 3 or len(self.std) != 3 or not all(each > 0 for each in self.std):
            raise BadValue(f"mean={self.mean}, std={self.std}: give three numbers each, for red, green and blue")

    @cached_property
    def labelled(self) -> CropSpec:
        """The frame in which images are shown and segmented: that of the inputs, in more pixels where these are few.

        Segmenters of photographs fail on images of 32 pixels. Unless a size is given, images whose inputs are smaller
        than `SMALL` are shown at their own size, that of the smaller of the first two, up to `LARGEST`.
        """
        shorter, measure = min(self.frame.shape), getattr(self.dataset, "side", None)
        size = self.label_size
        if not size and shorter < SMALL and measure is not None:
            sides = [measure(number) for number in self.dataset.sample_indices(range(2), 0, self.split)]
            size = max(shorter, min(round(min(sides) * (self.frame.crop or 1)), LARGEST))
        height, width = (round(side * size / shorter) for side in self.frame.shape)
        return CropSpec((height, width), self.frame.crop) if size else self.frame

    @classmethod
    def open(cls, images: str, size: int = 224, crop: float = 0.0, **options: Any) -> "View":
        """Return a view of the images of a name.

        >>> View.open("scenes:church", 64).frame
        CropSpec(size=64, crop=0.0)

        Args:
            images: a directory, or ``scenes:church``.
            size, crop: see `CropSpec`.
            options: `split`, `mean`, `std` and `label_size`.

        Raises:
            BadFile: no such images, or their labels cannot be read.
        """
        return cls(open_images(images), CropSpec(size, crop), **options)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the numbers of the images of a sample, as two floats [b, 2]."""
        numbers = self.dataset.sample_indices(ids, seed, self.split)
        digits = [(number >> DIGITS, number & ((1 << DIGITS) - 1)) for number in numbers]
        return torch.tensor(digits, dtype=torch.float32).reshape(-1, 2)

    def shown(self, z: Latents) -> ImageRefs:
        """Return which images these latents are."""
        numbers = tuple((high << DIGITS) + low for high, low in z.long().tolist())
        return ImageRefs(self.dataset.fingerprint, numbers, self.labelled)

    def images(self, z: Latents, frame: CropSpec | None = None) -> Images:
        """Return the images, in [-1, 1], in the frame of the inputs or another."""
        return self.dataset.images(self.shown(z).indices, frame or self.frame).to(z.device)

    def inputs(self, images: Images) -> Images:
        """Return the network's inputs for images in [-1, 1]."""
        mean, std = (torch.tensor(each, device=images.device)[:, None, None] for each in (self.mean, self.std))
        return ((images + 1) / 2 - mean) / std
