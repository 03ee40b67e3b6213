"""Pickles that others wrote, read as data. A pickle is a program; here it runs on a machine that can do very little.

Python's own unpickler is not used: it imports what a file names, sets attributes, and hashes whatever a file builds.
The machine below knows numbers, text, bytes, lists, tuples, and sets and dictionaries of names and numbers. It calls a
few names only, each of which stands for a function of this file; what they are elsewhere is never imported or called.
Everything else is refused by name. What it builds takes memory in proportion to the file.
"""

import pickletools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.errors import BadFile
from ganatomy.files import plain_file

Call = Callable[..., Any]

CODES = "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"
"""Number formats of numpy that are read."""
LISTED = 4096
"""Numbers of an array that are kept as a list, too."""


@dataclass(frozen=True, eq=False)
class Foreign:
    """An object whose class is not here: the name of the class, and the attributes that it had."""

    kind: str
    state: dict[Any, Any]


def read_pickle(path: Path) -> Any:
    """Read a ``.pkl`` of networks that carry their own source, as the official StyleGAN files do; no code runs.

    Numpy's numbers come as numbers, its arrays as lists, tensors as tensors on the CPU, networks as a `Foreign`.

    Raises:
        BadFile: missing, cut off, or no pickle; or it calls anything else, and what.
    """
    try:
        plain_file(path)
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file") from None
    except (OSError, MemoryError) as error:
        raise BadFile(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'too large'})") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # about escapes in text, which is what it is
            return Machine(CALLS, 2 * len(data)).run(BytesIO(data))
    except Refused as error:
        raise BadFile(f"{path}: {error}") from None
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:  # what becomes of nonsense
        raise BadFile(f"{path}: not a whole pickle file ({type(error).__name__})") from error


class Refused(Exception):
    """What a pickle asks for and does not get."""


_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_NEW: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_FETCH = {"GET", "BINGET", "LONG_BINGET"}
_STORE = {"PUT", "BINPUT", "LONG_BINPUT"}
_NOTHING = {"PROTO", "FRAME", "STOP"}


class Machine:
    """The stack, the marks in it and the memo of a pickle, and what its instructions do to them.

    Args:
        calls: what names stand for.
        budget: how many bytes of data may be made into numbers and tensors; the same bytes can be handed over again
            and again, so a small file could ask for much.
    """

    def __init__(self, calls: Mapping[str, Any], budget: int) -> None:
        self._calls, self._budget = calls, budget
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: BytesIO) -> Any:
        """Run one pickle from where the file stands; return what it leaves. The file then stands behind it."""
        instructions: Iterator[tuple[Any, Any, Any]] = pickletools.genops(file)
        for opcode, argument, _ in instructions:
            name = opcode.name
            if name in _LITERALS:
                self._stack.append(argument)
            elif name in _NEW:
                self._stack.append(_NEW[name]())
            elif name in _FETCH:
                self._stack.append(self._memo[argument])
            elif name in _STORE:
                self._memo[argument] = self._stack[-1]
            elif name in ("GLOBAL", "INST"):
                self._stack.append(self._find(*argument.split(" ", 1)))
            elif name in _STEPS:
                _STEPS[name](self)
            elif name not in _NOTHING:
                raise Refused(f"a pickle with the instruction {name}, which no file of networks needs")
        return self._stack[-1]

    def pop(self, count: int) -> list[Any]:
        """Take the last values off the stack."""
        start = len(self._stack) - count
        if start < (self._marks[-1] if self._marks else 0):
            raise IndexError
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def pop_marked(self) -> list[Any]:
        """Take what was pushed since the last mark off the stack."""
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def mark(self) -> None:
        """Note where the stack ends."""
        self._marks.append(len(self._stack))

    def memoize(self) -> None:
        """Number the last value."""
        self._memo[len(self._memo)] = self._stack[-1]

    def push_tuple(self, values: list[Any]) -> None:
        """Push a tuple."""
        self._stack.append(tuple(values))

    def push_list(self, values: list[Any]) -> None:
        """Push a list."""
        self._stack.append(values)

    def push_dict(self, values: list[Any]) -> None:
        """Push a dictionary of keys that alternate with their values."""
        self._stack.append({})
        self.put(values)

    def find(self) -> None:
        """Push what the two names on the stack stand for."""
        self._stack.append(self._find(*self.pop(2)))

    def call(self) -> None:
        """Call a function of this file."""
        function, arguments = self.pop(2)
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise TypeError
        self._spend(arguments)
        self._stack.append(function.body(*arguments))
        self._spend(tuple(self._stack[-1:]))

    def build(self) -> None:
        """Give an array or a number format the rest of what it is; a state dict has versions of modules beside it."""
        target, state = self.pop(2)
        if isinstance(target, dict) and isinstance(state, dict) and state.keys() <= {"_metadata"}:
            self._stack.append(target)
            return
        if not isinstance(target, Array | _Format) or not isinstance(state, tuple):
            raise TypeError
        self._spend(state)
        target.build(*state)
        self._stack.append(target)

    def extend(self, values: list[Any]) -> None:
        """Add to the list on the stack."""
        if type(self._stack[-1]) is not list:
            raise TypeError
        self._stack[-1].extend(values)

    def add(self, values: list[Any]) -> None:
        """Add to the set on the stack."""
        if type(self._stack[-1]) is not set:
            raise TypeError
        self._stack[-1].update(map(_key, values))

    def put(self, values: list[Any]) -> None:
        """Set keys, which alternate with their values, of the dictionary on the stack."""
        if type(self._stack[-1]) is not dict:
            raise TypeError
        self._stack[-1].update(zip(map(_key, values[::2]), values[1::2], strict=True))

    def locate(self) -> None:
        """Read which storage of a storage file is meant: the number format and how many there are."""
        ((kind, dtype, _, _, count, *view),) = self.pop(1)
        if (
            kind != "storage"
            or not isinstance(dtype, torch.dtype)
            or type(count) is not int
            or view not in ([], [None])
        ):
            raise TypeError
        self._stack.append((dtype, count))

    def _find(self, module: Any, name: Any) -> Any:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError
        if module == "dnnlib.tflib.network":
            raise Refused(
                "holds TensorFlow networks; convert it first, with legacy.py of the official PyTorch code: "
                "python legacy.py --source=old.pkl --dest=new.pkl"
            )
        called = f"{module}.{name}"
        if called not in self._calls:
            raise Refused(f"a pickle that calls {called[:80]!a}, which may be code; nothing of it was run")
        return self._calls[called]

    def _spend(self, values: tuple[Any, ...]) -> None:
        self._budget -= sum(len(each) for each in values if isinstance(each, bytes | bytearray))
        if self._budget < 0:
            raise Refused("a pickle that would unfold to many times its size")


def _key(value: Any) -> Any:
    """Return what may be a key: its hash costs nothing and collides with few, and there is nothing inside it."""
    if type(value) is str or (type(value) is int and abs(value) < 1 << 60):
        return value
    raise TypeError


_STEPS: Mapping[str, Callable[[Machine], None]] = {
    "MARK": Machine.mark,
    "MEMOIZE": Machine.memoize,
    "LIST": lambda machine: machine.push_list(machine.pop_marked()),
    "DICT": lambda machine: machine.push_dict(machine.pop_marked()),
    "STACK_GLOBAL": Machine.find,
    "REDUCE": Machine.call,
    "NEWOBJ": Machine.call,
    "BUILD": lambda machine: machine.build(),
    "BINPERSID": lambda machine: machine.locate(),
    "TUPLE1": lambda machine: machine.push_tuple(machine.pop(1)),
    "TUPLE2": lambda machine: machine.push_tuple(machine.pop(2)),
    "TUPLE3": lambda machine: machine.push_tuple(machine.pop(3)),
    "TUPLE": lambda machine: machine.push_tuple(machine.pop_marked()),
    "APPEND": lambda machine: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine: machine.extend(machine.pop_marked()),
    "ADDITEMS": lambda machine: machine.add(machine.pop_marked()),
    "SETITEM": lambda machine: machine.put(machine.pop(2)),
    "SETITEMS": lambda machine: machine.put(machine.pop_marked()),
}


@dataclass(frozen=True)
class Function:
    """What a name in a pickle stands for; not callable itself, so that only `Machine.call` calls it."""

    body: Call


class _Format:
    """A number format of numpy."""

    def __init__(self, code: Any, _align: object = None, _copy: object = None) -> None:
        if code not in CODES:
            raise ValueError
        self.code = code
        self.dtype = np.dtype(code)

    def build(self, _version: object, order: Any, *_rest: object) -> None:
        """Say in which order its bytes come."""
        if order not in ("<", ">", "=", "|"):
            raise ValueError
        self.dtype = np.dtype(f"{order}{self.code}")


class Array(list[Any]):
    """An array of numpy: empty when it is made, then given its numbers; as a list, too, where there are few."""

    values: npt.NDArray[Any]

    def build(self, _version: object, shape: Any, numbers: Any, fortran: Any, raw: Any) -> None:
        """Fill it."""
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
    return set(map(_key, values))


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
    """Read a storage as `torch.save` writes it to go into a pickle: five small pickles, a count, and the numbers."""
    file = BytesIO(raw)
    magic, version, system, (dtype, count), keys = (Machine(NUMBER_FORMATS, 0).run(file) for _ in range(5))
    if magic != 0x1950A86A20F9469CFC6C or version != 1001 or system["little_endian"] is not True or len(keys) != 1:
        raise ValueError
    written, numbers = int.from_bytes(file.read(8), "little"), bytearray(file.read())
    if written != count or len(numbers) != count * dtype.itemsize:
        raise ValueError
    return Storage(torch.frombuffer(numbers, dtype=dtype) if count else torch.empty(0, dtype=dtype))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: object) -> Tensor:
    """Return the part of a storage that is a tensor, once it is certain that it lies within, and is no larger."""
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


def _foreign(meta: Any) -> Foreign:
    """Return an object that comes with the source of its class; the source is left behind."""
    if not isinstance(meta, dict) or not isinstance(meta["class_name"], str) or not isinstance(meta["state"], dict):
        raise TypeError
    return Foreign(meta["class_name"], meta["state"])


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
    "torch_utils.persistence._reconstruct_persistent_obj": Function(_foreign),
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
