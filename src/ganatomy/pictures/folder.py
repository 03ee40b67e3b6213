"""A folder of pictures, with label maps beside them if there are any.

::

    DIR/images/…/NAME.jpg            pictures; the folder that one lies in is its class, the outermost its split
    DIR/labels/PLANE/…/NAME.png      index maps, 8 or 16 bit, at the same path below; one folder for each kind of label
    DIR/vocabulary.json              what the indices mean: a list of [name, category], the first of them nothing

This is what ``ganatomy scenes render`` writes. A directory without ``images`` holds pictures and no labels. Where there
is a ``dataset.json`` beside the pictures, as in the data sets of the StyleGANs, the classes are those that it lists.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ganatomy.errors import BadFile
from ganatomy.files import read_text
from ganatomy.pictures.files import Ints, PictureFiles, found_under, read_map
from ganatomy.pictures.unlabelled import CLASSES, LONGEST, listed_classes, owned_by
from ganatomy.vocabulary import CATEGORIES, NOTHING, Vocabulary, read_vocabulary
from ganatomy.weights import fingerprint


class PictureFolder(PictureFiles):
    """The pictures of a directory; their fingerprint is of the paths and sizes of all files, and of the vocabulary.

    Raises:
        BadFile: no pictures, label maps without a vocabulary, or a picture without its label map.
    """

    def __init__(self, directory: Path) -> None:
        root = directory / "images" if (directory / "images").is_dir() else directory
        if not root.is_dir():
            raise BadFile(f"{directory}: no such directory")
        sizes = found_under(root)
        if not sizes:
            raise BadFile(f"{root}: no pictures in it (.jpg, .png, …)")
        paths = [PurePosixPath(file) for file in sizes]
        super().__init__(str(directory), root, list(sizes), [path.parts[0] if path.name else "" for path in paths])
        listed = root / CLASSES
        classes = listed_classes(_text(listed), str(listed)) if listed.is_file() else None
        owners = [path.parent.name if classes is None else classes.get(str(path)) for path in paths]
        self.classes, self._classes = owned_by(owners)
        self._labels = directory / "labels"
        self.vocabulary: Vocabulary = (NOTHING,)
        self.planes = ()
        if root != directory and self._labels.is_dir():
            self.vocabulary = read_vocabulary(directory / "vocabulary.json")
            self.planes = _planes_in(self._labels)
        maps = {plane: found_under(self._labels / plane, (".png",)) for plane in self.planes}
        self._check(maps)
        told = () if classes is None else (owners,)
        self.fingerprint = fingerprint({}, "folder", sizes, maps, self.vocabulary, *told)

    def truth(self, numbers: Sequence[int]) -> list[int]:
        """Return the class of each picture: the folder that it lies in."""
        return [self._classes[n] for n in numbers]

    def _planes(self, number: int) -> list[Ints | int]:
        return [self._map(self._map_path(plane, self._files[number])) for plane in self.planes]

    def _map(self, path: Path) -> Ints:
        labels = read_map(path)
        if labels.ndim != 2:
            raise BadFile(f"{path}: is in colour; a label map has indices in 8 or 16 bit grey, or a palette")
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.vocabulary):
            raise BadFile(f"{path}: has label {labels.max()}; the vocabulary has 0 to {len(self.vocabulary) - 1}")
        return labels

    def _map_path(self, plane: str, file: str) -> Path:
        return self._labels / plane / PurePosixPath(file).with_suffix(".png")

    def _check(self, maps: dict[str, dict[str, int]]) -> None:
        for plane, found in maps.items():
            for file in self._files:
                if str(PurePosixPath(file).with_suffix(".png")) not in found:
                    raise BadFile(
                        f"{self._map_path(plane, file)}: no such label map; every picture needs one in every plane, "
                        "all 0 where it shows nothing of that kind"
                    )


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
