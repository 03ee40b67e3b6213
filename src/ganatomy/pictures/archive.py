"""A zip of pictures, as the data sets of the StyleGANs are kept: ``faces.zip``."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ganatomy.errors import BadFile
from ganatomy.pictures.decoding import SUFFIXES
from ganatomy.pictures.unlabelled import CLASSES, LONGEST, Unlabelled, listed_classes, owned_by
from ganatomy.weights import fingerprint

LARGEST = LONGEST
"""Bytes of a picture's file that are believed; a zip may claim to hold any number."""
UNREADABLE = (OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error)
"""What zipfile raises for archives that are cut off, damaged, encrypted or packed in a way that it does not know."""


class PictureZip(Unlabelled):
    """The pictures in a zip, sorted by name; their fingerprint is of names, sizes and check sums.

    The classes are those that a ``dataset.json`` lists, if there is one, else the folders that the pictures lie in. The
    outermost folder is the split.

    Raises:
        BadFile: no whole zip, no pictures in it, or a list of classes that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        try:
            archive = self._archive()
            self._infos = sorted(filter(_shows, archive.infolist()), key=lambda info: info.filename)
            listed = self._read(archive.getinfo(CLASSES)) if CLASSES in archive.namelist() else None
        except UNREADABLE as error:
            raise BadFile(f"{path}: not a whole zip ({error}); fetch or pack it again") from error
        if not self._infos:
            raise BadFile(f"{path}: no pictures in it (.jpg, .png, …)")
        files = [PurePosixPath(info.filename) for info in self._infos]
        classes = None if listed is None else listed_classes(listed, f"{path}: {CLASSES}")
        owners = [file.parent.name if classes is None else classes.get(str(file)) for file in files]
        splits = [file.parts[0] if file.name != str(file) else "" for file in files]
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


def _shows(info: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a picture, and not hidden, as folders of macOS are."""
    parts = PurePosixPath(info.filename).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not info.is_dir() and not hidden and info.filename.lower().endswith(SUFFIXES)
