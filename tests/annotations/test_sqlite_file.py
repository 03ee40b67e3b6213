"""A database of annotations that somebody else made: it runs nothing, and takes neither time nor space."""

import sqlite3
import time
from pathlib import Path

import pytest

from ganatomy.annotations import open_annotations, sqlite_file
from ganatomy.core.errors import BadFile

FIELDS = "id integer primary key, study text, rater text, made text, layer text, unit integer"
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
COLUMNS = "x AS id, 's' AS study, 'r' AS rater, 'm' AS made, 'l' AS layer, x AS unit, hex(x) AS words"
HOSTILE = {
    "view": [f"CREATE VIEW labels AS {ENDLESS} SELECT {COLUMNS} FROM c ORDER BY words"],  # noqa: S608
    "trigger": [
        f"CREATE TABLE labels({FIELDS}, words text)",
        "CREATE TRIGGER gone AFTER INSERT ON labels BEGIN DELETE FROM labels; END",
    ],
    "computes column 'words'": [f"CREATE TABLE labels({FIELDS}, words text AS (hex(zeroblob(100000000))))"],
    "virtual table": ["CREATE VIRTUAL TABLE labels USING fts5(words)"],
}


def database(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("what", HOSTILE)
def test_a_schema_that_runs_statements_is_refused(what: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=what):
        open_annotations(database(tmp_path / "a.sqlite", *HOSTILE[what]))


def test_a_long_value_is_not_read(tmp_path: Path) -> None:
    long = "INSERT INTO labels VALUES(1, 's', 'r', 'm', 'l', 1, hex(zeroblob(1000000)))"
    kept = open_annotations(database(tmp_path / "a.sqlite", f"CREATE TABLE labels({FIELDS}, words text)", long))
    with pytest.raises(BadFile, match="too big"):
        kept.read("labels")
    kept.close()


def test_a_long_statement_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "SECONDS", 0.05)
    kept = open_annotations(tmp_path / "a.sqlite")
    start = time.process_time()
    with pytest.raises(Exception, match="interrupted"), kept._engine.connect() as connection:
        connection.exec_driver_sql(f"{ENDLESS} SELECT count(*) FROM c").all()  # noqa: S608
    assert time.process_time() - start < 5
    monkeypatch.setattr(sqlite_file, "SECONDS", 60.0)
    kept.label("s", "layer4", 3, "ann", "tree")
    assert len(kept.read("labels")) == 1
    kept.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_what_is_written_to_a_file_that_is_gone_is_not_confirmed(replaced: bool, tmp_path: Path) -> None:
    kept = open_annotations(path := tmp_path / "a.sqlite")
    kept.label("s", "layer4", 3, "ann", "tree")
    path.unlink()
    if replaced:
        database(path, f"CREATE TABLE labels({FIELDS}, words text)")
    with pytest.raises(BadFile, match=r"a\.sqlite"):
        kept.label("s", "layer4", 3, "bob", "tree")
    kept.close()


def test_more_rows_than_people_could_write_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = open_annotations(tmp_path / "a.sqlite")
    for unit in range(4):
        kept.label("s", "layer4", unit, "ann", "tree")
    monkeypatch.setattr("ganatomy.annotations.store.ROWS", 3)
    with pytest.raises(BadFile, match="more than 3 rows"):
        kept.read("labels")
    kept.close()
