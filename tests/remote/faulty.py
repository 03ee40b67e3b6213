"""A filesystem in memory that fails, hangs, or cuts files off, at a call of one's choice."""

import threading
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

CALLS = ("find", "ls", "info", "cat_file", "get_file", "put_file", "pipe_file", "cp_file", "rm_file", "makedirs")


class FaultyFileSystem(MemoryFileSystem):
    """Counts its calls; from number `at` on, `times` of them go wrong in the way `how`.

    How: ``fail``; ``hang``; ``cut``, a file that is only half written or read; ``done``, an answer that is lost though
    all was done.
    """

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    at, times, how, calls = -1, 0, "fail", 0
    hanging: ClassVar[threading.Event] = threading.Event()

    @classmethod
    def plan(cls, how: str = "fail", at: int = -1, times: int = 1) -> None:
        cls.how, cls.at, cls.times, cls.calls = how, at, times, 0

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("faulty://"))


def _wrapped(name: str) -> Any:
    plain = getattr(MemoryFileSystem, name)
    inside = threading.local()

    def call(self: FaultyFileSystem, *args: Any, **kwargs: Any) -> Any:
        own = FaultyFileSystem
        if getattr(inside, "deep", False):
            return plain(self, *args, **kwargs)
        number, own.calls = own.calls, own.calls + 1
        wrong = own.at <= number < own.at + own.times
        inside.deep = True
        try:
            if wrong and own.how == "fail":
                raise OSError(f"call {number}, {name}, fails")
            if wrong and own.how == "hang":
                own.hanging.wait(60)
                raise OSError("woken")
            result = plain(self, *args, **kwargs)
            if wrong and own.how == "cut":
                _cut(name, args)
            if wrong and own.how == "done":
                raise OSError(f"the answer to call {number}, {name}, is lost")
            return result
        finally:
            inside.deep = False

    return call


def _cut(name: str, args: Any) -> None:
    """Cut the file off that a call has just written."""
    if name == "put_file":
        file = FaultyFileSystem.store[FaultyFileSystem._strip_protocol(args[1])]
        file.truncate(file.size // 2)
    if name == "get_file":
        with Path(args[1]).open("r+b") as here:
            here.truncate(here.seek(0, 2) // 2)


for _name in CALLS:
    setattr(FaultyFileSystem, _name, _wrapped(_name))
fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
