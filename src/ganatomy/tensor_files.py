"""Named tensors in one ``.npz`` file: written one after the other, read one at a time.

A ``.npz`` is a zip of numpy arrays, which `numpy.load` opens, compressed and with a checksum each. Tables of counts are
mostly small numbers: they take a few times, or many times, less room so. Nothing but the tensor that is asked for is in
memory, whatever the size of the file.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganatomy.execute.memory import available

SUFFIX = ".npz"
LEVEL = 1
"""The fastest compression: others make a file of counts a tenth smaller, in several times the time."""
LARGE = 1 << 28
"""Whether there is memory for an array is looked at if it takes more bytes."""
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, TypeError, KeyError)
"""What becomes of files that are not what `write` wrote."""


class Archive(Mapping[str, Tensor]):
    """The tensors of a file, or of the content of one, each read when it is asked for.

    Attributes:
        shards: how many shards of a step it holds.

    Raises:
        BROKEN: it is damaged; so does each reading.
    """

    def __init__(self, source: Path | bytes) -> None:
        self._source = source
        with self._open() as file:
            self._sizes = {each.filename.removesuffix(".npy"): each.file_size for each in file.infolist()}
            self.shards = int(json.loads(file.comment)["shards"])

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
        return torch.from_numpy(array)

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
        archive.comment = json.dumps({"shards": shards}).encode()
        for name in tensors:
            array = tensors[name].detach().cpu().contiguous().numpy()
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the content of a file of tensors."""
    content = io.BytesIO()
    write(content, tensors)
    return content.getvalue()
