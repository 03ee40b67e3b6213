"""What every set of images can do: show image number n, and say what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from ganatomy.errors import BadValue
from ganatomy.types import Images, Labels
from ganatomy.vocabulary import Vocabulary


@dataclass(frozen=True)
class Frame:
    """What part of an image is looked at, and at which size.

    Attributes:
        size: height and width at which it is looked at; one number for a square.
        crop: 0 for the whole image, whatever its shape; else a part in its middle, of the shape of the frame and so
            much of what would fit: 0.875 is what scaling the shorter side to 256 and cutting out 224 gives.

    >>> Frame(224).box(400, 200), Frame(224, crop=0.5).box(400, 200), Frame((64, 128), crop=1).box(300, 300)
    ((0, 0, 400, 200), (150.0, 50.0, 250.0, 150.0), (0.0, 75.0, 300.0, 225.0))
    """

    size: int | tuple[int, int]
    crop: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if min(self.shape) < 1:
            raise BadValue(f"size={self.size}: give the height and width of the images in pixels")
        if not 0 <= self.crop <= 1:
            raise BadValue(f"crop={self.crop} is not between 0 and 1")
        if self.shape[0] == self.shape[1]:
            object.__setattr__(self, "size", self.shape[0])  # a square is the same frame, however it was given

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of what is looked at, in an image of that size."""
        if not self.crop:
            return 0, 0, width, height
        aspect = self.shape[1] / self.shape[0]
        across = self.crop * min(width, height * aspect)
        down = across / aspect
        left, top = (width - across) / 2, (height - down) / 2
        return left, top, left + across, top + down


class Shown(NamedTuple):
    """Which images were looked at, and how: what it takes to find their labels.

    Attributes:
        fingerprint: of the set.
        numbers: of the images in it.
        frame: what was seen of them.
    """

    fingerprint: str
    numbers: tuple[int, ...]
    frame: Frame


@runtime_checkable
class PictureSet(Protocol):
    """Images by number.

    Attributes:
        name: what to call it in messages.
        fingerprint: sha256 that changes when the images or what is known of them may.
        classes: the names of the classes of images, in their order; none where they are in no classes.
        vocabulary: the concepts of the labels; nothing alone where there are no labels.
        planes: the name of each label plane.
    """

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    vocabulary: Vocabulary
    planes: tuple[str, ...]

    def numbers(self, ids: range, seed: int, split: str = "") -> list[int]:
        """Return which images a sample takes; entry i depends on (seed, ids[i], split) only, and none comes twice.

        Raises:
            UnknownName: no such split.
            BadValue: there are not so many images.
        """
        ...

    def images(self, numbers: Sequence[int], frame: Frame) -> Images:
        """Return images.

        Raises:
            BadFile: one cannot be read; names it.
        """
        ...

    def labels(self, numbers: Sequence[int], frame: Frame) -> Labels:
        """Return the labels of images, at their size in the frame.

        Raises:
            BadFile: a label map cannot be read, or is none; names it.
        """
        ...

    def truth(self, numbers: Sequence[int]) -> list[int]:
        """Return the class of each image, an index into `classes`; -1 where it has none."""
        ...
