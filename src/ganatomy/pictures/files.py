"""Pictures and label maps in files, brought to one size: pictures smoothly, labels by nearest neighbour."""

import contextlib
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ganatomy.errors import BadFile, BadValue, UnknownName
from ganatomy.pictures.protocol import Frame
from ganatomy.types import Images, Labels

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for files that are cut off, damaged, or of another format."""

Ints = npt.NDArray[np.int64]


class PictureFiles(ABC):
    """Picture files under one directory, in a fixed order; what is known of them is the subclass's to say.

    Args:
        name: what to call the set in messages.
        root: the directory.
        files: paths below it.
        splits: the split that each belongs to.
    """

    planes: tuple[str, ...]

    def __init__(self, name: str, root: Path, files: Sequence[str], splits: Sequence[str]) -> None:
        self.name = name
        self._root, self._files, self._splits = root, files, splits
        self._orders: dict[tuple[int, str], list[int]] = {}

    def numbers(self, ids: range, seed: int, split: str = "") -> list[int]:
        """Return which pictures a sample takes: the pictures of the split, shuffled by the seed."""
        order = self._order(seed, split)
        if ids and (ids.stop > len(order) or ids.start < 0):
            own = f" in its split {split}" if split else ""
            raise BadValue(
                f"the sample takes {ids.stop} pictures and {self.name} has {len(order)}{own}; ask for fewer images (a "
                "dissection takes twice as many as it is told; with validation=cross, just as many)"
            )
        return order[ids.start : ids.stop : ids.step]

    def images(self, numbers: Sequence[int], frame: Frame) -> Images:
        """Return pictures [b, 3, size, size] in [-1, 1], resized by antialiased bilinear interpolation."""
        if not numbers:
            return torch.zeros(0, 3, frame.size, frame.size)
        return torch.stack([read_picture(self._root / self._files[n], frame) for n in numbers])

    def labels(self, numbers: Sequence[int], frame: Frame) -> Labels:
        """Return label maps [b, plane, size, size], each pixel the label at its centre."""
        labels = np.zeros((len(numbers), len(self.planes), frame.size, frame.size), np.int64)
        for row, n in zip(labels, numbers, strict=True):
            path = self._root / self._files[n]
            shape = picture_size(path)
            for plane, found in zip(row, self._planes(n), strict=True):
                plane[:] = found if isinstance(found, int) else seen_in(found, shape, frame, path)
        return torch.from_numpy(labels)

    @abstractmethod
    def _planes(self, number: int) -> Sequence[Ints | int]:
        """Return each label plane of a picture: a map of concepts, or the one concept of the whole picture."""

    def _order(self, seed: int, split: str) -> list[int]:
        if split and split not in self._splits:
            raise UnknownName(f"split of {self.name}", split, dict.fromkeys(self._splits))
        if (seed, split) not in self._orders:
            own = [n for n, each in enumerate(self._splits) if split in ("", each)]
            shuffled = torch.randperm(len(own), generator=torch.Generator().manual_seed(seed))
            self._orders[seed, split] = [own[i] for i in shuffled.tolist()]
        return self._orders[seed, split]


def found_under(root: Path, suffixes: Iterable[str] = SUFFIXES) -> dict[str, int]:
    """Return the size in bytes of every file of these kinds under a directory, by its path below it, sorted.

    Hidden files are left out, and links to directories are not followed.
    """
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                path = Path(folder) / name
                found[path.relative_to(root).as_posix()] = path.stat().st_size
    return dict(sorted(found.items()))


def read_picture(path: Path, frame: Frame) -> Tensor:
    """Return a picture [3, size, size] in [-1, 1].

    Raises:
        BadFile: it is missing, cut off, or no picture.
    """
    image = _opened(path)
    if image.mode.startswith("I"):  # 16 bit grey, which conversion would clip to white
        image = Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8))
    small = image.convert("RGB").resize(
        (frame.size, frame.size), Image.Resampling.BILINEAR, frame.box(image.width, image.height)
    )
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1


def read_map(path: Path) -> Ints:
    """Return a label map [h, w] of 8 or 16 bit grey values, or palette indices; or [h, w, 3], if it is in colour.

    Raises:
        BadFile: it is missing, cut off, or no picture.
    """
    image = _opened(path)
    return np.array(image.convert("RGB") if image.mode == "RGBA" else image, dtype=np.int64)


def picture_size(path: Path) -> tuple[int, int]:
    """Return the width and height of a picture, from its head alone.

    Raises:
        BadFile: it is missing, or no picture.
    """
    with _telling(path), Image.open(path) as image:
        return image.size


def seen_in(labels: Ints, shape: tuple[int, int], frame: Frame, path: Path) -> Ints:
    """Return what a frame shows of a label map, which may be finer or coarser than its picture.

    Raises:
        BadFile: it has another shape than the picture, which is (width, height).
    """
    height, width = labels.shape
    if abs(width / shape[0] - height / shape[1]) * min(shape) > 1.5:  # coarser sides are rounded
        raise BadFile(
            f"{path} is {shape[0]} × {shape[1]} pixels and its label map {width} × {height}; "
            "they must be of one shape, in any two sizes"
        )
    left, top, right, bottom = frame.box(*shape)
    across = _centres(left / shape[0], right / shape[0], width, frame.size)
    down = _centres(top / shape[1], bottom / shape[1], height, frame.size)
    return labels[down[:, None], across]


def _centres(first: float, last: float, source: int, size: int) -> Ints:
    """Return which of `source` positions lies under the centre of each of `size` between two shares of the side."""
    places = (first + (np.arange(size) + 0.5) * (last - first) / size) * source
    return places.astype(np.int64).clip(0, source - 1)


def _opened(path: Path) -> Image.Image:
    with _telling(path), Image.open(path) as image:
        image.load()
        return image.copy()


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Tell in one line which file cannot be read, and why."""
    if not path.is_file():
        raise BadFile(f"{path}: no such picture")
    try:
        yield
    except UNREADABLE as error:
        raise BadFile(f"{path}: not a whole picture ({error}); mend it, or take it out") from error
