"""Images without labels of pixels, inside other files: what archives and tables have in common."""

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import torch
from PIL import Image

from ganatomy.errors import BadFile
from ganatomy.files import parsed
from ganatomy.pictures.files import decode_picture, stacked
from ganatomy.pictures.protocol import Frame
from ganatomy.pictures.shuffled import Shuffled
from ganatomy.types import Images, Labels
from ganatomy.vocabulary import NOTHING, Vocabulary

CLASSES = "dataset.json"
"""The file in which the data sets of the StyleGANs list the class of each image."""
VOCABULARY = "vocabulary.json"
"""The file that says what label maps mean."""
LONGEST = 1 << 28
"""Bytes of that file: the class of a few million images."""
Owner = int | str


class Unlabelled(Shuffled, ABC):
    """Images without labels of pixels, in a class each at most.

    Args:
        name: what to call the set in messages.
        splits: the split of each image.
        owned: the names of the classes, and which of them each image is in.
    """

    vocabulary: Vocabulary = (NOTHING,)
    planes: tuple[str, ...] = ()

    def __init__(self, name: str, splits: Sequence[str], owned: "Owned") -> None:
        super().__init__(name, splits)
        self.classes, self._classes = owned

    def images(self, numbers: Sequence[int], frame: Frame) -> Images:
        """Return images [b, 3, height, width] in [-1, 1], resized by antialiased bilinear interpolation."""
        contents = self._contents(numbers)
        return stacked([decode_picture(content, name, frame) for name, content in contents], frame)

    def side(self, number: int) -> int:
        """Return the shorter side of an image, in pixels."""
        ((_, content),) = self._contents([number])
        with Image.open(io.BytesIO(content)) as image:
            return min(image.size)

    def labels(self, numbers: Sequence[int], frame: Frame) -> Labels:
        """Return no label planes."""
        return torch.zeros(len(numbers), 0, *frame.shape, dtype=torch.long)

    def truth(self, numbers: Sequence[int]) -> list[int]:
        """Return the class of each image."""
        return [self._classes[n] for n in numbers]

    @abstractmethod
    def _contents(self, numbers: Sequence[int]) -> Sequence[tuple[str, bytes]]:
        """Return what to call each image in messages, and the bytes of its file."""


class Owned(NamedTuple):
    """The names of the classes, in their order, and which of them each image is in, -1 for none."""

    classes: tuple[str, ...]
    numbers: list[int]


def owned_by(owners: Sequence[Owner | None]) -> Owned:
    """Return the classes in the order of their numbers or names; "" and None are none.

    >>> owned_by(["dog", "", "cat"]), owned_by([10, 9, None])
    (Owned(classes=('cat', 'dog'), numbers=[1, -1, 0]), Owned(classes=('9', '10'), numbers=[1, 0, -1]))
    """
    named = {owner for owner in owners if owner not in ("", None)}
    ordered = sorted(named, key=lambda owner: (isinstance(owner, str), owner))
    index: dict[Owner | None, int] = {owner: i for i, owner in enumerate(ordered)}
    return Owned(tuple(map(str, ordered)), [index.get(owner, -1) for owner in owners])


def owners_of(paths: Sequence[PurePosixPath], listed: Mapping[str, Owner] | None, source: str) -> list[Owner | None]:
    """Return the class of each image: as it is listed, else the folder that it lies in.

    Raises:
        BadFile: classes are listed, and none of them is of an image here.
    """
    if listed is None:
        return [path.parent.name for path in paths]
    if listed and not any(str(path) in listed for path in paths):
        raise BadFile(f"{source}: lists classes of files such as {next(iter(listed))}, and none of them is here")
    return [listed.get(str(path)) for path in paths]


def listed_classes(content: bytes | str, source: str) -> Mapping[str, Owner]:
    """Read the class of each image from ``dataset.json``, as the data sets of the StyleGANs have it.

    It is ``{"labels": [["00000/img00000000.png", 5], …]}``, or null in the place of the list; a class may be a word.
    Where labels are vectors there are no classes.

    Raises:
        BadFile: it is something else.

    >>> listed_classes(b'{"labels": [["a.png", 5], ["b.png", 10]]}', "dataset.json")
    {'a.png': 5, 'b.png': 10}
    """
    try:
        labels = dict(parsed(content).get("labels") or ())
    except (ValueError, TypeError, AttributeError) as error:
        raise BadFile(f'{source}: not {{"labels": [[file, class], …]}} ({error})') from error
    return labels if all(isinstance(label, int | str) for label in labels.values()) else {}
