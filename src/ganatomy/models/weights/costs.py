"""The memory that the calls of a pickle would take, estimated before PyTorch reads it."""

import pickletools
import zipfile
import zlib
from collections.abc import Sequence
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadFile

ITEM = 100
"""Bytes that a member of a copied list, set or dictionary takes."""
WIDE = 4
"""Bytes that a letter takes at most in the encodings that there are."""
BYTES = ("builtins bytearray", "__builtin__ bytearray")
"""Makes any number of bytes of a number; no checkpoint needs it."""
LARGEST = 1 << 60
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "TUPLE": 0}
PICKLES = 5
"""Pickles in a row that files of torch.save before 1.6 begin with."""

INVALID = LookupError, ValueError, TypeError, AttributeError, EOFError, OSError, MemoryError, RuntimeError
"""Raised for bytes that are no pickle."""


def copied_bytes(path: Path) -> int:
    """Return about how many bytes the calls in a file of torch.save would copy."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # as PyTorch decides
            file.seek(0)
            return sum(_CostModel().run(file) for _ in range(PICKLES))
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names):
                raise BadFile(f"{path}: not a whole PyTorch checkpoint (it holds a file twice)")
            pickles = [archive.read(name) for name in names if name.rpartition("/")[2] == "data.pkl"]
    except (*INVALID, zipfile.BadZipFile, zlib.error):
        return 0  # PyTorch raises
    return sum(_CostModel().run(BytesIO(each)) for each in pickles)


class _Value:
    """A value on the stack: the bytes of a copy, the members of a tuple, the literal."""

    def __init__(self, size: int = 0, items: Sequence["_Value"] = (), literal: Any = None) -> None:
        self.size, self.items, self.literal = size, items, literal


class _CostModel:
    """The stack and the memo of PyTorch's unpickler, of sizes only."""

    def __init__(self) -> None:
        self._stack: list[_Value | None] = []
        self._memo: dict[int, _Value] = {}

    def run(self, file: BytesIO | BufferedReader) -> int:
        """Return the bytes that the calls of one pickle copy."""
        total = 0
        try:
            for opcode, argument, _ in pickletools.genops(file):
                total += self._step(opcode.name, argument)
        except INVALID:  # where PyTorch ends, too
            pass
        return total

    def _step(self, name: str, argument: Any) -> int:
        """Follow one instruction; return the bytes that it copies."""
        if name in ("REDUCE", "NEWOBJ"):
            arguments, called = self._pop(), self._pop()
            known = any(each.literal in BYTES for each in (called, *arguments.items))
            made = LARGEST if known else sum(each.size for each in arguments.items)
            self._stack.append(_Value(made))
            return made
        if name == "BUILD":
            return self._pop().size
        if name in ("APPEND", "SETITEM"):
            del self._stack[-2 if name == "SETITEM" else -1 :]
            self._top().size += ITEM
        elif name in ("APPENDS", "SETITEMS"):
            count = len(self._marked())
            self._top().size += count * ITEM
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._top()
        elif name == "MARK":
            self._stack.append(None)
        elif name in TUPLES:
            items = [self._pop() for _ in range(TUPLES[name])] if name != "TUPLE" else self._marked()
            size = sum(each.size for each in items) + len(items) * ITEM
            self._stack.append(_Value(min(size, LARGEST), items))
        elif name == "BINPERSID":
            self._pop()
            self._stack.append(_Value())
        elif name not in ("PROTO", "STOP"):
            size = WIDE * len(argument) if isinstance(argument, str | bytes) else 0
            self._stack.append(_Value(size, (), argument))
        return 0

    def _top(self) -> _Value:
        value = self._stack[-1]
        if value is None:
            raise IndexError
        return value

    def _pop(self) -> _Value:
        value = self._top()
        self._stack.pop()
        return value

    def _marked(self) -> list[_Value]:
        """Take what was pushed since the last mark off the stack."""
        values: list[_Value] = []
        while (value := self._stack.pop()) is not None:
            values.append(value)
        return values
