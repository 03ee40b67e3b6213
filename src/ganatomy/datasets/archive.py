"""A zip of images, as the datasets of the StyleGANs are kept."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ganatomy.core.errors import BadFile
from ganatomy.core.files import DAMAGE
from ganatomy.core.fingerprint import fingerprint
from ganatomy.datasets.files import (
    CLASSES,
    LONGEST,
    VOCABULARY,
    Source,
    StoredImages,
    class_labels,
    is_image,
    no_images,
    number_classes,
    split_of,
    unread_note,
)

LARGEST = LONGEST
"""Most bytes of an image; a zip may claim to hold any number."""
UNREADABLE = (*DAMAGE, zipfile.BadZipFile, zlib.error)


class ImageZip(StoredImages):
    """The images in a zip, sorted by name; the fingerprint is of names, sizes and check sums.

    Classes are those of ``dataset.json``, else the folders; the outermost folder is the split. Backslashes in names,
    which some programs of Windows write, separate folders too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        try:
            archive = self._archive()
            files = {_name(info): info for info in archive.infolist() if not _name(info).endswith("/")}
            listed = self._read(archive.getinfo(CLASSES)) if CLASSES in archive.namelist() else None
        except UNREADABLE as error:
            raise BadFile(f"{path}: not a whole zip ({error}); fetch or pack it again") from error
        self.unread = unread_note(name for name in files if name != CLASSES)
        names = sorted(filter(is_image, files))
        if not names:
            raise no_images(path, self.unread)
        self._infos = [files[name] for name in names]
        paths = list(map(PurePosixPath, names))
        if VOCABULARY in archive.namelist() and any(each.parts[0] == "labels" for each in paths):
            raise BadFile(f"{path}: holds label maps beside its images, which are read from a folder; unpack it")
        labels, _ = class_labels(paths, listed, f"{path}: {CLASSES}")
        super().__init__(str(path), list(map(split_of, paths)), *number_classes(labels))
        content = [(info.filename, info.file_size, info.CRC) for info in self._infos]
        self.fingerprint = fingerprint({}, "zip", content, labels)

    def _sources(self, indices: Sequence[int]) -> list[Source]:
        return [(f"{self._path}: {self._infos[i].filename}", self._read(self._infos[i])) for i in indices]

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        if info.file_size > LARGEST:
            raise BadFile(f"{self._path}: {info.filename} is of {info.file_size} bytes, too large to be read")
        try:
            return self._archive().read(info)
        except UNREADABLE as error:
            raise BadFile(f"{self._path}: {info.filename} cannot be read ({error}); pack the zip again") from error

    def _archive(self) -> zipfile.ZipFile:
        """Return the archive, opened by this process: a forked one would move its position in the file."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), zipfile.ZipFile(self._path)
        return self._opened[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/")
