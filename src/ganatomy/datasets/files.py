"""Stored images and label maps, resized: images by antialiased bilinear interpolation, labels by nearest neighbour."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ganatomy.core.errors import BadFile, BadValue, UnknownName
from ganatomy.core.files import loads_json
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.core.vocabulary import NOTHING, Vocabulary
from ganatomy.datasets.decoding import SUFFIXES, opened, packed_as, rgb, upright, upright_size
from ganatomy.datasets.protocol import CropSpec

Ints = npt.NDArray[np.int64]
ClassLabel = int | str
Source = tuple[str, Path | bytes]
"""The name of an image in messages; its file, or the bytes of one."""
CLASSES = "dataset.json"
"""The file in which the datasets of the StyleGANs list the class of each image."""
VOCABULARY = "vocabulary.json"
"""The file that lists the concepts of label maps."""
LONGEST = 1 << 28
"""Most bytes of a table, a list of classes, or an image in an archive."""
GREY_FACTORS = {"L;2": 85, "L;4": 17}
"""By what Pillow multiplies grey values of 2 and 4 bits."""


class StoredImages(ABC):
    """Encoded images in a fixed order, each with a split ("" for none) and a class (-1 for none).

    Samples are taken in a random order that depends on the seed and the split.
    """

    vocabulary: Vocabulary = (NOTHING,)
    planes: tuple[str, ...] = ()

    def __init__(self, name: str, splits: Sequence[str], classes: tuple[str, ...], class_ids: Sequence[int]) -> None:
        self.name, self.classes = name, classes
        self._splits, self._class_ids = splits, class_ids
        self._orders: dict[tuple[int, str], list[int]] = {}

    def sample_indices(self, ids: range, seed: int, split: str = "") -> list[int]:
        """Return the indices of a sample's images: those of the split, permuted by the seed."""
        if split and split not in self._splits:
            raise UnknownName(f"split of {self.name}", split, dict.fromkeys(self._splits))
        if (seed, split) not in self._orders:
            members = [i for i, each in enumerate(self._splits) if split in ("", each)]
            permutation = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed))
            self._orders[seed, split] = [members[i] for i in permutation.tolist()]
        order = self._orders[seed, split]
        if ids and (ids.stop > len(order) or ids.start < 0):
            where = f" in its split {split}" if split else ""
            raise BadValue(
                f"the sample takes {ids.stop} images and {self.name} has {len(order)}{where}; ask for fewer (--reals "
                "where they are compared with; a dissection takes twice --images, and with validation=cross just those)"
            )
        return order[ids.start : ids.stop : ids.step]

    def images(self, indices: Sequence[int], crop: CropSpec) -> Images:
        """Return images [b, 3, height, width] in [-1, 1]."""
        images = torch.zeros(len(indices), 3, *crop.shape)
        for row, (name, source) in zip(images, self._sources(indices), strict=True):
            row[:] = decode_image(source, name, crop)
        return images

    def side(self, index: int) -> int:
        """Return the shorter side of an image, in pixels."""
        ((name, source),) = self._sources([index])
        with opened(source, name) as image:
            return min(image.size)

    def labels(self, indices: Sequence[int], crop: CropSpec) -> Labels:
        """Return label maps [b, plane, height, width], each pixel the label at its centre."""
        labels = np.zeros((len(indices), len(self.planes), *crop.shape), np.int64)
        if not self.planes:
            return torch.from_numpy(labels)
        for row, index, (name, source) in zip(labels, indices, self._sources(indices), strict=True):
            with opened(source, name) as image:
                size = upright_size(image)
            for plane, found in zip(row, self._label_planes(index), strict=True):
                plane[:] = found if isinstance(found, int) else cropped_labels(found, size, crop, name)
        return torch.from_numpy(labels)

    def class_ids(self, indices: Sequence[int]) -> list[int]:
        """Return the class of each image."""
        return [self._class_ids[i] for i in indices]

    @abstractmethod
    def _sources(self, indices: Sequence[int]) -> Sequence[Source]:
        """Return the files of images."""

    def _label_planes(self, index: int) -> Sequence[Ints | int]:
        """Return each label plane of an image: a map of concepts, or the one concept of the whole image."""
        raise NotImplementedError(index)


def number_classes(labels: Sequence[ClassLabel | None]) -> tuple[tuple[str, ...], list[int]]:
    """Return the class names in the order of their numbers or words, and the class of each image; "" and None are none.

    >>> number_classes(["dog", "", "cat"]), number_classes([10, 9, None])
    ((('cat', 'dog'), [1, -1, 0]), (('9', '10'), [1, 0, -1]))
    """
    known = {label for label in labels if label not in ("", None)}
    ordered = sorted(known, key=lambda label: (isinstance(label, str), label))
    index: dict[ClassLabel | None, int] = {label: i for i, label in enumerate(ordered)}
    return tuple(map(str, ordered)), [index.get(label, -1) for label in labels]


def split_of(path: PurePosixPath) -> str:
    """Return the outermost folder of a path; "" for none."""
    return path.parts[0] if len(path.parts) > 1 else ""


def class_labels(
    paths: Sequence[PurePosixPath], listed: bytes | str | None, source: str
) -> tuple[list[ClassLabel | None], bool]:
    """Return the class of each image, and whether a list says so; without a list it is the folder that it lies in.

    The list is ``{"labels": [["00000/img00000000.png", 5], …]}``, or null in the place of the inner list; a class may
    be a word. Where labels are vectors there are no classes.
    """
    if listed is None:
        return [path.parent.name for path in paths], False
    try:
        labels: Mapping[str, ClassLabel] = dict(loads_json(listed).get("labels") or ())
    except (ValueError, TypeError, AttributeError) as error:
        raise BadFile(f'{source}: not {{"labels": [[file, class], …]}} ({error})') from error
    if not all(isinstance(label, int | str) for label in labels.values()):
        labels = {}
    if labels and not any(str(path) in labels for path in paths):
        raise BadFile(f"{source}: lists classes of files such as {next(iter(labels))}, and none of them is here")
    return [labels.get(str(path)) for path in paths], True


def files_below(root: Path) -> Iterator[Path]:
    """Yield the files below a directory, but for those in hidden folders; links to directories are not followed."""
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        yield from (Path(folder, name) for name in names)


def sizes_below(root: Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, int]:
    """Return the bytes of the files of these kinds below a directory, by path, sorted; without hidden ones."""
    sizes = {}
    for path in files_below(root):
        if not path.name.startswith(".") and path.name.lower().endswith(suffixes):
            if not path.is_file():
                raise BadFile(f"{path}: no file, or a link to none; mend it, or take it out")
            sizes[path.relative_to(root).as_posix()] = path.stat().st_size
    return dict(sorted(sizes.items()))


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def is_image(path: str) -> bool:
    """Return whether a file is taken for an image by its name: not if it or a folder is hidden, or macOS's own."""
    return path.lower().endswith(SUFFIXES) and not _is_hidden(PurePosixPath(path))


def unread_note(paths: Iterable[str]) -> str:
    """Return how many of these files are no images, and of which kinds; of hidden ones, those with an image's ending.

    >>> unread_note(["a.heic", "b.HEIC", "notes", "c.png", "._a.jpg", ".DS_Store"])
    '4 files were not read: 2 .heic, 1 without an ending, 1 hidden'
    """
    kinds: Counter[str] = Counter()
    for path in (PurePosixPath(each) for each in paths if not is_image(each)):
        if not _is_hidden(path):
            kinds[path.suffix.lower() or "without an ending"] += 1
        elif path.name.lower().endswith(SUFFIXES):
            kinds["hidden"] += 1
    if not kinds:
        return ""
    total = kinds.total()
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{total} file{'s were' if total > 1 else ' was'} not read: {listed}"


def no_images(where: Path | str, unread: str) -> BadFile:
    """Return the error of a place without images, with a note on the files that are there."""
    return BadFile(f"{where}: no images in it ({', '.join(SUFFIXES)})" + (f"; {unread}" if unread else ""))


def decode_image(source: Path | bytes, name: str, crop: CropSpec) -> Float[Tensor, "3 h w"]:
    """Return an image [3, height, width] in [-1, 1] from its file, or the bytes of one."""
    with opened(source, name) as image:
        image = rgb(image, name)
        height, width = crop.shape
        small = image.resize((width, height), Image.Resampling.BILINEAR, crop.box(*image.size))
        return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1


def read_map(path: Path) -> Ints:
    """Return a label map [h, w] of grey values or palette indices, or [h, w, 3] if it is in colour; upright."""
    with opened(path, path) as image:
        factor = GREY_FACTORS.get(packed_as(image), 1)
        image = upright(image)
        return np.array(image.convert("RGB") if image.mode == "RGBA" else image, dtype=np.int64) // factor


def cropped_labels(labels: Ints, size: tuple[int, int], crop: CropSpec, name: str) -> Ints:
    """Return the crop of a label map, which may be finer or coarser than its image of that width and height."""
    height, width = labels.shape
    if abs(width / size[0] - height / size[1]) * min(size) > 1.5:  # coarser sides are rounded
        raise BadFile(
            f"{name} is {size[0]} × {size[1]} pixels, turned as its EXIF orientation says, and its label map {width} "
            f"× {height}; they must be of one shape, in any two sizes, and the map turned as the image is seen"
        )

    def at(first: float, last: float, source: int, count: int) -> Ints:
        """Return which of `source` positions lies under each of `count` centres between two shares of the side."""
        centres = (first + (np.arange(count) + 0.5) * (last - first) / count) * source
        return centres.astype(np.int64).clip(0, source - 1)

    left, top, right, bottom = crop.box(*size)
    columns = at(left / size[0], right / size[0], width, crop.shape[1])
    rows = at(top / size[1], bottom / size[1], height, crop.shape[0])
    return labels[rows[:, None], columns]
