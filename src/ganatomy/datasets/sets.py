"""Datasets of images by name: a directory, a file, or ``scenes:church``, which are rendered on demand."""

import functools
import logging
from pathlib import Path

from ganatomy.core.errors import BadFile
from ganatomy.datasets.archive import ImageZip
from ganatomy.datasets.broden import Broden
from ganatomy.datasets.files import files_below, is_image
from ganatomy.datasets.folder import ImageFolder
from ganatomy.datasets.parquet import ParquetImages, parquet_files
from ganatomy.datasets.protocol import ImageDataset
from ganatomy.datasets.rendered import RenderedScenes

_log = logging.getLogger(__name__)


def open_images(name: str) -> ImageDataset:
    """Open a dataset of images.

    Args:
        name: a directory of images as `ImageFolder` has it, or laid out like Broden; a zip of images; a Parquet file
            with images in it, or a directory of such files; or ``scenes:CATEGORY``.

    Raises:
        BadFile: no such directory or file, no images in it, or its classes or labels cannot be read.
        UnknownName: no such category of scenes.

    >>> open_images("scenes:church").planes
    ('object', 'part', 'material')

    How many files are not read is logged once; a program that sets up no logging has it on stderr.
    """
    dataset = _open(name)
    if unread := getattr(dataset, "unread", ""):
        _log_once(f"{dataset.name}: {unread}")
    return dataset


@functools.cache
def _log_once(message: str) -> None:
    _log.warning(message)


def _open(name: str) -> ImageDataset:
    family, _, category = name.partition(":")
    if family == "scenes":
        return RenderedScenes(category)
    path = Path(name)
    if path.is_file():
        return _open_file(path)
    if (path / "index.csv").is_file():
        return Broden(path)
    if path.is_dir() and not any(is_image(file.name) for file in files_below(path)):
        if (path / "data.mdb").is_file():
            raise BadFile(f"{path}: an LMDB database; export its images to files, as docs/features.md tells")
        if parquet_files(path):
            return ParquetImages(path)
    return ImageFolder(path)


def _open_file(path: Path) -> ImageDataset:
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    if beginning == b"PAR1":
        return ParquetImages(path)
    if beginning[:2] == b"PK":
        return ImageZip(path)
    raise BadFile(f"{path}: neither a zip of images nor a Parquet file; give one of these, or a directory of images")
