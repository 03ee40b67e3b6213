"""Where annotations are kept: a SQLite file, or any database that SQLAlchemy knows, such as a team's PostgreSQL.

Nothing is ever overwritten: a person who changes her mind adds a row, and reading takes the last of each person. Every
row is a transaction of its own, so a killed server loses nothing that it has confirmed.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.annotations import sqlite_file
from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.files import atomic_write

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

MISSING = "annotations need more packages: pip install 'ganatomy[web]'"
COLUMNS: Mapping[str, Mapping[str, type]] = {
    "labels": {"layer": str, "unit": int, "words": str},
    "flags": {"layer": str, "unit": int, "artifact": bool},
    "preferences": {"comparison": str, "image": int, "preferred": str},
}
"""Of each table, after id, study (digest of the dissection), rater and made (UTC): a question, and last the answer."""
LONGEST = 200
ROWS = 1_000_000
"""Rows of a table that are read: what people could say in years."""
UNKEPT = re.compile("[\0\ud800-\udfff]")
"""Letters that PostgreSQL refuses, and that no file in UTF-8 holds."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First letters of a formula in a spreadsheet."""


class StoreUnavailable(BadFile):
    """A database that is locked, full or gone: nothing was kept, and the same answer may be given again later."""


class Annotations:
    """Labels, flags and preferences, by anybody, of any study."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._tables = _tables(engine)
        self._file = sqlite_file.identity(engine)

    def label(self, study: str, layer: str, unit: int, rater: str, words: str) -> None:
        """Keep what a person calls a unit, in one or two words (S-6.2); raises BadValue for others, or no name."""
        split = words.split()
        if not 1 <= len(split) <= 2:
            raise BadValue(f"a label is one or two words, not {len(split)}")
        self._add("labels", study, rater, {"layer": layer, "unit": unit, "words": " ".join(split).casefold()})

    def flag(self, study: str, layer: str, unit: int, rater: str, artifact: bool) -> None:
        """Keep whether a person sees artifacts in a unit's top images (4.2); raises BadValue for no name."""
        self._add("flags", study, rater, {"layer": layer, "unit": unit, "artifact": artifact})

    def prefer(self, study: str, comparison: str, image: int, rater: str, preferred: str) -> None:
        """Keep which of two images a person finds more real: ``original``, ``edited`` or ``same``; else BadValue."""
        if preferred not in ("original", "edited", "same"):
            raise BadValue(f"preferred={preferred[:LONGEST]!r}; give original, edited or same")
        content = {"comparison": comparison, "image": image, "preferred": preferred}
        self._add("preferences", study, rater, content)

    def read(self, table: str, study: str | None = None) -> pd.DataFrame:
        """Return the last answer of each person to each question, the oldest first.

        Args:
            table: ``labels``, ``flags`` or ``preferences``.
            study: digest of a dissection; None for all.

        Raises:
            BadFile: the database does not answer.
        """
        from sqlalchemy import select
        from sqlalchemy.exc import SQLAlchemyError

        own = self._tables[table]
        query = select(own).order_by(own.c.id)
        if study is not None:
            query = query.where(own.c.study == study)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query.limit(ROWS + 1)).mappings().all()
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise _database_error(error) from error
        if len(rows) > ROWS:
            raise BadFile(f"the database of annotations has more than {ROWS} rows in {table!r}")
        columns = [column.name for column in own.columns if column.name != "id"]
        found = pd.DataFrame([dict(row) for row in rows], columns=columns)
        *question, _ = COLUMNS[table]
        return found.drop_duplicates(["study", "rater", *question], keep="last", ignore_index=True)

    def export(self, table: str, path: Path, study: str | None = None) -> None:
        """Write what `read` returns as a ``.csv`` or ``.parquet`` file, whole or not at all; else BadValue."""
        content = exported(self.read(table, study), path.suffix)
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _add(self, table: str, study: str, rater: str, content: Mapping[str, Any]) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        rater = rater.strip()
        if not rater:
            raise BadValue("say who you are: a name is needed")
        for name, value in {"rater": rater, **content}.items():
            if isinstance(value, str) and len(value) > LONGEST:
                raise BadValue(f"{name} is {len(value)} letters long; the most is {LONGEST}")
            if isinstance(value, str) and UNKEPT.search(value):
                raise BadValue(f"{name} holds a letter that no database keeps (NUL, or half of one); leave it out")
        row = {"study": study, "rater": rater, "made": datetime.now(UTC).isoformat(), **content}
        try:
            with self._engine.begin() as connection:
                connection.execute(self._tables[table].insert().values(row))
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise _database_error(error) from error
        if sqlite_file.identity(self._engine) != self._file:
            raise StoreUnavailable(
                f"{self._engine.url.database}: was deleted or replaced while it was open, so this answer is not kept; "
                "start the server again"
            )


def exported(table: pd.DataFrame, suffix: str) -> bytes:
    """Return a table as the bytes of a ``.csv`` or ``.parquet`` file; raises BadValue for another ending."""
    if suffix == ".csv":
        return as_text(table).to_csv(index=False).encode()
    if suffix == ".parquet":
        content: bytes = table.to_parquet(index=False)
        return content
    raise BadValue(f"cannot write a {suffix!r} file; give one of .csv, .parquet")


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose words no spreadsheet takes for formulas: those that begin like one begin with ' now.

    >>> as_text(pd.DataFrame({"words": ["=1+1", "tree"]})).words.tolist()
    ["'=1+1", 'tree']
    """
    return table.map(lambda value: f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value)


def open_annotations(where: str | Path) -> Annotations:
    """Open a database, or make it: a path becomes a SQLite file, else a URL as SQLAlchemy takes it.

    Raises:
        BadValue: the packages for it are not installed, or it is no URL.
        BadFile: it cannot be opened, or is no database.
    """
    try:
        import sqlalchemy
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    except ModuleNotFoundError as error:
        raise BadValue(MISSING) from error
    url = str(where) if "://" in str(where) else f"sqlite:///{where}"
    try:
        engine = sqlalchemy.create_engine(url)
        if engine.dialect.name == "sqlite":
            sqlite_file.listen(engine)
            sqlite_file.check_schema(engine, COLUMNS)
        return Annotations(engine)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        shown = re.sub("//.*@", "//…@", url)  # without a password
        raise BadValue(f"{shown}: not the URL of a database that can be opened here ({error})") from error
    except (SQLAlchemyError, UnicodeDecodeError) as error:
        raise BadFile(str(_database_error(error))) from error


def _tables(engine: "Engine") -> dict[str, "Table"]:
    from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, String, Table

    kinds: dict[type, Any] = {str: String(LONGEST), int: BigInteger, bool: Boolean}
    metadata = MetaData()
    tables = {
        name: Table(
            name,
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("study", String(64), index=True, nullable=False),
            Column("rater", String(LONGEST), nullable=False),
            Column("made", String(40), nullable=False),
            *(Column(column, kinds[kind], nullable=False) for column, kind in columns.items()),
        )
        for name, columns in COLUMNS.items()
    }
    metadata.create_all(engine)
    return tables


def _database_error(error: Exception) -> BadFile:
    from sqlalchemy.exc import OperationalError

    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    kind = StoreUnavailable if isinstance(error, OperationalError) else BadFile
    return kind(f"the database of annotations cannot be used ({reason})")
