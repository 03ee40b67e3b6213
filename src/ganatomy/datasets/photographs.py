"""Photographs that a user gives: a file or a directory, cut to the shape of a model's images, and whole."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ganatomy.core.errors import BadFile
from ganatomy.datasets.decoding import opened, rgb
from ganatomy.datasets.files import files_below, no_images, sizes_below, unread_note
from ganatomy.datasets.protocol import CropSpec


def photograph_files(path: Path) -> list[Path]:
    """Return the image file that a path is, or those in the directory that it is, in the order of their names.

    Raises:
        BadFile: no such path, or no images in the directory.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadFile(f"{path}: no such image, and no directory of images")
    found = [path / name for name in sizes_below(path)]
    if not found:
        raise no_images(path, unread_note(each.name for each in files_below(path)))
    return found


def digest_of(files: Sequence[Path]) -> str:
    """Return the sha256 over the names and bytes of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def whole(file: Path) -> npt.NDArray[np.uint8]:
    """Return all of a photograph, uint8 [H, W, 3], upright and opaque.

    Raises:
        BadFile: it is not a whole image.
    """
    with opened(file, file) as image:
        return np.array(rgb(image, file))


def part_used(height: int, width: int, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return rows and columns of a photograph that become the model's image: the largest middle part of its shape.

    >>> part_used(100, 300, (64, 64))
    (slice(0, 100, None), slice(100, 200, None))
    """
    left, top, right, bottom = (round(each) for each in CropSpec(shape, crop=1).box(width, height))
    return slice(top, bottom), slice(left, right)
