"""``ganatomy serve``, as a person starts and ends it."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mistakes import mistake

from ganatomy.cli.serve import is_this_machine, study_names
from ganatomy.study.removal import remove_study


@pytest.fixture(scope="module")
def study(dissect_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("serve") / "planted"
    dissect_once(directory, images=64)
    return directory


@contextlib.contextmanager
def ending(process: "subprocess.Popen[str]") -> Iterator[None]:
    """See to it that a process ends with the block."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104  others may reach it: that needs a token
def test_it_says_where_it_is_answers_and_ends_by_ctrl_c(study: Path, host: str) -> None:
    command = [sys.executable, "-m", "ganatomy", "serve", str(study), "--port", "0", "--host", host]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ending(process),
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        port = re.search(r":(\d+)/", address)
        assert port
        here = f"http://127.0.0.1:{port[1]}/api/studies"
        if host != "127.0.0.1":
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(here, timeout=120)
            here += "?token=" + address.partition("token=")[2]
            request = urllib.request.Request(here.partition("?")[0])
            request.add_header("authorization", f"Bearer {here.partition('token=')[2]}")
        else:
            request = urllib.request.Request(here)
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)[0]["name"] == "planted"
        with mistake("study-busy", f"process {process.pid}"):
            remove_study(study)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["no-such-study"], "no-such-study"),
        (["STUDY", "--port", "70000"], 70000),
        (["STUDY", "--annotations", "nonsense://x"], "nonsense"),
        (["STUDY", "--token", ""], "at least one"),
        (["STUDY", "--token", "two words"], "letters, digits"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    study: Path, refused: Callable[..., None], arguments: list[str], fact: object
) -> None:
    refused(["serve", *(str(study) if each == "STUDY" else each for each in arguments)], fact)


def test_only_this_machines_own_names_need_no_token() -> None:
    assert all(map(is_this_machine, ("localhost", "127.0.0.1", "::1")))
    assert not any(map(is_this_machine, ("0.0.0.0", "10.0.0.1", "")))  # noqa: S104


def test_studies_of_one_name_are_told_apart() -> None:
    given = [Path(name) for name in ("church-2", "a/church", "b/church", "c/church", "d/my “church” & co")]
    assert study_names(given) == ["church-2", "church", "church-3", "church-4", "my “church” & co"]
