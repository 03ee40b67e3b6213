"""Annotations on a PostgreSQL server that is started here: what holds of a SQLite file, and what a server adds.

It takes Debian's package postgresql and psycopg (pip install 'psycopg[binary]'); without them these tests are skipped.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mistakes import mistake
from test_store import (
    test_a_table_is_exported_whole,
    test_flags_and_preferences_are_kept,
    test_letters_that_no_database_keeps_are_the_fault_of_who_sent_them,
    test_the_last_answer_of_each_person_counts,
    test_what_is_no_answer_is_refused,
)

from ganatomy.annotations import Annotations, open_annotations
from ganatomy.annotations.store import COLUMNS, StoreUnavailable

__all__ = [
    "test_a_table_is_exported_whole",
    "test_flags_and_preferences_are_kept",
    "test_letters_that_no_database_keeps_are_the_fault_of_who_sent_them",
    "test_the_last_answer_of_each_person_counts",
    "test_what_is_no_answer_is_refused",
]
pytest.importorskip("psycopg", reason="pip install 'psycopg[binary]'")
pytestmark = [pytest.mark.slow]
PROGRAMS = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/local/pgsql").glob("bin")]
"""Where Debian, and those who build it, have the programs of a server; else they are on the path."""


class Server:
    """A server in a folder of its own, which talks over a socket there, not run by root."""

    def __init__(self, folder: Path) -> None:
        found = [*PROGRAMS, *(Path(each).parent for each in [shutil.which("pg_ctl")] if each)]
        if not found:
            pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
        self._programs, self.folder = found[-1], folder
        self._as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tester:secret@/postgres?host={self.folder}"

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", str(self.folder / "log"), "-w", "start"
        )

    def stop(self, how: str = "immediate") -> None:
        """Stop it; immediately, as after a power cut."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", how, "-w", "stop")

    def _run(self, program: str, *argv: str) -> None:
        command = [*self._as, str(self._programs / program), *argv]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=120)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="pg", ignore_cleanup_errors=True) as folder:  # a short path
        found = Server(Path(folder))
        yield found
        found.stop()


@pytest.fixture
def kept(server: Server) -> Iterator[Annotations]:
    from sqlalchemy import text

    annotations = open_annotations(server.url)
    with annotations._engine.begin() as connection:
        for table in COLUMNS:
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608
    yield annotations
    annotations.close()


def test_many_write_at_once(kept: Annotations, server: Server) -> None:
    def write(who: str) -> None:
        own = open_annotations(server.url)
        for unit in range(50):
            own.label("s", "layer4", unit, who, "tree")
        own.close()

    threads = [threading.Thread(target=write, args=(f"person {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept.read("labels")) == 200


def test_a_server_that_is_lost_loses_nothing_and_is_used_again(kept: Annotations, server: Server) -> None:
    for unit in range(20):
        kept.label("s", "layer4", unit, "ann", "tree")
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                kept.label("s", "layer4", 20, "ann", "tree")
            assert "secret" not in str(caught.value)
        with mistake("bad-file", "database") as refused:
            open_annotations(server.url)
        assert "secret" not in str(refused.value)
    finally:
        server.start()
    kept.label("s", "layer4", 20, "ann", "tree")
    assert kept.read("labels").unit.tolist() == list(range(21))
