"""Named tensors in one ``.npz`` file: written one after the other, read one at a time.

A ``.npz`` is a zip of numpy arrays, which `numpy.load` opens, compressed and with a checksum each. Tables of counts are
mostly small numbers: they take a few times, or many times, less room so. Of large tables the first bytes of all numbers
of a row are kept together, then the second ones, and so on: that takes 1.6 times less room again, and less time.
Nothing but the tensor that is asked for is in memory, whatever the size of the file.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.engines.memory import available

SUFFIX = ".npz"
LEVEL = 1
"""The fastest compression: others make a file of counts a tenth smaller, in several times the time."""
PLANES = 1 << 16
"""Integers of a table of so many bytes, and of three dimensions or more, are kept byte by byte."""
LARGE = 1 << 28
"""Whether there is memory for an array is looked at if it takes more bytes."""
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, TypeError, KeyError)
"""What becomes of files that are not what `write` wrote."""


class Archive(Mapping[str, Tensor]):
    """The tensors of a file, or of the content of one, each read when it is asked for.

    Attributes:
        shards: how many shards of a step it holds.
    """

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        with self._open() as file:
            self._sizes = {each.filename.removesuffix(".npy"): each.file_size for each in file.infolist()}
            about = json.loads(file.comment)
            self.shards, self._planes = int(about["shards"]), dict(about.get("planes", {}))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._sizes:
            raise KeyError(name)
        if self._sizes[name] > LARGE:  # a small file may hold a large array of zeros
            free = available()
            if free is not None and self._sizes[name] > free:
                raise MemoryError(f"{name} takes {self._sizes[name]} bytes, and {free} are free")
        with self._open() as file, file.open(f"{name}.npy") as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
            if member.read(1):
                raise ValueError(f"{name} goes on after its end")
        return torch.from_numpy(_joined(array, self._planes[name]) if name in self._planes else array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def nbytes(self) -> int:
        """How much memory all of them take."""
        return sum(self._sizes.values())

    def _open(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source)


def write(file: Path | io.BytesIO, tensors: Mapping[str, Tensor], shards: int = 0) -> None:
    """Write tensors one after the other; the same ones make the same bytes.

    Args:
        file: where to.
        tensors: by name; each is asked for once.
        shards: how many shards of a step they hold.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        planes = {}
        for name in tensors:
            array = tensors[name].detach().cpu().contiguous().numpy()
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if array.dtype.kind == "i" and array.ndim > 2 and array.nbytes >= PLANES:
                    planes[name] = array.dtype.str
                    _write_planes(member, array)
                else:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        archive.comment = json.dumps({"shards": shards, **({"planes": planes} if planes else {})}).encode()


def _write_planes(member: Any, array: npt.NDArray[Any]) -> None:
    """Write a table [..., m, n] to a member of a zip as bytes [..., m, itemsize, n], some of it at a time."""
    shape = (*array.shape[:-1], array.itemsize, array.shape[-1])
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)
    for row in array.reshape(-1, *array.shape[-2:]):
        member.write(row.view(np.uint8).reshape(*row.shape, -1).swapaxes(-1, -2).tobytes())


def _joined(planes: npt.NDArray[Any], kind: str) -> npt.NDArray[Any]:
    """Return the table that was written as bytes; in the memory that those take."""
    if planes.dtype != np.uint8 or planes.ndim < 3 or planes.shape[-2] != np.dtype(kind).itemsize:
        raise ValueError("bytes of another kind of number")
    for row in planes.reshape(-1, *planes.shape[-3:]):
        row.reshape(-1)[:] = np.ascontiguousarray(row.swapaxes(-1, -2)).reshape(-1)
    return planes.reshape(*planes.shape[:-2], planes.shape[-1] * planes.shape[-2]).view(kind)


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the content of a file of tensors."""
    content = io.BytesIO()
    write(content, tensors)
    return content.getvalue()
