"""A folder of images, with label maps beside them if there are any.

::

    DIR/images/…/NAME.jpg            images; the folder that one lies in is its class, the outermost its split
    DIR/labels/PLANE/…/NAME.png      index maps, 8 or 16 bit, at the same path below; one folder for each kind of label
    DIR/vocabulary.json              what the indices mean: a list of [name, category], the first of them nothing

This is what ``ganatomy scenes render`` writes. A label map lies over its image as that is seen, turned as the EXIF
orientation of the image says; a map may have an orientation of its own. A directory without ``images`` holds images
and no labels. Where there is a ``dataset.json`` beside the images, as in the data sets of the StyleGANs, the classes
are those that it lists.
"""

import copy
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ganatomy.errors import BadFile
from ganatomy.files import read_text
from ganatomy.pictures.files import Ints, PictureFiles, found_under, nothing_in, read_map, unread_under
from ganatomy.pictures.unlabelled import CLASSES, LONGEST, VOCABULARY, listed_classes, owned_by, owners_of
from ganatomy.vocabulary import CATEGORIES, NOTHING, Vocabulary, read_vocabulary
from ganatomy.weights import fingerprint


class PictureFolder(PictureFiles):
    """The images of a directory; their fingerprint is of the paths and sizes of all files, and of the vocabulary.

    Attributes:
        unread: how many files beside the images are not read; empty if all are.

    Raises:
        BadFile: no images, label maps without a vocabulary, or an image without its label map.
    """

    def __init__(self, directory: Path) -> None:
        root = directory / "images" if (directory / "images").is_dir() else directory
        if not root.is_dir():
            raise BadFile(f"{directory}: no such directory")
        sizes, self.unread = found_under(root), unread_under(root, CLASSES)
        if not sizes:
            raise nothing_in(root, self.unread)
        if root == directory and (directory / VOCABULARY).is_file() and (directory / "labels").is_dir():
            raise BadFile(f"{directory}: holds labels and {VOCABULARY}, but no folder images; put its images there")
        paths = [PurePosixPath(file) for file in sizes]
        super().__init__(str(directory), root, list(sizes), [path.parts[0] if path.name else "" for path in paths])
        listed = root / CLASSES
        classes = listed_classes(_text(listed), str(listed)) if listed.is_file() else None
        owners = owners_of(paths, classes, str(listed))
        self.classes, self._classes = owned_by(owners)
        self._labels = directory / "labels"
        self.vocabulary: Vocabulary = (NOTHING,)
        self.planes = ()
        if root != directory and self._labels.is_dir():
            self.vocabulary = read_vocabulary(directory / VOCABULARY)
            self.planes = _planes_in(self._labels)
        self._ignored: tuple[int, ...] = ()
        maps = {plane: found_under(self._labels / plane, (".png",)) for plane in self.planes}
        self._maps = {plane: {_stem(file): file for file in found} for plane, found in maps.items()}
        self._check()
        told = () if classes is None else (owners,)
        self.fingerprint = fingerprint({}, "folder", sizes, maps, self.vocabulary, *told)

    def truth(self, numbers: Sequence[int]) -> list[int]:
        """Return the class of each image: the folder that it lies in."""
        return [self._classes[n] for n in numbers]

    def ignoring(self, labels: Sequence[int]) -> "PictureFolder":
        """Return the same images, with some numbers in the label maps that mean nothing, such as 255."""
        other = copy.copy(self)
        other._ignored = tuple(labels)
        return other

    def _planes(self, number: int) -> list[Ints | int]:
        return [self._map(self._map_path(plane, self._files[number])) for plane in self.planes]

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

    def _map_path(self, plane: str, file: str) -> Path:
        found = self._maps[plane].get(_stem(file))
        return self._labels / plane / (found or f"{_stem(file)}.png")

    def _check(self) -> None:
        for plane in self.planes:
            for file in self._files:
                if _stem(file) not in self._maps[plane]:
                    raise BadFile(
                        f"{self._map_path(plane, file)}: no such label map; every image needs one in every plane, "
                        "all 0 where it shows nothing of that kind"
                    )


def _stem(file: str) -> str:
    """Return a path without its ending."""
    return str(PurePosixPath(file).with_suffix(""))


def _text(path: Path) -> str:
    try:
        return read_text(path, LONGEST)
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error


def _planes_in(labels: Path) -> tuple[str, ...]:
    """Return the kinds of label, those that every vocabulary knows first."""
    found = sorted(each.name for each in labels.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not found:
        raise BadFile(f"{labels}: holds no folder of label maps; there must be one for each kind of label")
    return tuple(sorted(found, key=lambda name: CATEGORIES.index(name) if name in CATEGORIES else len(CATEGORIES)))
