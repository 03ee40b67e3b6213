"""Sets of images by name: a directory, a file, or ``scenes:church``, which are drawn when they are looked at."""

import logging
import os
from pathlib import Path

from ganatomy.errors import BadFile
from ganatomy.pictures.archive import PictureZip
from ganatomy.pictures.broden import Broden, is_broden
from ganatomy.pictures.decoding import SUFFIXES
from ganatomy.pictures.folder import PictureFolder
from ganatomy.pictures.parquet import ParquetPictures, parquet_files
from ganatomy.pictures.protocol import PictureSet
from ganatomy.pictures.rendered import RenderedScenes

_log = logging.getLogger(__name__)
_TOLD: set[str] = set()
"""What was logged in this process."""


def open_pictures(name: str) -> PictureSet:
    """Open a set of images.

    Args:
        name: a directory of images as `PictureFolder` has it, or laid out like Broden; a zip of images; a Parquet
            file with images in it, or a directory of such files; or ``scenes:CATEGORY``.

    Raises:
        BadFile: no such directory or file, no images in it, or what is said of them cannot be read.
        UnknownName: no such category of scenes.

    >>> open_pictures("scenes:church").planes
    ('object', 'part', 'material')

    How many files are not read is logged once; a program that sets up no logging has it on stderr.
    """
    found = _open(name)
    left = f"{found.name}: {getattr(found, 'unread', '')}"
    if getattr(found, "unread", "") and left not in _TOLD:
        _TOLD.add(left)
        _log.warning(left)
    return found


def _open(name: str) -> PictureSet:
    family, _, category = name.partition(":")
    if family == "scenes":
        return RenderedScenes(category)
    path = Path(name)
    if path.is_file():
        return _open_file(path)
    if is_broden(path):
        return Broden(path)
    if path.is_dir() and not _shows(path):
        if (path / "data.mdb").is_file():
            raise BadFile(f"{path}: an LMDB database; export its images to files, as docs/features.md tells")
        if parquet_files(path):
            return ParquetPictures(path)
    return PictureFolder(path)


def _shows(directory: Path) -> bool:
    """Return whether there is an image below a directory."""
    return any(name.lower().endswith(SUFFIXES) for _, _, names in os.walk(directory) for name in names)


def _open_file(path: Path) -> PictureSet:
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    if beginning == b"PAR1":
        return ParquetPictures(path)
    if beginning[:2] == b"PK":
        return PictureZip(path)
    raise BadFile(f"{path}: neither a zip of images nor a Parquet file; give one of these, or a directory of images")
