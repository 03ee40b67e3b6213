"""A zip of images, as the data sets of the StyleGANs are kept: ``faces.zip``."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ganatomy.errors import BadFile
from ganatomy.pictures.files import is_picture, nothing_in, unread
from ganatomy.pictures.unlabelled import CLASSES, LONGEST, VOCABULARY, Unlabelled, listed_classes, owned_by, owners_of
from ganatomy.weights import fingerprint

LARGEST = LONGEST
"""Bytes of an image's file that are believed; a zip may claim to hold any number."""
UNREADABLE = (OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error)
"""What zipfile raises for archives that are cut off, damaged, encrypted or packed in a way that it does not know."""


class PictureZip(Unlabelled):
    """The images in a zip, sorted by name; their fingerprint is of names, sizes and check sums.

    The classes are those that a ``dataset.json`` lists, if there is one, else the folders that the images lie in. The
    outermost folder is the split. Backslashes in names, as some programs of Windows write them, part folders too.

    Attributes:
        unread: how many files in it are not read; empty if all are.

    Raises:
        BadFile: no whole zip, no images in it, or a list of classes that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        try:
            archive = self._archive()
            files = [info for info in archive.infolist() if not info.is_dir() and not _path(info).endswith("/")]
            self._infos = sorted((info for info in files if is_picture(_path(info))), key=_path)
            listed = self._read(archive.getinfo(CLASSES)) if CLASSES in archive.namelist() else None
        except UNREADABLE as error:
            raise BadFile(f"{path}: not a whole zip ({error}); fetch or pack it again") from error
        self.unread = unread(name for name in map(_path, files) if not is_picture(name) and name != CLASSES)
        if not self._infos:
            raise nothing_in(path, self.unread)
        paths = [PurePosixPath(_path(info)) for info in self._infos]
        if VOCABULARY in archive.namelist() and any(each.parts[0] == "labels" for each in paths):
            raise BadFile(f"{path}: holds label maps beside its images, which are read from a folder; unpack it")
        classes = None if listed is None else listed_classes(listed, f"{path}: {CLASSES}")
        owners = owners_of(paths, classes, f"{path}: {CLASSES}")
        splits = [each.parts[0] if each.name != str(each) else "" for each in paths]
        super().__init__(str(path), splits, owned_by(owners))
        content = [(info.filename, info.file_size, info.CRC) for info in self._infos]
        self.fingerprint = fingerprint({}, "zip", content, owners)

    def _contents(self, numbers: Sequence[int]) -> list[tuple[str, bytes]]:
        return [(f"{self._path}: {self._infos[n].filename}", self._read(self._infos[n])) for n in numbers]

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        if info.file_size > LARGEST:
            raise BadFile(f"{self._path}: {info.filename} is of {info.file_size} bytes, too large to be read")
        try:
            return self._archive().read(info)
        except UNREADABLE as error:
            raise BadFile(f"{self._path}: {info.filename} cannot be read ({error}); pack the zip again") from error

    def _archive(self) -> zipfile.ZipFile:
        """Return the archive, opened by this process: others would move its place in the file."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), zipfile.ZipFile(self._path)
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}


def _path(info: zipfile.ZipInfo) -> str:
    """Return the name of an entry with slashes between folders."""
    return info.filename.replace("\\", "/")
