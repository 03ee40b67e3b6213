"""Two processes and one directory: one of them refuses in one line that names the other, and nothing is mixed."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from stage import DISSECT, Stage, differing, files

LONG = (*DISSECT, "--images", "3000")
ABLATE = ("ablate", "study", "--layer", "layer2", "--units", "2", "--images", "3000", "--out", "made")
QUALITY = ("quality", "study", "--real", "scenes:church", "--reals", "3000", "--images", "3000", "--out", "made")
MONITOR = ("monitor", "planted:", "--steps", "1", *LONG[2:], "--out", "made")


def held(stage: Stage, here: Path, *command: str) -> int:
    """Start a command, and stop it once it holds a study; return its process."""
    before = set(here.rglob("study.json"))
    pid = stage.start(here, *command)
    deadline = time.monotonic() + 60
    while not set(here.rglob("study.json")) - before:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(pid, signal.SIGSTOP)
    return pid


PAIRS = {
    "the same": ((*LONG, "--out", "made"), (*LONG, "--out", "made")),
    "another spec, by a link": ((*LONG, "--out", "made"), (*DISSECT, "--seed", "1", "--out", "link")),
    "another path": ((*LONG, "--out", "made"), (*LONG, "--out", "study/../made")),
    "ablate": (ABLATE, ABLATE),
    "quality": (QUALITY, QUALITY),
    "monitor": (MONITOR, MONITOR),
}


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_the_second_names_the_first_and_changes_nothing(stage: Stage, here: Path, pair: str) -> None:
    one, other = PAIRS[pair]
    (here / "link").symlink_to(here / "made")
    first = held(stage, here, *one)
    try:
        before = files(here)
        ended = stage.run(here, *other)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert f"is being written to by process {first}; wait, or give another directory" in ended.err
        assert files(here) == before
    finally:
        os.kill(first, signal.SIGKILL)
        stage.wait(first)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["report", "ablate", "serve"])
def test_what_reads_refuses_a_study_that_is_being_written(stage: Stage, here: Path, verb: str) -> None:
    first = held(stage, here, *LONG, "--out", "made")
    try:
        ended = stage.run(here, verb, "made", *(("--layer", "layer2", "--units", "1") if verb == "ablate" else ()))
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert "holds an unfinished study" in ended.err
    finally:
        os.kill(first, signal.SIGKILL)
        stage.wait(first)


@pytest.mark.slow
def test_a_directory_whose_holder_was_killed_is_free(stage: Stage, here: Path) -> None:
    first = held(stage, here, *DISSECT, "--images", "41", "--out", "made")
    os.kill(first, signal.SIGKILL)
    assert stage.wait(first).code == -signal.SIGKILL
    command = (*DISSECT, "--images", "41")
    assert stage.run(here, *command, "--out", "made").code == 0
    assert stage.run(here, *command, "--out", "whole").code == 0
    assert differing(files(here / "whole"), files(here / "made"), but=["report.html"]) == []


@pytest.mark.slow
def test_a_run_whose_study_was_deleted_does_not_write_into_the_next(stage: Stage, here: Path) -> None:
    first = held(stage, here, *LONG, "--out", "made")
    shutil.rmtree(here / "made")
    assert stage.run(here, *DISSECT, "--seed", "1", "--out", "made").code == 0
    before = files(here / "made")
    os.kill(first, signal.SIGCONT)
    ended = stage.wait(first)
    assert ended.code == 2
    assert "made was moved, removed or replaced while this process wrote to it" in ended.err
    assert files(here / "made") == before


@pytest.mark.slow
def test_two_comparisons_do_not_mix(stage: Stage, here: Path) -> None:
    assert stage.run(here, *DISSECT, "--seed", "1", "--out", "other").code == 0
    for a, b, out in (("study", "other", "one"), ("other", "study", "two")):
        assert stage.run(here, "compare", a, b, "--out", out).code == 0
    pids = [stage.start(here, "compare", *names, "--out", "both") for names in (("study", "other"), ("other", "study"))]
    ended = [stage.wait(pid) for pid in pids]
    assert {each.code for each in ended} <= {0, 2}
    assert not [each for each in ended if each.code == 2 and "is being written to by process" not in each.err]
    both = files(here / "both")
    assert both in (files(here / "one"), files(here / "two"))
