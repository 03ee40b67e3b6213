"""Pickles of others, read as data: the functions for the few names that they may call, which `machine` runs."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.core.errors import BadFile
from ganatomy.core.files import require_regular_file
from ganatomy.models.weights.pickle_interpreter import Built, Function, PickleInterpreter, Refused, hashable

CODES = "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"
"""Number formats of numpy that are read."""
LISTED = 4096
"""Numbers of an array that are kept as a list, too."""


@dataclass(frozen=True, eq=False)
class StubObject:
    """An object without its class: the name of the class, and its attributes."""

    kind: str
    state: dict[Any, Any]


def read_pickle(path: Path) -> Any:
    """Read a ``.pkl`` of networks that carry their own source, as the official StyleGAN files do; no code runs.

    Numpy's numbers come as numbers, its arrays as lists, tensors as tensors on the CPU, networks as a `StubObject`.

    Raises:
        BadFile: missing, cut off, or no pickle; or it calls anything else, and what.
    """
    try:
        require_regular_file(path)
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file") from None
    except (OSError, MemoryError) as error:
        raise BadFile(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'too large'})") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # about escapes in text, which is what it is
            return PickleInterpreter(CALLS, 2 * len(data)).run(BytesIO(data))
    except Refused as error:
        raise BadFile(f"{path}: {error}") from None
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:  # what becomes of nonsense
        raise BadFile(f"{path}: not a whole pickle file ({type(error).__name__})") from error


class _Format(Built):
    """A number format of numpy."""

    def __init__(self, code: Any, _align: object = None, _copy: object = None) -> None:
        if code not in CODES:
            raise ValueError
        self.code = code
        self.dtype = np.dtype(code)

    def build(self, *state: Any) -> None:
        """Set the byte order."""
        _, order, *_ = state
        if order not in ("<", ">", "=", "|"):
            raise ValueError
        self.dtype = np.dtype(f"{order}{self.code}")


class Array(list[Any], Built):
    """A numpy array: created empty, then filled; a list of its numbers, too, where there are few."""

    values: npt.NDArray[Any]

    def build(self, *state: Any) -> None:
        """Fill it."""
        _, shape, numbers, fortran, raw = state
        self.values = _numbers(numbers, raw).reshape(shape, order="F" if fortran is True else "C")
        self[:] = np.atleast_1d(self.values).tolist() if self.values.size <= LISTED else []


@dataclass(frozen=True, eq=False)
class Storage:
    """The numbers that tensors are made of."""

    values: Tensor


def _dictionary() -> dict[Any, Any]:  # not dict itself, which would hash what it is given
    return {}


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise TypeError
    return text.encode(encoding)


def _set(values: Any) -> set[Any]:
    return set(map(hashable, values))


def _numbers(numbers: Any, raw: Any) -> npt.NDArray[Any]:
    if not isinstance(numbers, _Format) or not isinstance(raw, bytes | bytearray):
        raise TypeError
    return np.frombuffer(raw, numbers.dtype)


def _scalar(numbers: Any, raw: Any) -> Any:
    return _numbers(numbers, raw).item()


def _array(_kind: object, _shape: object, _code: object) -> Array:
    return Array()


def _array_of_bytes(raw: Any, numbers: Any, shape: Any, order: Any) -> Array:
    array = Array()
    array.build(None, shape, numbers, order == "F", raw)
    return array


def _storage(raw: Any) -> Storage:
    """Read a storage as `torch.save` embeds it in a pickle: five small pickles, a count, and the numbers."""
    file = BytesIO(raw)
    magic, version, system, (dtype, count), keys = (PickleInterpreter(NUMBER_FORMATS, 0).run(file) for _ in range(5))
    if magic != 0x1950A86A20F9469CFC6C or version != 1001 or system["little_endian"] is not True or len(keys) != 1:
        raise ValueError
    written, numbers = int.from_bytes(file.read(8), "little"), bytearray(file.read())
    if written != count or len(numbers) != count * dtype.itemsize:
        raise ValueError
    return Storage(torch.frombuffer(numbers, dtype=dtype) if count else torch.empty(0, dtype=dtype))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: object) -> Tensor:
    """Return the part of a storage that is a tensor; it must lie within, and be no larger."""
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
        raise TypeError
    if 0 in size:
        return storage.values[:0]  # of whatever shape: no network can use it
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(storage.values) or prod(size) > len(storage.values) or len(size) > 8:
        raise ValueError
    steps = [step if n > 1 else 1 for n, step in zip(size, stride, strict=True)]
    return storage.values.as_strided(size, steps, offset)


def _parameter(tensor: Any, *_rest: object) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError
    return tensor


def _stub(meta: Any) -> StubObject:
    """Return an object that comes with the source of its class; the source is left behind."""
    if not isinstance(meta, dict) or not isinstance(meta["class_name"], str) or not isinstance(meta["state"], dict):
        raise TypeError
    return StubObject(meta["class_name"], meta["state"])


NUMBER_FORMATS: Mapping[str, Any] = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
CALLS: dict[str, Any] = {
    "torch_utils.persistence._reconstruct_persistent_obj": Function(_stub),
    "dnnlib.util.EasyDict": Function(_dictionary),
    "collections.OrderedDict": Function(_dictionary),
    "builtins.set": Function(_set),  # up to protocol 3, the default of the Python of StyleGAN2-ADA
    "__builtin__.set": Function(_set),
    "torch.storage._load_from_bytes": Function(_storage),
    "torch._utils._rebuild_tensor_v2": Function(_tensor),
    "torch._utils._rebuild_parameter": Function(_parameter),
    "_codecs.encode": Function(_encoded),  # bytes, up to protocol 2
    "numpy.dtype": Function(_Format),
    "numpy.ndarray": None,  # only ever handed to _reconstruct
}
for _core in ("numpy.core", "numpy._core"):  # before numpy 2, and since
    CALLS[f"{_core}.multiarray.scalar"] = Function(_scalar)
    CALLS[f"{_core}.multiarray._reconstruct"] = Function(_array)
    CALLS[f"{_core}.numeric._frombuffer"] = Function(_array_of_bytes)
