"""The job of the paper, on random weights: time, memory and disk of each experiment, with their bounds and forecasts.

    python benchmarks/paper_size.py --out DIR                          14 layers, 256 px, 1729 concepts, 1000 + 1000
    python benchmarks/paper_size.py --out DIR --only unit-fid          512 units, 200,000 images, 2048 features
    python benchmarks/paper_size.py --out DIR --only ace monitor --study DIR     of a dissection that was made before
    python benchmarks/paper_size.py --out DIR --images 24 --size 64 --pool 240 --candidates 48 --described 20000
                                                                       a rehearsal

The generator is a Progressive GAN in the published layout; the segmenter labels regions of the images by what their
pixels hold: 400 of its concepts are common, others show on few pixels. Its own time is next to nothing, so that the
time given is that of the generator and of all statistics. Each experiment runs in a process of its own, see
`paper_jobs.py`; what it writes is measured while it runs, too.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAMES = ("dissect", "ace", "unit-fid", "context", "monitor")
GIB = 1 << 30
PAUSE = 0.2
"""Seconds between two looks at the disk."""


class Disk:
    """How many bytes files of a directory take, without those that were there before.

    Attributes:
        most: at any moment that was looked at.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._stop = directory, threading.Event()
        self.most, self._before = 0, self._taken()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> int:
        """Watch no more; return how many they are now."""
        self._stop.set()
        self._thread.join()
        self.most = max(self.most, left := self._taken() - self._before)
        return left

    def _watch(self) -> None:
        while not self._stop.wait(PAUSE):
            self.most = max(self.most, self._taken() - self._before)

    def _taken(self) -> int:
        found: dict[int, int] = {}  # a file with two names takes no more than one
        for file in self._directory.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # moved into place meanwhile
                state = file.lstat()
                found[state.st_ino] = state.st_size
        return sum(found.values())


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """Run one experiment in this process, and return what it took."""
    import torch
    from paper_jobs import EXPERIMENTS

    torch.set_num_threads(1)
    disk, start, cpu = Disk(args.out), time.perf_counter(), time.process_time()
    found = EXPERIMENTS[args.alone](args)
    used = resource.getrusage(resource.RUSAGE_SELF)
    own = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "memory": used.ru_maxrss * 1024}
    left = disk.close()
    return {**own, "disk": left, "disk_most": disk.most, **found}


def described(name: str, row: dict[str, Any]) -> str:
    """Return the line of an experiment."""
    forecast, whole = row.get("forecast"), row.get("whole")
    cells = [f"{name:<9}{row['cpu']:7.0f} CPU-s", f"{row['seconds']:7.0f} s"]
    cells[0] += f" (forecast {forecast['seconds']:.0f})" if forecast else ""
    cells[0] += f" (whole {whole:.0f})" if whole else ""
    memory = f"bound {row['bound'] / GIB:.2f}"
    memory += f", forecast {forecast['memory_bytes'] / GIB:.2f}" if forecast else ""
    cells.append(f"memory {row['memory'] / GIB:.2f} GiB ({memory})")
    disk = f"at most {row['disk_most'] / GIB:.2f}"
    disk += f", forecast {forecast['disk_bytes'] / GIB:.2f}" if forecast else ""
    disk += f", state {row['state'] / GIB:.2f}" if "state" in row else ""
    return "  ".join([*cells, f"disk {row['disk'] / GIB:.2f} GiB ({disk})"])


def main(given: Sequence[str] | None = None) -> None:
    """Run each experiment in a process of its own, and print a table."""
    args = parse(given)
    if args.alone:
        print(json.dumps(measured(args)))
        return
    from paper_models import generator_file

    args.out.mkdir(parents=True, exist_ok=True)
    generator = args.generator or generator_file(args.out, args.size, args.units)
    for name in args.only or NAMES:
        command = [sys.executable, __file__, *(given if given is not None else sys.argv[1:])]
        command += ["--alone", name, "--generator", str(generator)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        row = json.loads(done.stdout.splitlines()[-1])
        print(described(name, row), flush=True)
        (args.out / f"{name}.json").write_text(json.dumps(row, indent=1))


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="where studies go")
    parser.add_argument("--study", type=Path, help="a finished dissection; else the one in OUT")
    parser.add_argument("--generator", type=Path, help="weights; else random ones in OUT")
    parser.add_argument("--images", type=int, default=1000, help="of the dissection")
    parser.add_argument("--size", type=int, default=256, help="pixels of an image's side")
    parser.add_argument("--units", type=int, default=512, help="at most, of a layer")
    parser.add_argument("--concepts", type=int, default=1729)
    parser.add_argument("--common", type=int, default=400, help="how many of them cover regions")
    parser.add_argument("--layer", default="layer4", help="whose units cause, and are inserted")
    parser.add_argument("--pool", type=int, default=10_000, help="images")
    parser.add_argument("--candidates", type=int, default=1280, help="places to insert at; 60,000 are published")
    parser.add_argument("--updates", type=int, default=10, help="of alpha; 500 are published")
    parser.add_argument("--described", type=int, default=200_000, help="images that units are ranked by")
    parser.add_argument("--ranked", type=int, default=10_000, help="units and samples whose distances are enough")
    parser.add_argument("--features", type=int, default=2048, help="numbers that describe an image")
    parser.add_argument(
        "--memory", type=lambda text: int(float(text) * GIB), default=4 * GIB, help="GiB of one process"
    )
    parser.add_argument("--only", nargs="*", choices=NAMES)
    parser.add_argument("--alone", choices=NAMES, help=argparse.SUPPRESS)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
