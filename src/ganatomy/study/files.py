"""The files of a study, each there whole or not at all: tensors, and the record of what was asked."""

import contextlib
import errno
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import pandas as pd
from torch import Tensor

from ganatomy.core.errors import BadFile, StudyError
from ganatomy.core.files import OF_THE_MACHINE, atomic_write, read_json, require_regular_file
from ganatomy.core.tensor_files import BROKEN, Archive, write
from ganatomy.remote import display_path

FORMAT = 5
INDEX = "index.html"
"""The page next to a study that links other results too."""
ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
"""What becomes of files that do not hold what they should."""

A = TypeVar("A", bound="TensorState")


@runtime_checkable
class TensorState(Protocol):
    """What a step can keep: anything that is made of named tensors."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return all that it is made of."""

    @classmethod
    def from_state(cls: type[A], state: Mapping[str, Tensor]) -> A:
        """Make it again."""


class StoredTensors(Archive):
    """The tensors of a step, each read when it is asked for; a BadFile is raised where the file is damaged."""

    def __init__(self, path: Path) -> None:
        with _reading(path):
            require_regular_file(path)
            super().__init__(path)
        self._path = path

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._sizes:
            raise KeyError(name)
        with _reading(self._path):
            return super().__getitem__(name)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (*BROKEN, MemoryError, RuntimeError) as error:
        raise damaged(path, error) from error


def write_tensors(path: Path, value: TensorState, shards: int = 0) -> None:
    """Write a step, and how many shards it holds."""
    with replacing_in_study(path) as temporary:
        write(temporary, value.state_dict(), shards)


def read_parquet(path: Path) -> pd.DataFrame:
    """Return a table."""
    try:
        require_regular_file(path)
        return pd.read_parquet(path)
    except (*ODD, OSError) as error:  # pandas asks for whatever the file says of itself
        raise damaged(path, error) from error


def require_inside(directory: Path, path: Path) -> Path:
    """Return a path in a study's directory, if no link leads out of that: it may be from a stranger."""
    try:
        inside = path.resolve().is_relative_to(directory.resolve())
    except RuntimeError:  # a link to itself
        inside = False
    if not inside:
        raise BadFile(f"{path}: a link that leads out of the study; put the file itself there")
    return path


@contextlib.contextmanager
def as_bad_file(where: Path) -> Iterator[None]:
    """Tell in one line that what a study holds does not fit together: a stranger may have written anything."""
    try:
        yield
    except (*ODD, OSError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in OF_THE_MACHINE):
            raise _unreadable(where, getattr(error, "strerror", None) or "not enough memory") from error
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise BadFile(f"{where}: not what a study of this version holds ({reason}); make it again") from error


def damaged(path: Path, error: Exception) -> BadFile | StudyError:
    """Return the error of a file that is not what was written, or cannot be read just now."""
    if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        return _unreadable(path, error.strerror)
    return BadFile(
        f"{display_path(path)}: not a whole file of a study ({error}); remove it and run the same command again"
    )


def _unreadable(path: Path, reason: str | None) -> StudyError:
    return StudyError(f"cannot read {path} ({reason}); mend that, and run the same command again")


def read_record(directory: Path) -> dict[str, Any]:
    """Return what study.json holds."""
    path = directory / "study.json"
    try:
        record: dict[str, Any] = read_json(require_inside(directory, path))
        found = record["format"]
        missing = {"experiment", "spec", "run", "digest", "facts", "finished"} - record.keys()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(path, error) from error
    if found != FORMAT:
        raise StudyError(f"{directory} is a study of format {found}; this version reads format {FORMAT}: make it again")
    if missing:
        raise BadFile(f"{path}: lacks {', '.join(sorted(missing))}")
    for name in ("spec", "run", "facts"):
        if not isinstance(record[name], dict):
            raise BadFile(f"{path}: its {name} is a {type(record[name]).__name__}, not an object")
    if not isinstance(inputs := record["facts"].get("inputs", {}), dict):
        raise BadFile(f"{path}: its inputs are a {type(inputs).__name__}, not an object")
    return record


def record_text(record: Mapping[str, Any]) -> str:
    """Return a record as study.json holds it."""
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return how two records differ in what was asked and in the models that were used: name, and both values."""
    pairs = {"experiment": (first["experiment"], second["experiment"])}
    was, spec_now = first["spec"], second["spec"]
    for name in dict.fromkeys([*spec_now, *was]):
        pairs[name] = (was.get(name), spec_now.get(name))
    used, now = first["facts"].get("inputs", {}), second["facts"].get("inputs", {})
    for name in dict.fromkeys([*now, *used]):
        pairs[f"fingerprint of the {name}"] = (used.get(name), now.get(name))
    return [(name, *values) for name, values in pairs.items() if values[0] != values[1]]


@contextlib.contextmanager
def replacing_in_study(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, as `atomic_write`, next to a file that is one folder deep in a study."""
    with writing(path):
        path.parent.mkdir(exist_ok=True)  # no further: a study that was taken away does not come back in part
        with atomic_write(path) as temporary:
            yield temporary


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell in one line why something cannot be written."""
    try:
        yield
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        remedy = "remove that link" if error.errno == errno.ELOOP else "make room or choose another directory"
        raise StudyError(f"cannot write {path} ({reason}); what is finished is kept: {remedy}") from error
