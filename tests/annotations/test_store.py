"""What people say is kept, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from mistakes import mistake

from ganatomy.annotations import Annotations, open_annotations


@pytest.fixture
def kept(tmp_path: Path):
    annotations = open_annotations(tmp_path / "a.sqlite")
    yield annotations
    annotations.close()


def test_the_last_answer_of_each_person_counts(kept: Annotations) -> None:
    kept.label("s", "layer4", 3, "ann", "Tree")
    kept.label("s", "layer4", 3, "bob", "green tree")
    kept.label("s", "layer4", 3, "ann", "bush")
    kept.label("other", "layer4", 3, "ann", "sofa")
    table = kept.read("labels", "s")
    assert table[["rater", "words"]].values.tolist() == [["bob", "green tree"], ["ann", "bush"]]
    assert len(kept.read("labels")) == 3


def test_flags_and_preferences_are_kept(kept: Annotations) -> None:
    kept.flag("s", "layer4", 3, " ann ", True)
    kept.prefer("s", "without layer4/3", 7, "ann", "edited")
    assert kept.read("flags").loc[0, ["rater", "artifact"]].tolist() == ["ann", True]
    assert kept.read("preferences").preferred.tolist() == ["edited"]


@pytest.mark.parametrize(
    ("words", "rater", "fact"),
    [
        ("", "ann", "not 0"),
        ("one two three", "ann", "not 3"),
        ("tree", "  ", "name"),
        ("x" * 300, "ann", "300 letters"),
    ],
)
def test_what_is_no_answer_is_refused(kept: Annotations, words: str, rater: str, fact: str) -> None:
    with mistake("bad-value", fact):
        kept.label("s", "layer4", 3, rater, words)
    assert kept.read("labels").empty


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_is_exported_whole(kept: Annotations, tmp_path: Path, suffix: str) -> None:
    kept.label("s", "layer4", 3, "Ann, of “Göteborg”", "tree")
    path = tmp_path / f"labels{suffix}"
    kept.export("labels", path)
    table = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert table.rater.tolist() == ["Ann, of “Göteborg”"]
    with mistake("bad-value", ".xlsx", ".csv", ".parquet"):
        kept.export("labels", tmp_path / "labels.xlsx")


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("no database" * 100)
    with mistake("bad-file", "database", "file is not a database"):
        open_annotations(tmp_path / "text.sqlite")
    with mistake("bad-file", "database", "unable to open database file"):
        open_annotations(tmp_path / "no" / "such" / "folder.sqlite")
    with mistake("bad-value", "nonsense://here"):
        open_annotations("nonsense://here")


WRITER = """
import sys
from ganatomy.annotations import open_annotations
kept = open_annotations(sys.argv[1])
for i in range(100000):
    kept.label("s", "layer4", i, "ann", "tree")
    print(i, flush=True)
"""


@pytest.mark.slow
def test_nothing_that_was_confirmed_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    for round_ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            confirmed = [int(writer.stdout.readline()) for _ in range(20 + 7 * round_)]
            time.sleep(0.003 * round_)
            os.kill(writer.pid, signal.SIGKILL)
            confirmed += [int(line) for line in writer.stdout.read().splitlines()]
        kept = open_annotations(path)
        assert set(confirmed) <= set(kept.read("labels").unit)
        kept.close()


def test_two_servers_may_write_at_once(tmp_path: Path) -> None:
    first, second = (open_annotations(tmp_path / "a.sqlite") for _ in range(2))
    for i in range(10):
        first.label("s", "layer4", i, "ann", "tree")
        second.label("s", "layer4", i, "bob", "tree")
    assert len(first.read("labels")) == len(second.read("labels")) == 20
    first.close()
    second.close()


@pytest.mark.parametrize("words", ["a\0b", "\ud800"])
def test_letters_that_no_database_keeps_are_the_fault_of_who_sent_them(kept: Annotations, words: str) -> None:
    with mistake("bad-value", "words"):
        kept.label("s", "layer4", 3, "ann", words)
    kept.label("s", "layer4", 3, "ann", "名 🌳")
    assert kept.read("labels").words.tolist() == ["名 🌳"]


def test_a_password_is_in_no_message() -> None:
    with mistake("bad-value", "nothing+such") as caught:
        open_annotations("nothing+such://tester:secret@host/db")
    assert "secret" not in str(caught.value)
