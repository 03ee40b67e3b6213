"""Zips of PyTorch: pickles, and the numbers of their tensors in separate files."""

import contextlib
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from ganatomy.core.errors import BadFile
from ganatomy.core.files import DAMAGE, MOST, check_zip_ratio
from ganatomy.models.weights.pickle_interpreter import PickleInterpreter, Refused
from ganatomy.models.weights.pickles import CALLS, NUMBER_FORMATS, Storage, read_pickle
from ganatomy.models.weights.readers import KINDS, hint, kind_of, what_opens

AGAIN = 4
"""How many times all that is in an archive may be read, beyond `MOST` bytes."""


class ArchiveReader:
    """The files of an archive, by their names without the folder that holds them all."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        names = archive.namelist()
        root = names[0].partition("/")[0] + "/" if names else ""
        bare = root if all(name.startswith(root) for name in names) else ""
        self.names = {name.removeprefix(bare): name for name in names}
        self._left = AGAIN * sum(each.file_size for each in archive.infolist()) + MOST

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        self._left -= self._archive.getinfo(self.names[name]).file_size
        if self._left < 0:
            raise ValueError(f"asks for {name} and others again and again")
        return self._archive.read(self.names[name])


@contextlib.contextmanager
def open_archive(path: Path, what: str, writer: str) -> Iterator[ArchiveReader]:
    """Open a zip; errors while it is read become a BadFile that says what it should be and who writes it."""
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            check_zip_ratio(archive, path.stat().st_size)
            yield ArchiveReader(archive)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise BadFile(f"{path}: not a whole {what} ({error}){hint(path)}") from error
    except pickle.UnpicklingError as error:
        raise BadFile(f"{path}: holds pickles of something other than tensors, which are not loaded") from error
    except Refused as error:
        raise BadFile(f"{path}: {error}") from None
    except (*DAMAGE, SyntaxError) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise BadFile(f"{path}: not a file as {writer} writes it ({reason})") from error


class ArchivedPickle(PickleInterpreter):
    """A pickle in a zip, whose tensors have their numbers in files of a folder next to it."""

    def __init__(
        self, entries: ArchiveReader, name: str, calls: Mapping[str, Any], budget: int = 0, *, empty: bool = False
    ) -> None:
        super().__init__(calls, budget)
        self._entries, self._name, self._empty = entries, name, empty
        self._storages: dict[str, Storage] = {}

    def read(self) -> Any:
        """Return the content of the pickle."""
        return self.run(BytesIO(self._entries.read(f"{self._name}.pkl")))

    def locate(self) -> None:
        """Push a storage; each is read once."""
        ((kind, dtype, key, _, count),) = self.pop(1)
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise TypeError
        if key not in self._storages:
            raw = bytearray() if self._empty else bytearray(self._entries.read(f"{self._name}/{key}"))
            if len(raw) != count * dtype.itemsize and not self._empty:
                raise ValueError(f"{self._name}/{key} has {len(raw)} bytes")
            self._storages[key] = Storage(torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype))
        self._stack.append(self._storages[key])


def read_objects(path: Path) -> Any:
    """Read networks that carry their own source, from a ``.pkl`` or from what torch.save made of them.

    Numbers, arrays, tensors and networks come as `read_pickle` has them.

    Raises:
        BadFile: missing, cut off, or holding something else; says what, and what opens it.
    """
    kind = kind_of(path)
    if kind == "torch" and zipfile.is_zipfile(path):
        with open_archive(path, "file of torch.save", "torch.save") as entries:
            return ArchivedPickle(entries, "data", {**NUMBER_FORMATS, **CALLS}, 2 * path.stat().st_size).read()
    if kind in (*KINDS, "script", "program") and kind != "pickle":
        raise BadFile(f"{path}: holds no networks of an official StyleGAN file; {what_opens(path, kind)}")
    return read_pickle(path)
