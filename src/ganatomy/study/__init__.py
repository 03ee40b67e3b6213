"""A study: a directory that remembers what was asked, what was used, and every step that is done.

::

    DIR/study.json                  what was asked (the Spec), how (the options of the run), what was used (facts),
                                    whether it is finished
    DIR/steps/NAME.npz              a statistic; NAME.partial.npz while its shards are still being counted,
                                    NAME.part-003-of-016.npz while several processes share them (`parts.py`)
    DIR/tables/NAME.parquet         a table

Nothing here is ever half-written: a kill or a full disk at any moment costs at most the shards that were being counted
and those of the last moments (`SAVE_RATIO`), and the next run of the same Spec goes on from there to the same bits.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import pandas as pd

from ganatomy.core.errors import BadFile, BadValue, StudyError, StudyMismatch
from ganatomy.core.files import write_text
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.core.tensor_files import SUFFIX
from ganatomy.engines import Engine, local
from ganatomy.remote import display_path, local_path, open_mirror, pull, url_of
from ganatomy.study.files import (
    FORMAT,
    INDEX,
    StoredTensors,
    TensorState,
    as_bad_file,
    differences,
    read_parquet,
    read_record,
    record_text,
    replacing_in_study,
    require_inside,
    write_tensors,
    writing,
)
from ganatomy.study.lock import StudyLock
from ganatomy.study.parts import Part, count_all, count_part, remove_merged
from ganatomy.study.sharded import Appended, Mergeable, ShardedStep

__all__ = [
    "Appended",
    "Mergeable",
    "Part",
    "Study",
    "TensorState",
    "as_bad_file",
    "is_study",
    "require_inside",
    "spec_digest",
    "to_json",
]

A = TypeVar("A", bound="TensorState")
M = TypeVar("M", bound="Mergeable")
R = TypeVar("R")


def to_json(spec: Any) -> dict[str, Any]:
    """Return the fields of a Spec as JSON values.

    Raises:
        BadValue: one names a file by bytes that are no text.
    """
    text = json.dumps(dataclasses.asdict(spec), allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        near = ascii(text[max(0, error.start - 20) : error.end + 20])
        raise BadValue(f"{near} is part of a name that is no UTF-8, which no study can hold; rename it") from None
    fields: dict[str, Any] = json.loads(text)
    return fields


def spec_digest(spec: Any) -> str:
    """Return the sha256 of a Spec: over the name of its class, and its fields."""
    text = json.dumps([type(spec).__name__, to_json(spec)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def kind_name(spec: type) -> str:
    """Return what a study of a Spec is called in its record.

    >>> from ganatomy.experiments.dissect_spec import DissectSpec
    >>> kind_name(DissectSpec)
    'dissect'
    """
    return spec.__name__.removesuffix("Spec").lower()


class Study:
    """A directory whose steps are loaded, or computed and moved into place.

    `Study.create` makes one or goes on with one, and holds it for this process until the ``with`` block ends;
    `Study.open` reads a finished one.

    Attributes:
        directory: where it lies; of a study at a URL, its working copy.
        spec_json: the Spec's fields.
        run_json: how the run that began it went about it.
        facts: what was used; ``facts["inputs"]`` has the fingerprint of every model.
        digest: `spec_digest` of the Spec.
        finished: whether every step is there.
    """

    def __init__(
        self,
        directory: Path,
        record: dict[str, Any],
        hold: StudyLock | None = None,
        engine: Engine = local,
        progress: Progress | None = None,
    ) -> None:
        self.directory = directory
        self._record = record
        self._lock = hold
        self._mirror = None if hold is None else open_mirror(directory)
        self._engine = engine
        self._progress = progress or NullProgress()

    def __repr__(self) -> str:
        return f"<Study of kind {self.kind} in {self.directory}{'' if self.finished else ', unfinished'}>"

    @property
    def spec_json(self) -> dict[str, Any]:
        """The Spec's fields as plain JSON values."""
        return dict(self._record["spec"])

    @property
    def run_json(self) -> dict[str, Any]:
        """The options of the run that began it as plain JSON values."""
        return dict(self._record["run"])

    def begun(self, run: R) -> R:
        """Return the options of the run that began it, whatever is asked of this one; `run` itself if it kept none."""
        with as_bad_file(self._file):
            return cast(R, dataclasses.replace(cast(Any, run), **self._record["run"]))

    @property
    def kind(self) -> str:
        """Of which Spec it is, see `kind_name`."""
        return str(self._record["experiment"])

    @property
    def facts(self) -> dict[str, Any]:
        """What was used, such as the fingerprints of inputs."""
        return dict(self._record["facts"])

    @property
    def digest(self) -> str:
        """The Spec's digest."""
        return str(self._record["digest"])

    @property
    def finished(self) -> bool:
        """Whether every step is there."""
        return bool(self._record["finished"])

    @classmethod
    def create(
        cls,
        directory: str | Path,
        spec: Any,
        facts: Mapping[str, Any],
        engine: Engine = local,
        progress: Progress | None = None,
        run: Any = None,
    ) -> "Study":
        """Make a study in a new or empty directory, or go on with one of the same Spec and the same inputs.

        Args:
            directory: where, or a URL; made if it is not there.
            spec: a frozen dataclass of plain values.
            facts: plain JSON values; ``facts["inputs"]`` maps the name of each model to its fingerprint.
            execute: the engine that counts the shards of its steps; a `Part` shares the study with the other parts.
            progress: who shows how far they are.
            run: how this run goes about it, a frozen dataclass, too; kept if the study is new, see `begun`.

        Raises:
            StudyMismatch: it holds a study of another Spec or of other inputs; names what differs.
            StudyBusy: another process is writing to it.
            StudyError: it cannot be written to, or holds something else.
        """
        record = {
            "format": FORMAT,
            "experiment": kind_name(type(spec)),
            "spec": to_json(spec),
            "run": {} if run is None else to_json(run),
            "digest": spec_digest(spec),
            "facts": dict(facts),
            "finished": False,
        }
        directory = local_path(directory)
        with writing(directory):
            _usable(directory)
            part, mark = (str(engine), engine.mark) if isinstance(engine, Part) else ("", "")
            hold = StudyLock(directory, part, mark)
        study = cls(directory, record, hold, engine, progress)
        try:
            if study._mirror:
                study._mirror.begin(mark)
            with writing(directory), study._exclusive():
                study._begin()
        except BaseException:
            study.close()
            raise
        return study

    @classmethod
    def open(cls, directory: str | Path) -> "Study":
        """Open a finished study, in a directory or at a URL, to read from it.

        Raises:
            StudyError: the directory holds no study, or an unfinished one.
            BadFile: its study.json is damaged.
        """
        directory = local_path(directory)
        pull(directory)
        if not (directory / "study.json").is_file():
            raise StudyError(f"{display_path(directory)} holds no study; give the directory that a run wrote to")
        study = cls(directory, read_record(directory))
        if not study.finished:
            raise StudyError(
                f"{display_path(directory)} holds an unfinished study; run the same command again to finish it"
            )
        return study

    def __reduce__(self) -> tuple[Any, ...]:
        return Study, (self.directory, self._record)  # elsewhere it is there to be read; this process holds it

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self._mirror:
                self._mirror.send(quietly=kind is not None)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the directory, so that another process may write to it."""
        if self._mirror:
            self._mirror.close()
        if self._lock is not None:
            self._lock.close()

    def step(self, name: str, kind: type[A], compute: Callable[[], A]) -> A:
        """Return a step: loaded if it is there, else computed and kept.

        Raises:
            BadFile: its file is damaged.
            StudyError: it cannot be written; what was there stays whole.
        """
        path = self._step(name)
        if not path.exists():
            with self._exclusive():
                if not path.exists():
                    value = compute()
                    self._check()
                    write_tensors(path, value)
        return self.load_step(name, kind)

    def has_step(self, name: str) -> bool:
        """Whether a step is there."""
        return self._step(name).exists()

    def drop_step(self, name: str) -> None:
        """Remove a step that this run needs no more, for its room; where other runs share the study, `finish` does."""
        if not isinstance(self._engine, Part) and self._mirror is None:
            with self._exclusive(), writing(self._step(name)):
                self._step(name).unlink(missing_ok=True)

    def load_step(self, name: str, kind: type[A]) -> A:
        """Return a step that is there.

        Raises:
            BadFile: its file is missing or damaged.
        """
        path = self._step(name)
        if not path.exists():
            raise BadFile(f"{path} is missing; run the same command again")
        with as_bad_file(path):
            return kind.from_state(StoredTensors(path))

    def sharded(self, name: str, kind: type[M], work: Callable[[range], M], shards: Sequence[range]) -> M:
        """Return a step that is counted shard by shard and merged in their order; goes on after the last shard kept.

        Raises:
            BadFile: its file is damaged.
            StudyError: it cannot be written; what was there stays whole.
        """
        path, job = self._step(name), ShardedStep(name, kind, work, shards, self._keep, self._check)
        if not path.exists():
            if isinstance(self._engine, Part) and len(shards) > 1:
                count_part(path, job, self._engine, self._exclusive, self._progress)
            else:
                with self._exclusive():
                    if not path.exists():
                        count_all(path, job, self._engine, self._progress)
        return self.load_step(name, kind)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Keep a table.

        Raises:
            StudyError: it cannot be written.
        """
        path = self._table(name)
        with self._exclusive(), replacing_in_study(path) as temporary:
            table.to_parquet(temporary, index=False)

    def has_table(self, name: str) -> bool:
        """Whether there is such a table."""
        return self._table(name).is_file()

    def read_table(self, name: str) -> pd.DataFrame:
        """Return a table.

        Raises:
            BadFile: it is missing or damaged.
        """
        return read_parquet(self._table(name))

    def finish(self, without: Sequence[str] = (), **found: Any) -> None:
        """Mark the study as finished, now that every step is there, and let go of it.

        Args:
            without: steps that nobody needs any more; they are removed.
            found: is kept as facts.
        """
        with self._exclusive():
            self._record["facts"] = {**self._record["facts"], **found}
            self._record["finished"] = True
            self._write_record()
            for name in without:
                with writing(self._step(name)):
                    self._step(name).unlink(missing_ok=True)
            if self._lock is not None:
                self._lock.tidy()
        if self._mirror:
            self._mirror.send(without=[self._step(name).relative_to(self.directory).as_posix() for name in without])
        self.close()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Settle in a block what concerns all who write to this study."""
        with contextlib.ExitStack() as others:
            if self._lock:
                others.enter_context(self._lock.exclusive())
            if self._mirror:
                others.enter_context(self._mirror.exclusive())
            yield

    def _keep(self) -> None:
        if self._mirror:
            self._mirror.keep()

    def _check(self) -> None:
        if self._lock is not None:
            self._lock.check()

    def _begin(self) -> None:
        """Check what is there against what is asked, and remove what a killed run left half-written."""
        for left in [*self.directory.glob(".*.tmp"), *self.directory.glob("*/.*.tmp")]:
            if self._lock is not None and self._lock.may_remove(left):
                left.unlink()
        remove_merged(self.directory / "steps")
        if not self._file.exists():
            self._write_record()
            return
        found = read_record(self.directory)
        changed = [f"{name} was {old!r}, now {new!r}" for name, old, new in differences(found, self._record)]
        if changed:
            raise StudyMismatch(
                f"{display_path(self.directory)} holds another study: {'; '.join(changed)}; "
                "give another directory, or --overwrite this one"
            )
        self._record = found
        if self.finished and self._lock is not None:
            self._lock.tidy()

    def _write_record(self) -> None:
        with writing(self._file):
            write_text(self._file, record_text(self._record))

    @property
    def _file(self) -> Path:
        return self.directory / "study.json"

    def _step(self, name: str) -> Path:
        return require_inside(self.directory, self.directory / "steps" / f"{name}{SUFFIX}")

    def _table(self, name: str) -> Path:
        return require_inside(self.directory, self.directory / "tables" / f"{name}.parquet")


def is_study(directory: Path) -> bool:
    """Whether a directory holds a study, finished or not, here or at its URL."""
    pull(directory)
    return (directory / "study.json").is_file()


def _usable(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise StudyError(f"{directory} is a file; give a directory")
    directory.mkdir(parents=True, exist_ok=True)
    if url_of(directory) is not None:  # what matters is what the URL holds
        return
    others = [entry.name for entry in directory.iterdir() if not entry.name.startswith(".") and entry.name != INDEX]
    if others and "study.json" not in others:
        raise StudyError(f"{directory} is not empty and holds no study (it has {sorted(others)[0]}); give another one")
