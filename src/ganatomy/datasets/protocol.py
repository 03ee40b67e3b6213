"""The protocol of a dataset of images, and which part of each image is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.core.vocabulary import Vocabulary


@dataclass(frozen=True)
class CropSpec:
    """The part of an image that is used, and the size to which it is resized.

    Attributes:
        size: height and width in pixels; one number for a square.
        crop: 0 for the whole image, whatever its shape; else the share that is taken of the largest centred part of
            the target's shape: 0.875 is scaling the shorter side to 256 and cutting out 224.

    >>> CropSpec(224).box(400, 200), CropSpec(224, crop=0.5).box(400, 200), CropSpec((64, 128), crop=1).box(300, 300)
    ((0, 0, 400, 200), (150.0, 50.0, 250.0, 150.0), (0.0, 75.0, 300.0, 225.0))
    """

    size: int | tuple[int, int]
    crop: float = 0.0

    def __post_init__(self) -> None:
        """Check the values; a square becomes one number."""
        if min(self.shape) < 1:
            raise BadValue(f"size={self.size}: give the height and width of the images in pixels")
        if not 0 <= self.crop <= 1:
            raise BadValue(f"crop={self.crop} is not between 0 and 1")
        if self.shape[0] == self.shape[1]:
            object.__setattr__(self, "size", self.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the part of an image of that size."""
        if not self.crop:
            return 0, 0, width, height
        aspect = self.shape[1] / self.shape[0]
        across = self.crop * min(width, height * aspect)
        down = across / aspect
        left, top = (width - across) / 2, (height - down) / 2
        return left, top, left + across, top + down


class ImageRefs(NamedTuple):
    """References to images of a dataset, from which their labels are found: its fingerprint, indices, the crop."""

    fingerprint: str
    indices: tuple[int, ...]
    crop: CropSpec


@runtime_checkable
class ImageDataset(Protocol):
    """Images by index.

    Attributes:
        name: for messages.
        fingerprint: sha256 that changes when images, classes or labels may.
        classes: names of the image classes, in their order; empty where there are none.
        vocabulary: the concepts of the labels; nothing alone where there are no labels.
        planes: the name of each label plane.
    """

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    vocabulary: Vocabulary
    planes: tuple[str, ...]

    def sample_indices(self, ids: range, seed: int, split: str = "") -> list[int]:
        """Return the indices of a sample's images, none twice; entry i depends on (seed, ids[i], split) only.

        Raises:
            UnknownName: no such split.
            BadValue: there are fewer images.
        """
        ...

    def images(self, indices: Sequence[int], crop: CropSpec) -> Images:
        """Return images.

        Raises:
            BadFile: names the one that cannot be read.
        """
        ...

    def labels(self, indices: Sequence[int], crop: CropSpec) -> Labels:
        """Return the labels of images, cropped as they are.

        Raises:
            BadFile: names the label map that cannot be read.
        """
        ...

    def class_ids(self, indices: Sequence[int]) -> list[int]:
        """Return the class of each image, an index into `classes`; -1 for none."""
        ...
