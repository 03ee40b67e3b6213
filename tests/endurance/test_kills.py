"""Killed at any moment, a command ends in the same bits when it is run again; asked to end, it says how to go on."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from stage import DISSECT, Stage, differing, files

pytestmark = pytest.mark.slow
REALS = ("--real", "scenes:church", "--features", "unet:net.safetensors", "--reals", "40", "--images", "40")
UNITS = ("--layer", "layer2", "--units", "2")
COMMANDS = {
    "dissect": (*DISSECT, "--images", "64"),
    "ablate": ("ablate", "study", *UNITS, "--images", "40", "--random", "1"),
    "quality": ("quality", "study", *REALS, "--textures", "8"),
    "repair": ("repair", "study", *UNITS, *REALS, "--top", "20", "--random", "0", "--textures", "4"),
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_killed_before_a_file_is_in_place_it_ends_in_the_same_bits(stage: Stage, here: Path, verb: str) -> None:
    """Between two files a process changes nothing that is kept, so these are all the moments that there are."""
    command = (*COMMANDS[verb], "--out", "made")
    assert stage.run(here, *command).code == 0
    (here / "made").rename(here / "whole")
    for written in (0, 2, 1):
        shutil.rmtree(here / "study-causal", ignore_errors=True)  # what is described of real images is lost, too
        assert stage.run(here, "dying", str(written), *command).code == -signal.SIGKILL
    assert stage.run(here, *command).code == 0
    assert differing(files(here / "whole"), files(here / "made"), but=["report.html", "repaired.json"]) == []
    assert not list(here.rglob("*.tmp"))


def begun(stage: Stage, here: Path, file: str, *command: str) -> int:
    """Start a dissection, and wait until it has written a file; return its process."""
    pid = stage.start(here, *command, "--out", "made")
    deadline = time.monotonic() + 60
    while not (here / "made" / file).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return pid


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda by: by.name)
def test_asked_to_end_it_keeps_what_is_counted_and_says_how_to_go_on(
    stage: Stage, here: Path, by: signal.Signals
) -> None:
    partial = "steps/validation.partial.npz"
    pid = begun(stage, here, partial, *DISSECT, "--images", "3000")
    os.kill(pid, by)
    ended = stage.wait(pid)
    assert (ended.code, ended.err) == (128 + by, "ganatomy: stopped; run the same command again to resume\n")
    assert (here / "made" / partial).exists()
    assert not list(here.rglob("*.tmp"))


def test_what_nohup_ignores_stays_ignored(stage: Stage, here: Path) -> None:
    pid = begun(stage, here, "study.json", "ignoring", "SIGHUP", *DISSECT, "--images", "200")
    os.kill(pid, signal.SIGHUP)
    assert stage.wait(pid).code == 0
