"""What a pickle would take of memory, reckoned before PyTorch reads it: values that its calls copy again and again."""

import pickletools
import zipfile
import zlib
from collections.abc import Sequence
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

from ganatomy.errors import BadFile

ITEM = 100
"""Bytes that a member of a copied list, set or dictionary takes."""
WIDE = 4
"""Bytes that a letter takes at most in the encodings that there are."""
BYTES = ("builtins bytearray", "__builtin__ bytearray")
"""What makes any number of bytes of a number; no checkpoint needs it."""
LARGEST = 1 << 60
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "TUPLE": 0}
PICKLES = 5
"""Pickles in a row that files of torch.save before 1.6 begin with."""

NONSENSE = LookupError, ValueError, TypeError, AttributeError, EOFError, OSError, MemoryError, RuntimeError
"""What becomes of pickles that are none."""


def reckoned(path: Path) -> int:
    """Return how many bytes the calls in a file of torch.save would copy, about.

    Raises:
        BadFile: the file holds a name twice, so that it cannot be said which is read.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # as PyTorch decides
            file.seek(0)
            return sum(_Reckoner().run(file) for _ in range(PICKLES))
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names):
                raise BadFile(f"{path}: not a whole PyTorch checkpoint (it holds a file twice)")
            pickles = [archive.read(name) for name in names if name.rpartition("/")[2] == "data.pkl"]
    except (*NONSENSE, zipfile.BadZipFile, zlib.error):
        return 0  # PyTorch tells what is wrong
    return sum(_Reckoner().run(BytesIO(each)) for each in pickles)


class _Value:
    """A value on the stack: how many bytes a copy of it takes, what is in a tuple, what a name is."""

    def __init__(self, size: int = 0, items: Sequence["_Value"] = (), meaning: Any = None) -> None:
        self.size, self.items, self.meaning = size, items, meaning


class _Reckoner:
    """The stack and the memo of a pickle, as PyTorch's reader has them, of sizes only."""

    def __init__(self) -> None:
        self._stack: list[_Value | None] = []
        self._memo: dict[int, _Value] = {}

    def run(self, file: BytesIO | BufferedReader) -> int:
        """Return what the calls of one pickle copy, as far as it goes."""
        total = 0
        try:
            for opcode, argument, _ in pickletools.genops(file):
                total += self._step(opcode.name, argument)
        except NONSENSE:  # where PyTorch ends, too
            pass
        return total

    def _step(self, name: str, argument: Any) -> int:
        """Follow one instruction; return what it copies."""
        if name in ("REDUCE", "NEWOBJ"):
            given, called = self._pop(), self._pop()
            known = any(each.meaning in BYTES for each in (called, *given.items))
            made = LARGEST if known else sum(each.size for each in given.items)
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
