"""Read damaged files, many and always the same ones: ``python fuzz/harness.py TARGET … --count 2000 --seed 1``.

Each target is a file of `targets`: ``seeds()`` gives trees of whole files, ``read(root)`` reads one. Whatever is wrong
with a file, reading it ends within 5 seconds, within the memory that is allowed, and without writing anything, in an
answer or in a `GanatomyError` of one line. It runs in a process of its own, so that crashes are findings, too.

With ``--atheris`` the same targets are driven by coverage (pip install atheris), until it finds something.
"""

import argparse
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]

from mutations import FileAnomaly, Tree, mutated, write_tree  # noqa: E402

SECONDS = 5
WAITS = 30
"""Seconds of computing, and seconds in all, as the machine may be busy with something else."""
MEMORY = 1 << 30
"""Bytes that reading may take beyond what the process has already."""
LONGEST = 2000
BRIEF = 100
"""Samples of a target in the test suite; slow ones say how many."""
TARGETS = sorted(path.stem for path in (Path(__file__).parent / "targets").glob("[a-z]*.py"))


def sample(seeds: Sequence[Tree], seed: int, number: int) -> Tree:
    """Return the damaged tree of a number: first each file of each seed with every anomaly, then at random."""
    if seed == 0:
        anomalies = [(tree, path, kind) for tree in seeds for path in sorted(tree) for kind in FileAnomaly]
        if number < len(anomalies):
            tree, path, kind = anomalies[number]
            return {**tree, path: kind}
    rng = random.Random(f"{seed} {number}")
    return mutated(rng.choice(seeds), rng)


def verdict(target: ModuleType, root: Path) -> str | None:
    """Read a tree; return what is wrong with how that ended."""
    from ganatomy.core.errors import GanatomyError

    before = set(root.parent.iterdir())
    try:
        target.read(root)
    except GanatomyError as error:
        line = " ".join("; ".join([str(error), *getattr(error, "__notes__", [])]).split())
        if not line or len(line) > LONGEST:
            return f"a message of {len(line)} characters: {line[:300]}"
        if not line.isprintable() and any(ord(letter) < 32 or ord(letter) == 127 for letter in line):
            return f"a message with control characters: {line[:300]!a}"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [f for f in traceback.extract_tb(error.__traceback__) if "/ganatomy/" in f.filename]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
        return f"{type(error).__name__} in {where} ({Path(last.filename).name}:{last.lineno}): {str(error)[:200]}"
    if new := set(root.parent.iterdir()) - before:
        return f"wrote outside: {new}"
    return None


def replay(name: str, count: int, seed: int, start: int = 0, keep: Path | None = None) -> list[str]:
    """Read so many samples in processes of their own; return what was found, each kind once."""
    found: dict[str, str] = {}
    target = importlib.import_module(f"targets.{name}")
    seeds = target.seeds()
    number, waited = start, set[int]()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        notes = Path(folder) / "notes"
        while number < count:
            notes.write_text("")
            child = os.fork()
            if not child:
                _child(target, seeds, (seed, number, count), Path(folder))
            _, status = os.waitpid(child, 0)
            lines = [json.loads(line) for line in notes.read_text().splitlines()]
            for line in lines:
                if "wrong" in line:
                    found.setdefault(line["wrong"].split(": ")[0], f"{name} {seed}/{line['number']}: {line['wrong']}")
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
                break
            number = lines[-1]["number"] if lines else number
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM and number not in waited:
                waited.add(number)  # perhaps the machine was busy; what hangs does so again
                shutil.rmtree(Path(folder) / str(number), ignore_errors=True)
                continue
            how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status}"
            how = "takes too long" if how in ("SIGALRM", "SIGPROF") else how
            if (Path(folder) / "fault").exists():
                raise RuntimeError((Path(folder) / "fault").read_text())
            found.setdefault(f"{how} {len(found)}", f"{name} {seed}/{number}: {how}")
            number += 1
    if keep and found:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{name}.txt").write_text("\n".join(found.values()) + "\n")
    return list(found.values())


def _child(target: ModuleType, seeds: Sequence[Tree], which: tuple[int, int, int], folder: Path) -> None:
    """Read samples until all are read; what is found is noted at once, so that it outlives a crash."""
    seed, first, count = which
    warnings.simplefilter("ignore")
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = size + getattr(target, "MEMORY", MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        with (folder / "notes").open("a", buffering=1) as notes:
            for number in range(first, count):
                print(json.dumps({"number": number}), file=notes)
                holder = folder / f"{number}"
                holder.mkdir()
                write_tree(sample(seeds, seed, number), holder / "in")
                signal.alarm(WAITS)
                signal.setitimer(signal.ITIMER_PROF, getattr(target, "SECONDS", SECONDS))
                wrong = verdict(target, holder / "in")
                signal.alarm(0)
                signal.setitimer(signal.ITIMER_PROF, 0)
                if wrong:
                    print(json.dumps({"number": number, "wrong": wrong}), file=notes)
                shutil.rmtree(holder, ignore_errors=True)
    except BaseException:
        (folder / "fault").write_text(traceback.format_exc())
        os._exit(3)
    os._exit(0)


def drive(name: str, arguments: Sequence[str]) -> None:
    """Let atheris choose the bytes of a seed's first file."""
    import atheris

    with atheris.instrument_imports(include=["ganatomy"]):
        target = importlib.import_module(f"targets.{name}")
    tree = target.seeds()[0]
    path = sorted(tree)[0]

    def once(content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            write_tree({**tree, path: content}, Path(folder) / "in")
            wrong = verdict(target, Path(folder) / "in")
            assert wrong is None, wrong

    with tempfile.TemporaryDirectory(prefix="corpus-") as corpus:
        for number, each in enumerate(target.seeds()):
            content: Any = each.get(path)
            if isinstance(content, bytes):
                (Path(corpus) / str(number)).write_bytes(content)
        atheris.Setup([sys.argv[0], f"-timeout={SECONDS}", "-rss_limit_mb=4096", corpus, *arguments], once)
        atheris.Fuzz()


def main() -> int:
    """Run the targets that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument(
        "--start", type=int, default=0, help="the first input's number; --count is one past the last (0)"
    )
    parser.add_argument("--brief", action="store_true", help="as many as the test suite has time for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="show one sample's outcome, in this process")
    parser.add_argument("--atheris", action="store_true")
    known, others = parser.parse_known_args()
    if known.atheris:
        drive(known.targets[0], others)
    if known.only is not None:
        target = importlib.import_module(f"targets.{known.targets[0]}")
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            write_tree(sample(target.seeds(), known.seed, known.only), Path(folder) / "in")
            target.read(Path(folder) / "in")
        return 0
    failures = 0
    for name in known.targets or TARGETS:
        begin = time.monotonic()
        brief = getattr(importlib.import_module(f"targets.{name}"), "BRIEF", BRIEF)
        count = brief if known.brief else known.count
        found = replay(name, count, known.seed, known.start)
        failures += len(found)
        took = time.monotonic() - begin
        print(f"{name}: {count - known.start} inputs of seed {known.seed} in {took:.0f} s, {len(found)} wrong")
        for line in found:
            print(f"    {line}")
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
