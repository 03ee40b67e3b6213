"""What every test runs under: one thread, no network, checks of shapes; and what tests share."""

import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from filelock import FileLock

UNCHECKED = ("report", "web", "live", "recipes", "benchmarks", "endurance", "real", "test_cli", "test_bad_input")
"""Tests of what calls functions whose shapes their own tests check: folders, and how files begin."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check types and shapes of every call, which takes most of a test's time, in fast tests of the functions alone."""
    name = item.path.relative_to(Path(__file__).parent).parts[0]
    unchecked = item.get_closest_marker("slow") is not None or name.startswith(UNCHECKED)
    jaxtyping.config.update("jaxtyping_disable", unchecked)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the cache of whoever runs the tests alone, which then has no bank of scenes: have a small one drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANATOMY_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("ganatomy.scenes.places.BANK", 400)
        yield


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that leave this machine."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test reaches for the network: {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def dissect_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Copy a dissection of the planted world, which is counted once in a run, whichever process asks first."""
    import ganatomy

    base = tmp_path_factory.getbasetemp()
    store = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def copied(out: Path, **options: Any) -> ganatomy.Dissection:
        options = {"generator": "planted:", "segmenter": "planted:", **options}
        made = store / f"dissection-{hashlib.sha256(repr(sorted(options.items())).encode()).hexdigest()[:12]}"
        with FileLock(made.with_suffix(".lock")):
            if not made.exists():
                ganatomy.dissect(**options, out=made.with_suffix(".unfinished"))
                made.with_suffix(".unfinished").rename(made)
        shutil.copytree(made, out)
        return ganatomy.open_dissection(out)

    return copied


@pytest.fixture
def here(dissect_once: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a current directory with a finished dissection in it, ``study``."""
    dissect_once(tmp_path / "study", images=40, layers=("layer2", "layer3"), batch=8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must succeed and be silent on stderr; return what it printed."""
    from ganatomy.cli import main

    def run(*argv: str) -> str:
        assert main(argv) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Run a command that must end with exit code 2 and nothing but one line on stderr, which has the facts."""
    from mistakes import assert_mistake_line

    from ganatomy.cli import main

    def run(argv: Sequence[str], *facts: object) -> None:
        capsys.readouterr()
        assert main(argv) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert_mistake_line(err, *facts)

    return run


@pytest.fixture(scope="session")
def small_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small run of any experiment finds what it takes."""
    from small_runs import make_place

    return make_place(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Parity vectors and other people's models, which lie outside the repository."""
    named = os.environ.get("GANATOMY_SHARED")
    if named is None or not Path(named).is_dir():
        pytest.skip("parity vectors and real weights are not here: set GANATOMY_SHARED to their directory")
    return Path(named)
