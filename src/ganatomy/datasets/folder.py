"""A folder of images, with label maps if there are any.

::

    DIR/images/…/NAME.jpg            images; the innermost folder is the class, the outermost the split
    DIR/labels/PLANE/…/NAME.png      index maps, 8 or 16 bit, at the same path below; one folder for each kind of label
    DIR/vocabulary.json              the concepts of the indices: a list of [name, category], the first of them nothing

This is what ``ganatomy scenes render`` writes. A label map lies over its image as turned by its EXIF orientation; a
map may have an orientation of its own. A directory without ``images`` holds images and no labels. Where a
``dataset.json`` is next to the images, as in the datasets of the StyleGANs, it lists the classes.
"""

import copy
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ganatomy.core.errors import BadFile
from ganatomy.core.files import read_text
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.vocabulary import CATEGORIES, read_vocabulary
from ganatomy.datasets.files import (
    CLASSES,
    LONGEST,
    VOCABULARY,
    Ints,
    Source,
    StoredImages,
    class_labels,
    files_below,
    no_images,
    number_classes,
    read_map,
    sizes_below,
    split_of,
    unread_note,
)


class ImageFolder(StoredImages):
    """The images of a directory; the fingerprint is of the paths and sizes of all files, and of the vocabulary."""

    def __init__(self, directory: Path) -> None:
        root = directory / "images" if (directory / "images").is_dir() else directory
        if not root.is_dir():
            raise BadFile(f"{directory}: no such directory")
        sizes = sizes_below(root)
        self.unread = unread_note(path.name for path in files_below(root) if path != root / CLASSES)
        if not sizes:
            raise no_images(root, self.unread)
        if root == directory and (directory / VOCABULARY).is_file() and (directory / "labels").is_dir():
            raise BadFile(f"{directory}: holds labels and {VOCABULARY}, but no folder images; put its images there")
        paths = list(map(PurePosixPath, sizes))
        labels, listed = class_labels(paths, _text(root / CLASSES), str(root / CLASSES))
        super().__init__(str(directory), list(map(split_of, paths)), *number_classes(labels))
        self._root, self._files, self._labels = root, list(sizes), directory / "labels"
        self._ignored: tuple[int, ...] = ()
        if root != directory and self._labels.is_dir():
            self.vocabulary, self.planes = read_vocabulary(directory / VOCABULARY), _planes_in(self._labels)
        maps = {plane: sizes_below(self._labels / plane, (".png",)) for plane in self.planes}
        self._maps = {plane: {_stem(file): file for file in found} for plane, found in maps.items()}
        for plane, stem in ((plane, _stem(file)) for plane in self.planes for file in self._files):
            if stem not in self._maps[plane]:
                raise BadFile(
                    f"{self._labels / plane / stem}.png: no such label map; every image needs one in every plane, all "
                    "0 where it shows nothing of that kind"
                )
        self.fingerprint = fingerprint({}, "folder", sizes, maps, self.vocabulary, *([labels] if listed else []))

    def ignoring(self, labels: Sequence[int]) -> "ImageFolder":
        """Return the same images, with some numbers in the label maps that mean nothing, such as 255."""
        other = copy.copy(self)
        other._ignored = tuple(labels)
        return other

    def _sources(self, indices: Sequence[int]) -> list[Source]:
        paths = [self._root / self._files[i] for i in indices]
        return [(str(path), path) for path in paths]

    def _label_planes(self, index: int) -> list[Ints | int]:
        stem = _stem(self._files[index])
        return [self._map(self._labels / plane / self._maps[plane][stem]) for plane in self.planes]

    def _map(self, path: Path) -> Ints:
        labels = read_map(path)
        if labels.ndim != 2:
            raise BadFile(f"{path}: is in colour; a label map has indices in 8 or 16 bit grey, or a palette")
        labels[np.isin(labels, self._ignored)] = 0
        greatest = len(self.vocabulary) - 1
        if beyond := sorted(set(labels[labels > greatest].tolist())):
            raise BadFile(
                f"{path}: has label {', '.join(map(str, beyond[:5]))}; the vocabulary has 0 to {greatest}. If that "
                f"stands for pixels that nobody labelled, open the labels with ?ignore={beyond[-1]}"
            )
        return labels


def _stem(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(""))


def _text(path: Path) -> str | None:
    """Return the text of a file, None if there is none."""
    try:
        return read_text(path, LONGEST) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error


def _planes_in(labels: Path) -> tuple[str, ...]:
    """Return the kinds of label, the categories of every vocabulary first."""
    found = sorted(each.name for each in labels.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not found:
        raise BadFile(f"{labels}: holds no folder of label maps; there must be one for each kind of label")
    return tuple(sorted(found, key=lambda name: CATEGORIES.index(name) if name in CATEGORIES else len(CATEGORIES)))
