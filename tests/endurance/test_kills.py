"""Killed at any moment, a command ends in the same bits when it is run again; asked to end, it says how to go on."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from conftest import DISSECT
from stage import Stage, differing, files, kill

REALS = ("--real", "scenes:church", "--reals", "260", "--batch", "16")
COMMANDS = {
    "dissect": (*DISSECT, "--images", "300"),
    "ablate": ("ablate", "study", "--layer", "layer2", "--units", "2", "--images", "300", "--random", "1"),
    "quality": ("quality", "study", *REALS, "--images", "260", "--textures", "8"),
    "repair": ("repair", "study", "--layer", "layer2", "--units", "2", *REALS, "--images", "260", "--top", "260"),
}
MORE = {"repair": ("--random", "0", "--textures", "4")}
KILLS = {"dissect": 5, "ablate": 2, "quality": 2, "repair": 2}


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
def test_killed_at_random_moments_it_ends_in_the_same_bits(stage: Stage, here: Path, verb: str) -> None:
    command = (*COMMANDS[verb], *MORE.get(verb, ()), "--out", "made")
    began = time.monotonic()
    assert stage.run(here, *command).code == 0
    took = time.monotonic() - began
    (here / "made").rename(here / "whole")
    moments, killed = random.Random(0), 0
    while killed < KILLS[verb]:
        shutil.rmtree(here / "study-causal", ignore_errors=True)  # what is described of real images is lost, too
        pid = stage.start(here, *command)
        kill(pid, moments.uniform(0.02, took))
        if stage.wait(pid).code == -signal.SIGKILL:
            killed += 1
        else:  # it was faster this time: begin anew
            assert same(here)
            shutil.rmtree(here / "made")
    assert stage.run(here, *command).code == 0
    assert same(here)


def same(here: Path) -> bool:
    """Whether what was made is what is made at one go, and nothing else is left."""
    assert differing(files(here / "whole"), files(here / "made"), but=["report.html", "repaired.json"]) == []
    return not list(here.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda by: by.name)
def test_asked_to_end_it_keeps_what_is_counted_and_says_how_to_go_on(
    stage: Stage, here: Path, by: signal.Signals
) -> None:
    command = (*DISSECT, "--images", "3000", "--out", "made")
    partial = here / "made/steps/validation.partial.npz"
    pid = stage.start(here, *command)
    deadline = time.monotonic() + 60
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    kill(pid, 0.05, by)
    ended = stage.wait(pid)
    assert (ended.code, ended.err) == (128 + by, "ganatomy: stopped; run the same command again to resume\n")
    assert partial.exists()
    assert not list(here.rglob("*.tmp"))


@pytest.mark.slow
def test_what_nohup_ignores_stays_ignored(stage: Stage, here: Path) -> None:
    pid = stage.start(here, "ignoring", "SIGHUP", *DISSECT, "--images", "400", "--out", "made")
    kill(pid, 0.3, signal.SIGHUP)
    assert stage.wait(pid).code == 0
