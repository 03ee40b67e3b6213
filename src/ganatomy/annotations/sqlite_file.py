"""A SQLite file that may come from anybody: opened durably, its schema checked, its statements limited.

A file's schema is code: a view in place of a table, a trigger or a generated column runs statements of its author,
for as long and with as much temporary space as those take.
"""

import sqlite3
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganatomy.core.errors import BadFile

if TYPE_CHECKING:
    from sqlalchemy import Engine

SECONDS = 10.0
"""A statement that runs for longer is interrupted."""
INSTRUCTIONS = 100_000
"""Of SQLite's machine, between two looks at the clock: some milliseconds."""
TEMPORARY_PAGES = 25_000
"""Pages of 4 KiB that temporary tables may take; they are kept in memory, which ends with the statement."""
LONGEST = 1_000_000
"""Bytes of a value or a statement."""
PRAGMAS = (
    "busy_timeout=10000",
    "journal_mode=WAL",
    "synchronous=FULL",  # confirms only what is on the disk
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "temp_store=MEMORY",
    f"temp.max_page_count={TEMPORARY_PAGES}",
)


def listen(engine: "Engine") -> None:
    """Set up every connection of an engine, and the limit of its statements."""
    from sqlalchemy import event

    deadlines: dict[int, float] = {}

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        key = id(connection)
        connection.set_progress_handler(lambda: time.monotonic() > deadlines.get(key, float("inf")), INSTRUCTIONS)
        deadlines[key] = time.monotonic() + SECONDS
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "before_cursor_execute")
    def start(connection: Any, *_: Any) -> None:
        deadlines[id(connection.connection.dbapi_connection)] = time.monotonic() + SECONDS


def check_schema(engine: "Engine", tables: Collection[str]) -> None:
    """Refuse a file in which one of these tables is something else, or that has triggers.

    Raises:
        BadFile: names what it is.
    """
    with engine.connect() as connection:
        entries = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 1000").all()
        for kind, name, table, sql in entries:
            is_virtual = str(sql or "").lstrip()[:14].upper() == "CREATE VIRTUAL"
            if kind == "trigger" or (table in tables and (kind not in ("table", "index") or is_virtual)):
                what = "virtual table" if is_virtual else kind
                raise BadFile(
                    f"the database of annotations has a {what} {name!r}; ganatomy makes none, so it is refused"
                )
        for table in tables:
            for column in connection.exec_driver_sql(f"PRAGMA table_xinfo({table})").all():
                if column[-1]:  # hidden: generated, or of a virtual table
                    raise BadFile(f"the database of annotations computes column {column[1]!r} of {table!r}")


def identity(engine: "Engine") -> tuple[int, int] | None:
    """Return device and inode of the file; None where it is gone, and of other databases.

    SQLite writes to a file that was deleted or replaced under it without a word, and what it confirms is lost.
    """
    name = engine.url.database if engine.dialect.name == "sqlite" else None
    try:
        found = Path(name).stat() if name else None
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)
