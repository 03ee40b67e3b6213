"""How commands answer: tables for a terminal and for a pipe, CSV, JSON, and quietly."""

import io
import re
from argparse import Namespace
from collections.abc import Callable

import pandas as pd
import pytest
from small_runs import verbs

import ganatomy
from ganatomy.cli import terminal
from ganatomy.cli.causal_runs import deliver
from ganatomy.report.tables import Column, Table

ABLATE = ("ablate", "study", "--layer", "layer2", "--units", "10", "--images", "6", "--batch", "8", "--random", "0")


pytestmark = pytest.mark.usefixtures("here")


def same(text: str, table: pd.DataFrame) -> None:
    """Check that CSV has all of a table."""
    found = pd.read_csv(io.StringIO(text))
    assert list(found) == list(table)
    expected = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    pd.testing.assert_frame_equal(found, expected)
    assert len(found) == len(table)


def test_csv_has_every_row_and_column_of_the_main_table(answer: Callable[..., str]) -> None:
    same(answer("show", "study", "--format", "csv"), ganatomy.open_dissection("study").table)
    text = answer(*ABLATE, "--format", "csv", "--out", "ablated")
    same(text, ganatomy.open("ablated").table)
    same(answer("show", "ablated", "--format", "csv"), ganatomy.open("ablated").table)
    costs = pd.read_csv(io.StringIO(answer(*ABLATE, "--format", "csv", "--dry-run")))
    assert list(costs) == ["study", "images", "seconds"]
    assert costs.images.item() == 6


def test_csv_of_several_results_names_the_study_of_each_row(
    answer: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(2):
        answer(*ABLATE, "--seed", str(i), "--out", f"run-{i}")
    results = [ganatomy.open(f"run-{i}") for i in range(2)]
    deliver(Namespace(format="csv"), results)
    joined = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(joined) == ["study", *results[0].table]
    assert list(joined.study) == [f"run-{i}" for i in range(2) for _ in range(len(results[i].table))]


@pytest.mark.parametrize(
    "verb", [verb for verb, parser in verbs().items() if "--json" in parser._option_string_actions]
)
def test_what_prints_tables_prints_csv_too(verb: str) -> None:
    assert ("--format" in verbs()[verb]._option_string_actions) == (verb not in ("merge", "trust"))


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        ("list .", ["study", "kind", "generator", "of", "images", "state"]),
        ("layers planted:", ["layer", "units", "height", "width", "dtype", "bytes"]),
        ("models church", ["name", "kind"]),
        ("models", ["name", "kind"]),
        ("models fetch", ["name", "spec"]),
    ],
)
def test_csv_of_lists(words: str, columns: list[str], answer: Callable[..., str]) -> None:
    found = pd.read_csv(io.StringIO(answer(*words.split(), "--format", "csv")))
    assert list(found)[: len(columns)] == columns
    assert len(found)


def test_a_pipe_gets_a_line_each_row_and_no_empty_cell(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a name that is far longer than any terminal is wide, " * 8
    frame = pd.DataFrame({"name": [long, "", "木", "two\nlines  apart"], "count": [1, 20000, None, 3]})
    terminal.show_tables(Table("made", "Made", (Column("name"), Column("count", "how many")), frame))
    text = capsys.readouterr().out
    lines = text.rstrip("\n").split("\n")
    assert len(lines) == 5
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    assert cells[0] == ["name", "how many"]
    assert [cell[0] for cell in cells[1:]] == [long.strip(), "–", "木", "two lines apart"]
    assert all(len(each) == 2 for each in cells)
    assert not re.search("[─│]", text)


def test_a_terminal_gets_a_ruled_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal.show_tables(Table("made", "Made", (Column("name"),), pd.DataFrame({"name": ["a"]})))
    assert "─" in capsys.readouterr().out


@pytest.mark.parametrize(
    "verb", [verb for verb, parser in verbs().items() if "--engine" in parser._option_string_actions]
)
def test_every_command_that_measures_can_be_quiet(verb: str) -> None:
    assert "--quiet" in verbs()[verb]._option_string_actions


def test_quiet_leaves_results_and_warnings(answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "Bar", None)  # nobody shows how far it is
    warned = ganatomy.open_dissection("study").warnings
    text = answer(*ABLATE, "--quiet")
    assert "images, about" not in text
    assert text.startswith("warning: " if warned else ("method", "concept"))
    assert re.search("report: .*study-causal/layer2/.*/report.html\n$", text)
    argv = ("dissect", "planted:", "--segmenter", "planted:", "--images", "24", "--batch", "8", "--quiet")
    text = answer(*argv, "--layers", "layer2", "--out", "other")
    assert text.count("\n") > 3
    assert " of memory, " not in text
    assert text.endswith("report: other/report.html\n")
    assert "removed" not in answer(*argv, "--layers", "layer1", "--out", "other", "--overwrite")
    assert answer("scenes", "render", "--count", "2", "--size", "16", "--out", "scenes", "--quiet")
