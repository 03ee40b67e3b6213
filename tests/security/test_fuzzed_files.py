"""Damaged and hostile files, 6 to 120 a target, always the same ones: an answer or one line, never more."""

import importlib
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["describers", "images", "judgements", "open_vocabulary", "pages", "studies", "verbs"])
def test_whole_files_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that refuses its own seeds would not come far."""
    monkeypatch.syspath_prepend(str(HARNESS.parent))
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))  # a target sets it; it is as it was after the test
    target, mutations = importlib.import_module(f"targets.{name}"), importlib.import_module("mutations")
    for number, tree in enumerate(target.seeds()):
        mutations.write_tree(tree, tmp_path / str(number))
        target.read(tmp_path / str(number))
