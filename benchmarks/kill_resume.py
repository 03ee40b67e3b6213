"""Fifty kills: is a command that dies again and again, at any moment, the same to the bit in the end?

    python benchmarks/kill_resume.py                 dissect, ablate, quality and repair; some ten minutes of one core
    python benchmarks/kill_resume.py dissect --kills 50 --seed 1

Each command is run once at one go, then again and again, killed (SIGKILL) at a moment drawn evenly over the time that
it took: while modules load, while it counts, merges, writes, concludes, makes its report. A run that ends before its
kill is compared and thrown away, and counting begins anew; the last one is run to its end. Every file must be the same,
and none half-written may be left.
"""

import argparse
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

GANATOMY = [sys.executable, "-m", "ganatomy"]
STUDY = ["dissect", "planted:", "--segmenter", "planted:", "--layers", "layer2,layer3", "--batch", "8"]
REALS = ["--real", "scenes:church", "--reals", "260", "--images", "300"]
COMMANDS = {
    "dissect": [*STUDY, "--images", "1500"],
    "ablate": ["ablate", "study", "--layer", "layer2", "--units", "2", "--images", "800", "--random", "2"],
    "quality": ["quality", "study", *REALS, "--textures", "16"],
    "repair": ["repair", "study", "--layer", "layer2", "--units", "2", *REALS, "--top", "260", "--textures", "8"],
}
PATHS = ("report.html", "repaired.json")
"""What names the directory that it lies in."""


def run(folder: Path, command: Sequence[str], seconds: float | None = None) -> bool:
    """Run a command, or kill it after so many seconds; return whether it ended by itself."""
    with subprocess.Popen([*GANATOMY, *command], cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return process.returncode == 0


def files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", *PATHS))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def differing(folder: Path) -> list[str]:
    """Return the files that are not as they were made at one go, and those that are half-written."""
    one, other = files(folder / "whole"), files(folder / "made")
    left = [str(path.relative_to(folder)) for path in folder.rglob("*.tmp")]
    return sorted([*left, *(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))])


def endure(verb: str, kills: int, seed: int) -> str:
    """Kill a command so many times; say what came of it."""
    moments, killed, ended = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        run(folder, [*STUDY, "--images", "40", "--out", "study"])
        command = [*COMMANDS[verb], "--out", "made"]
        run(folder, command)
        shutil.rmtree(folder / "made")
        shutil.rmtree(folder / "study-causal", ignore_errors=True)
        began = time.perf_counter()
        run(folder, command)
        took = time.perf_counter() - began
        (folder / "made").rename(folder / "whole")
        wrong: list[str] = []
        while True:
            shutil.rmtree(folder / "study-causal", ignore_errors=True)  # what is described of real images
            last = killed == kills
            if not run(folder, command, None if last else moments.uniform(0, took)):
                killed += 1
                continue
            ended += 1
            wrong += differing(folder)
            if last:
                break
            shutil.rmtree(folder / "made")
    outcome = f"differing: {', '.join(wrong)}" if wrong else "the same to the bit, nothing left behind"
    return f"{verb}: {took:.1f} s at one go, {killed} kills (seed {seed}), {ended} ends: {outcome}"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", choices=[*COMMANDS, []], help="(all)")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for verb in args.commands or COMMANDS:
        print(endure(verb, args.kills, args.seed), flush=True)


if __name__ == "__main__":
    main()
