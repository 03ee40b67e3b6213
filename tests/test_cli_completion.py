"""A shell completes commands, options, choices and names."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganatomy.cli import main


def completed(line: str, place: Path) -> list[str]:
    """Return what a shell is told at the end of a line."""
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(place / "told")}
    asked |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    subprocess.run([sys.executable, "-m", "ganatomy"], env={**os.environ, **asked}, cwd=place, check=True)
    return (place / "told").read_text().split("\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ganatomy diss", "dissect"),
        ("ganatomy dissect bundled:ch", "bundled:church"),
        ("ganatomy dissect prog", "progan:"),
        ("ganatomy dissect x --segmenter bundled:s", "bundled:scenes"),
        ("ganatomy ablate study --top-u", "--top-units"),
        ("ganatomy ablate study --format c", "csv"),
        ("ganatomy ablate study --set imag", "images="),
        ("ganatomy models fe", "fetch"),
        ("ganatomy models chur", "church"),
        ("ganatomy models fetch --li", "--list"),
        ("ganatomy show stu", "study/"),
        ("ganatomy dissect x --images ", ""),
    ],
)
def test_a_line_is_completed(line: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    assert expected in completed(line, tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_a_shell_is_valid(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    code = capsys.readouterr().out
    assert "ganatomy" in code
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=code, text=True, check=True)


def test_another_shell_and_a_missing_package_are_one_line(
    refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(["completion", "csh"], "zsh")
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    refused(["completion", "bash"], "pip install 'ganatomy[completion]'")
