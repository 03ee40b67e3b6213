"""Commands in processes of their own, without the seconds that each needs to load its modules.

A stage is a process that has loaded them and waits; for every command it forks a child, which is killed, starved and
crowded like any other process. Where it is told to, it lives in a world of its own (namespaces), where it may mount.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

IN_A_WORLD_OF_ITS_OWN = ["unshare", "--user", "--map-root-user", "--mount"]

DISSECT = ("dissect", "planted:", "--segmenter", "planted:", "--layers", "layer2", "--images", "40", "--batch", "8")
"""A short dissection."""


@dataclasses.dataclass
class Ended:
    """How a command ended: its exit code, negative for a signal, and what it wrote to stderr and stdout."""

    code: int
    err: str
    out: str


class Stage:
    """The process that forks."""

    def __init__(self, own_world: bool = False) -> None:
        command = [*(IN_A_WORLD_OF_ITS_OWN if own_world else []), sys.executable, __file__]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._answer() == "ready"

    def start(self, folder: Path, *argv: str) -> int:
        """Start a command in a folder; return its process id."""
        return int(self._ask("start", str(folder), list(argv)))

    def wait(self, pid: int) -> Ended:
        """Wait for a command."""
        return Ended(*self._ask("wait", pid))

    def run(self, folder: Path, *argv: str) -> Ended:
        """Start a command and wait for it."""
        return self.wait(self.start(folder, *argv))

    def shell(self, *command: str) -> None:
        """Run a program in the stage's world; it must succeed."""
        assert self._ask("shell", list(command)) == 0, command

    def files(self, folder: Path) -> dict[str, str]:
        """Return the sha256 of every file in a folder of the stage's world, but of locks."""
        found: dict[str, str] = self._ask("files", str(folder))
        return found

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, *order: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or '"gone"')


TIME = re.compile(rb"<time>[^<]*</time>")
"""What a page says about when a study was written."""


def files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file in a folder but of locks, and of pages without the times that they show."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): _digest(path) for path in found}


def _digest(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha256(TIME.sub(b"", content) if path.suffix == ".html" else content).hexdigest()


def differing(one: Mapping[str, str], other: Mapping[str, str], but: Sequence[str] = ()) -> list[str]:
    """Return the names of files that are not in both with the same content, but those that have a part of `but`."""
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return [name for name in names if not any(part in name for part in but)]


# ---------------------------------------------------------------- in the stage itself


def _serve() -> None:
    import torch

    import ganatomy.api.experiments
    import ganatomy.experiments.causal.ace
    import ganatomy.report.html  # noqa: F401
    from ganatomy.cli import causal_runs, main  # noqa: F401

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    running: dict[int, tuple[Path, Path]] = {}

    def answer(content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    answer("ready")
    for number, line in enumerate(sys.stdin):
        kind, *rest = json.loads(line)
        if kind == "start":
            said = Path(f"/tmp/stage-{os.getpid()}-{number}.err"), Path(f"/tmp/stage-{os.getpid()}-{number}.out")  # noqa: S108
            pid = os.fork()
            if pid == 0:
                _perform(*rest, said, main)
            running[pid] = said
            answer(pid)
        elif kind == "wait":
            code = os.waitstatus_to_exitcode(os.waitpid(rest[0], 0)[1])
            told = [path.read_text() for path in running[rest[0]]]
            for path in running.pop(rest[0]):
                path.unlink()
            answer([code, *told])
        elif kind == "shell":
            answer(subprocess.run(rest[0], check=False).returncode)
        else:
            answer(files(Path(rest[0])))


def _redirect(descriptor: int, path: str, how: int) -> None:
    opened = os.open(path, how, 0o600)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)


def _die_before(written: int) -> None:
    """Be killed when so many files are in place, and the next is written but not yet moved."""
    replace = os.replace

    def replace_or_die(*paths: Any) -> None:
        nonlocal written
        if not written:
            os.kill(os.getpid(), signal.SIGKILL)
        written -= 1
        replace(*paths)

    os.replace = replace_or_die


def _turn_back_clock() -> None:
    """Let the clock of the day go back by a day whenever it is asked."""
    days = itertools.count()
    now = time.time
    time.time = lambda: now() - 86400 * next(days)


UNDER: dict[str, Callable[[str], object]] = {
    "ignoring": lambda name: signal.signal(signal.Signals[name], signal.SIG_IGN),
    "files": lambda number: resource.setrlimit(resource.RLIMIT_NOFILE, (int(number), int(number))),
    "dying": lambda number: _die_before(int(number)),
    "clock-back": lambda _: _turn_back_clock(),
    "full-out": lambda _: _redirect(1, "/dev/full", os.O_WRONLY),
    "full-err": lambda _: _redirect(2, "/dev/full", os.O_WRONLY),
}
"""Words before a command, and what is done in its process before it runs; some take an argument."""
TAKING = ("ignoring", "files", "dying")


def _perform(folder: str, argv: list[str], said: tuple[Path, Path], main: Any) -> None:
    """Be the command."""
    code = 70
    try:
        os.chdir(folder)
        _redirect(0, os.devnull, os.O_RDONLY)
        for path, descriptor in zip(said, (2, 1), strict=True):
            _redirect(descriptor, str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if argv[0] in UNDER:
            UNDER[argv[0]](argv[1])
            argv = argv[2 if argv[0] in TAKING else 1 :]
        code = main(argv)
    except BaseException as error:
        import traceback

        traceback.print_exception(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
