"""Images and label maps in files, brought to one size: images smoothly, labels by nearest neighbour."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ganatomy.errors import BadFile
from ganatomy.pictures.decoding import SUFFIXES, opened, packed_as, rgb, upright, upright_size
from ganatomy.pictures.protocol import Frame
from ganatomy.pictures.shuffled import Shuffled
from ganatomy.types import Images, Labels

Ints = npt.NDArray[np.int64]
STRETCHED = {"L;2": 85, "L;4": 17}
"""By what Pillow multiplies grey values of 2 and 4 bits."""


class PictureFiles(Shuffled, ABC):
    """Image files under one directory, in a fixed order; what is known of them is the subclass's to say.

    Args:
        name: what to call the set in messages.
        root: the directory.
        files: paths below it.
        splits: the split that each belongs to.
    """

    planes: tuple[str, ...]

    def __init__(self, name: str, root: Path, files: Sequence[str], splits: Sequence[str]) -> None:
        super().__init__(name, splits)
        self._root, self._files = root, files

    def images(self, numbers: Sequence[int], frame: Frame) -> Images:
        """Return images [b, 3, height, width] in [-1, 1], resized by antialiased bilinear interpolation."""
        return stacked([read_picture(self._root / self._files[n], frame) for n in numbers], frame)

    def side(self, number: int) -> int:
        """Return the shorter side of an image, in pixels."""
        return min(picture_size(self._root / self._files[number]))

    def labels(self, numbers: Sequence[int], frame: Frame) -> Labels:
        """Return label maps [b, plane, height, width], each pixel the label at its centre."""
        labels = np.zeros((len(numbers), len(self.planes), *frame.shape), np.int64)
        for row, n in zip(labels, numbers, strict=True):
            path = self._root / self._files[n]
            shape = picture_size(path)
            for plane, found in zip(row, self._planes(n), strict=True):
                plane[:] = found if isinstance(found, int) else seen_in(found, shape, frame, path)
        return torch.from_numpy(labels)

    @abstractmethod
    def _planes(self, number: int) -> Sequence[Ints | int]:
        """Return each label plane of an image: a map of concepts, or the one concept of the whole image."""


def found_under(root: Path, suffixes: Iterable[str] = SUFFIXES) -> dict[str, int]:
    """Return the size in bytes of every file of these kinds under a directory, by its path below it, sorted.

    Hidden files are left out, and links to directories are not followed.

    Raises:
        BadFile: a pipe, a device, or a link to nothing.
    """
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                path = Path(folder) / name
                if not path.is_file():
                    raise BadFile(f"{path}: no file, or a link to none; mend it, or take it out")
                found[path.relative_to(root).as_posix()] = path.stat().st_size
    return dict(sorted(found.items()))


def unread_under(root: Path, known: str) -> str:
    """Say how many files under a directory are no images that are read, nor that `known` one; see `unread`."""
    names = []
    for folder, folders, own in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        names += [name for name in own if Path(folder, name) != root / known]
    return unread(name for name in names if not is_picture(name))


def is_picture(path: str) -> bool:
    """Return whether a file is taken for an image by its name: not if it or a folder is hidden, or macOS's own."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(path).parts)
    return not hidden and path.lower().endswith(SUFFIXES)


def unread(paths: Iterable[str]) -> str:
    """Say how many files are not read, and of which kinds; nothing of hidden ones, unless they look like images.

    >>> unread(["a.heic", "b.HEIC", "notes", "._a.jpg", ".DS_Store"])
    '4 files were not read: 2 .heic, 1 without an ending, 1 hidden'
    """
    kinds: Counter[str] = Counter()
    for path in map(PurePosixPath, paths):
        if not any(part.startswith((".", "__MACOSX")) for part in path.parts):
            kinds[path.suffix.lower() or "without an ending"] += 1
        elif path.name.lower().endswith(SUFFIXES):
            kinds["hidden"] += 1
    if not kinds:
        return ""
    total = kinds.total()
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{total} file{'s were' if total > 1 else ' was'} not read: {listed}"


def nothing_in(place: Path | str, left: str) -> BadFile:
    """Return the error of a place without images, given what is said of the files that are there."""
    return BadFile(f"{place}: no images in it ({', '.join(SUFFIXES)})" + (f"; {left}" if left else ""))


def stacked(pictures: Sequence[Tensor], frame: Frame) -> Images:
    """Return images as one tensor, of whose shape one can be sure where there are none, too."""
    return torch.stack(list(pictures)) if pictures else torch.zeros(0, 3, *frame.shape)


def read_picture(path: Path, frame: Frame) -> Tensor:
    """Return an image [3, height, width] in [-1, 1].

    Raises:
        BadFile: it is missing, cut off, or no image.
    """
    with opened(path, path) as image:
        return _seen(rgb(image, path), frame)


def decode_picture(content: bytes, name: str, frame: Frame) -> Tensor:
    """Return an image [3, height, width] in [-1, 1], from the bytes of its file.

    Raises:
        BadFile: it is cut off, or no image; says which, by that name.
    """
    with opened(content, name) as image:
        return _seen(rgb(image, name), frame)


def _seen(image: Image.Image, frame: Frame) -> Tensor:
    """Return what a frame shows of an image [3, height, width]."""
    (height, width), box = frame.shape, frame.box(image.width, image.height)
    small = image.resize((width, height), Image.Resampling.BILINEAR, box)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1


def read_map(path: Path) -> Ints:
    """Return a label map [h, w] of grey values, or palette indices; or [h, w, 3], if it is in colour. It is upright.

    Raises:
        BadFile: it is missing, cut off, or no image.
    """
    with opened(path, path) as image:
        packing = packed_as(image)
        image = upright(image)
        labels = np.array(image.convert("RGB") if image.mode == "RGBA" else image, dtype=np.int64)
        return labels // STRETCHED.get(packing, 1)


def picture_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image as it is seen.

    Raises:
        BadFile: it is missing, or no image.
    """
    with opened(path, path) as image:
        return upright_size(image)


def seen_in(labels: Ints, shape: tuple[int, int], frame: Frame, path: Path) -> Ints:
    """Return what a frame shows of a label map, which may be finer or coarser than its image.

    Raises:
        BadFile: it has another shape than the image, which is (width, height).
    """
    height, width = labels.shape
    if abs(width / shape[0] - height / shape[1]) * min(shape) > 1.5:  # coarser sides are rounded
        raise BadFile(
            f"{path} is {shape[0]} × {shape[1]} pixels, turned as its EXIF orientation says, and its label map {width} "
            f"× {height}; they must be of one shape, in any two sizes, and the map turned as the image is seen"
        )
    left, top, right, bottom = frame.box(*shape)
    across = _centres(left / shape[0], right / shape[0], width, frame.shape[1])
    down = _centres(top / shape[1], bottom / shape[1], height, frame.shape[0])
    return labels[down[:, None], across]


def _centres(first: float, last: float, source: int, size: int) -> Ints:
    """Return which of `source` positions lies under the centre of each of `size` between two shares of the side."""
    places = (first + (np.arange(size) + 0.5) * (last - first) / size) * source
    return places.astype(np.int64).clip(0, source - 1)
