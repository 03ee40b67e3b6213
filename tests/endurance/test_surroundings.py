"""Where a command line may find itself: closed streams, few letters, no home, no asserts, odd names."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stage import DISSECT, Stage, differing, files

from ganatomy.cli import main, process, verbs

NAME = "st ü 名%20 {x}\ny"
"""A directory that a person may have."""
BARE = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@pytest.mark.slow
def test_where_nothing_is_as_usual_the_numbers_are(stage: Stage, here: Path) -> None:
    """No asserts, no home, no place for temporary files, a terminal that knows few letters, a name that has many."""
    command = [sys.executable, "-m", "ganatomy", *DISSECT, "--out", NAME]
    odd = {"PYTHONOPTIMIZE": "1", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict", "TMPDIR": "/nowhere"}
    done = subprocess.run(
        command, cwd=here, env=BARE | odd, capture_output=True, umask=0o077, check=False, encoding="ascii"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"report: {NAME}/report.html".encode("ascii", "replace").decode() in done.stdout
    assert stage.run(here, *DISSECT, "--out", "usual").code == 0
    assert differing(files(here / "usual"), files(here / NAME), but=["report.html"]) == []
    assert {path.stat().st_mode & 0o077 for path in (here / NAME).rglob("*")} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["{here}/{name}", "file://{here}/{name}"], ids=["directory", "url"])
def test_a_clock_that_goes_back_changes_nothing(stage: Stage, here: Path, where: str) -> None:
    """By a day each time it is asked, as a lock at a URL does again and again."""
    for under, name in (("clock-back",), "back"), ((), "usual"):
        ended = stage.run(here, *under, *DISSECT, "--out", where.format(here=here, name=name))
        assert (ended.code, ended.err) == (0, "")
    assert differing(files(here / "usual"), files(here / "back"), but=["report.html"]) == []
    assert not list(here.rglob("*.tmp"))


@pytest.mark.slow
def test_no_warning_in_development_mode(here: Path) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-m", "ganatomy", *DISSECT, "--out", "made"]
    done = subprocess.run(command, cwd=here, env=BARE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("closed", "argv", "code"),
    [("1", ["models"], 0), ("1,2", ["dissect", "planted:", "--images", "0", "--out", "x"], 2)],
)
def test_closed_streams_are_no_fault(closed: str, argv: list[str], code: int) -> None:
    close = "import os, sys; [os.close(int(n)) for n in sys.argv[1].split(',')]; "
    close += "os.execv(sys.executable, [sys.executable, '-m', 'ganatomy', *sys.argv[2:]])"
    command = [sys.executable, "-c", close, closed, *argv]
    done = subprocess.run(command, env=BARE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "ü"), ("ascii", "\\u00fc")])
def test_json_has_every_letter_whatever_the_terminal_knows(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    verbs.print_json({"name": "ü"})
    sys.stdout.flush()
    assert shown in written.getvalue().decode(encoding)
    assert json.loads(written.getvalue()) == {"name": "ü"}


def test_signals_are_given_back_and_those_of_others_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(*_: object) -> None:
        pass

    before = [signal.signal(signal.SIGTERM, own), signal.signal(signal.SIGHUP, signal.SIG_DFL)]
    try:
        with process.prepared():
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGHUP) is process._stop
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        assert main(["models", "--json"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])
