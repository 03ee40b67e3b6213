"""``ganatomy monitor`` at the command line: what it prints and writes, what it skips, what it refuses in one line."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ganatomy.cli import main

Answer = Callable[..., str]
FAST = ["--segmenter", "planted", "--images", "16", "--levels", "8", "--batch", "8", "--layers", "layer1"]


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("looked")
    names = ["planted", "planted:broken-7", "planted"]
    assert main(["monitor", *names, "--steps", "5,7,10", "--out", str(home / "out"), *FAST]) == 0
    return home / "out"


@pytest.fixture(autouse=True)
def here(looked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with the snapshots of a training in it."""
    shutil.copytree(looked, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_what_was_found_and_what_was_skipped(answer: Answer, here: Path) -> None:
    names = ["planted", "planted:broken-7", "planted"]
    text = answer("monitor", *names, "--steps", "5,7,10", "--out", "out", *FAST)
    assert re.match(r"3 checkpoints, about \d+ s: of each 32 images, [\d.]+ [MG]B of memory, \d+ kB in out\n", text)
    assert "skipped: planted:broken-7: " in text
    assert "report: out/monitor.html" in text
    rows = [line.split() for line in text.splitlines() if line.strip().startswith(("5 ", "10 "))]
    assert [row[0] for row in rows] == ["5", "10"]
    assert (here / "out/monitor.html").is_file()


def test_without_checkpoints_it_shows_what_is_there(answer: Answer) -> None:
    told = json.loads(answer("monitor", "--out", "out", "--json", "--units", "3,layer1/0"))
    assert {row["step"] for row in told["table"]} == {5, 10}
    assert [(row["unit"], row["step"]) for row in told["followed"]] == [(3, 5), (3, 10), (0, 5), (0, 10)]
    assert [row["name"] for row in told["skipped"]] == ["planted:broken-7"]
    assert told["report"] == "out/monitor.html"
    assert {row["before"] for row in told["turnover"]} == {5}
    assert told["since"]


def test_only_every_second_checkpoint_and_the_last(answer: Answer, here: Path) -> None:
    names = ["planted"] * 4
    text = answer("monitor", *names, "--steps", "1,2,3,4", "--every", "2", "--out", "few", *FAST)
    assert "3 checkpoints" in text
    assert sorted(path.stem for path in (here / "few/snapshots").iterdir()) == ["000000001", "000000003", "000000004"]


@pytest.mark.parametrize(
    ("argv", "fact"),
    [
        (["--out", "out", "--images", "8"], "--images"),
        (["--out", "out", "--family", "progan"], "--family"),
        (["--out", "out", "--units", "layer1/x"], "unit 'x'"),
        (["a-1.pth", "--out", "new", "--family", "progan"], "a-1.pth"),
        (["a-1.pth", "--out", "new", "--family", "progna"], "progan"),
        (["a-1.pth", "--out", "new", "--family", "progan", "--open", "progan:{}"], "--open"),
        (["planted", "--out", "new", "--steps", "x"], "step 'x'"),
        (["planted", "--out", "new", "--steps", "1", "--every", "0"], "--every 0"),
        (["planted", "--out", "new", "--steps", "1", "--images", "1"], "images=1"),
        (["planted", "--out", "new", "--steps", "1", "--layers", "layr1"], "layer1"),
        (["planted", "--out", "new", "--steps", "1", "--segmenter", "plantd"], "planted"),
        (["planted"], "--out"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], fact: str, refused: Callable[..., None]) -> None:
    refused(["monitor", *argv], fact)
