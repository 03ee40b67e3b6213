"""Damaged and hostile files, some hundred a target, always the same ones: an answer or one line, never more."""

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "fuzz" / "harness.py"


@pytest.mark.slow
def test_every_fuzz_target_survives() -> None:
    done = subprocess.run([sys.executable, HARNESS, "--brief", "--seed", "7"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 wrong") == len(list(HARNESS.parent.glob("targets/[a-z]*.py")))
