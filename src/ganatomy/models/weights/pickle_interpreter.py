"""An interpreter of pickles, which are programs, that can do very little.

Python's own unpickler is not used: it imports what a file names, sets attributes, and hashes whatever a file builds.
This one knows numbers, text, bytes, lists, tuples, and sets and dictionaries of names and numbers. It calls a few
names only, each of which stands for a function of ours; nothing is imported. Everything else is refused by name. What
it builds takes memory in proportion to the file.
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch

Call = Callable[..., Any]


class Refused(Exception):
    """A pickle asks for something that is not allowed."""


@dataclass(frozen=True)
class Function:
    """A function by its name in a pickle; not callable itself, so that only `PickleInterpreter.call` calls it."""

    body: Call


class Built:
    """An object that a pickle makes in two steps: first it is created, then `build` sets its state."""

    def build(self, *state: Any) -> None:
        """Set its state."""
        raise NotImplementedError


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


class PickleInterpreter:
    """The stack, the marks in it and the memo of a pickle.

    Args:
        calls: functions and values by their names in pickles.
        budget: how many bytes of data may be made into numbers and tensors; the same bytes can be handed over again
            and again, so a small file could ask for much.
    """

    def __init__(self, calls: Mapping[str, Any], budget: int) -> None:
        self._calls, self._budget = calls, budget
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: BytesIO) -> Any:
        """Run one pickle of a file from its position on; return the result."""
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

    def push_dict(self, values: list[Any]) -> None:
        """Push a dictionary of keys that alternate with their values."""
        self._stack.append({})
        self.put(values)

    def call(self) -> None:
        """Call one of the functions."""
        function, arguments = self.pop(2)
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise TypeError
        self._spend(arguments)
        self._stack.append(function.body(*arguments))
        self._spend(tuple(self._stack[-1:]))

    def build(self) -> None:
        """Set the state of an array or a number format; the versions of modules of a state dict are ignored."""
        target, state = self.pop(2)
        if isinstance(target, dict) and isinstance(state, dict) and state.keys() <= {"_metadata"}:
            self._stack.append(target)
            return
        if not isinstance(target, Built) or not isinstance(state, tuple):
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
        self._stack[-1].update(map(hashable, values))

    def put(self, values: list[Any]) -> None:
        """Set keys, which alternate with their values, of the dictionary on the stack."""
        if type(self._stack[-1]) is not dict:
            raise TypeError
        self._stack[-1].update(zip(map(hashable, values[::2]), values[1::2], strict=True))

    def locate(self) -> None:
        """Push the number format and the count of a storage."""
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


def hashable(value: Any) -> Any:
    """Return a value that may be a key: its hash costs nothing and collides with few."""
    if type(value) is str or (type(value) is int and abs(value) < 1 << 60):
        return value
    raise TypeError


_STEPS: Mapping[str, Callable[[PickleInterpreter], None]] = {
    "MARK": lambda machine: machine._marks.append(len(machine._stack)),
    "MEMOIZE": lambda machine: machine._memo.update({len(machine._memo): machine._stack[-1]}),
    "LIST": lambda machine: machine._stack.append(machine.pop_marked()),
    "DICT": lambda machine: machine.push_dict(machine.pop_marked()),
    "STACK_GLOBAL": lambda machine: machine._stack.append(machine._find(*machine.pop(2))),
    "REDUCE": PickleInterpreter.call,
    "NEWOBJ": PickleInterpreter.call,
    "BUILD": lambda machine: machine.build(),
    "BINPERSID": lambda machine: machine.locate(),
    "TUPLE1": lambda machine: machine._stack.append(tuple(machine.pop(1))),
    "TUPLE2": lambda machine: machine._stack.append(tuple(machine.pop(2))),
    "TUPLE3": lambda machine: machine._stack.append(tuple(machine.pop(3))),
    "TUPLE": lambda machine: machine._stack.append(tuple(machine.pop_marked())),
    "APPEND": lambda machine: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine: machine.extend(machine.pop_marked()),
    "ADDITEMS": lambda machine: machine.add(machine.pop_marked()),
    "SETITEM": lambda machine: machine.put(machine.pop(2)),
    "SETITEMS": lambda machine: machine.put(machine.pop_marked()),
}
