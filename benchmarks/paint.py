"""From stroke to image: how long people wait who paint at once, and whether the server answers meanwhile.

    python benchmarks/paint.py STUDY
    python benchmarks/paint.py STUDY --people 1 4 --strokes 200 --json
    python benchmarks/paint.py STUDY --layers layer6 layer8
    python benchmarks/paint.py STUDY --people 20 --strokes 500 --measure-brushes

A server of its own serves STUDY. Each person draws and removes in strokes that grow under the brush, as the page sends
them; a request that is answered 409 was made useless by a newer one, and is not counted. Meanwhile a health check is
asked all the time. The server's processor seconds and memory come from /proc.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

PAUSE = 0.03
"""Seconds between two moves of a hand."""


@contextlib.asynccontextmanager
async def serving(study: Path, measures: bool) -> AsyncIterator[tuple[str, int]]:
    """Serve a study; give the address, and the number of the process."""
    measuring = "--measure-brushes" if measures else "--no-measure-brushes"
    command = [sys.executable, "-m", "ganatomy", "serve", str(study), "--port", "0", measuring]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        line = (await process.stdout.readline()).decode() if process.stdout else ""
        if not (found := re.search(r"http://\S+?(?=/)", line)):
            raise SystemExit(f"{study} could not be served")
        yield found[0], process.pid
    finally:
        process.terminate()
        await process.wait()


async def person(client: httpx2.AsyncClient, base: str, number: int, args: argparse.Namespace) -> list[float]:
    """Paint; return the seconds that each image took."""
    waits, strokes = [], []
    for i in range(args.strokes):
        moves = i % 12
        if moves == 0:
            strokes = strokes[-4:]
            strokes.append(
                {
                    "action": ("draw", "remove")[i // 12 % 2],
                    "layer": args.layers[i // 12 % len(args.layers)],
                    "concept": args.concept,
                    "points": [],
                    "radius": 0.1,
                }
            )
        strokes[-1]["points"] = [[0.2 + 0.05 * k, 0.3 + 0.05 * (number % 10)] for k in range(moves + 1)]
        body = {"id": 100 + number, "strokes": strokes, "stream": f"person {number}", "number": i}
        began = time.perf_counter()
        answer = await client.post(f"{base}/paint", json=body)
        if answer.status_code != 409:
            answer.raise_for_status()
            waits.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    return waits


def used(process: int) -> tuple[float, float]:
    """Return the processor seconds of a process so far, and its memory in MB; nothing where there is no /proc."""
    own = Path(f"/proc/{process}")
    if not own.exists():
        return 0.0, 0.0
    fields = (own / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    pages = int((own / "statm").read_text(encoding="ascii").split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def health(client: httpx2.AsyncClient, address: str) -> list[float]:
    """Ask for the server's health until called off."""
    waits: list[float] = []
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            began = time.perf_counter()
            (await client.get(f"{address}/api/health")).raise_for_status()
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE)
    return waits


async def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Have people paint, as many at once as requested."""
    rows = []
    async with (
        serving(args.study, args.measure_brushes) as (address, process),
        httpx2.AsyncClient(timeout=60) as client,
    ):
        (study,) = (await client.get(f"{address}/api/studies")).json()
        base = f"{address}/api/studies/{study['name']}"
        args.layers = args.layers or [study["layer"]]
        await person(client, base, 99, argparse.Namespace(**{**vars(args), "strokes": 3}))  # warm
        for people in args.people:
            before = used(process)
            watching = asyncio.ensure_future(health(client, address))
            found = await asyncio.gather(*(person(client, base, 10 * people + n, args) for n in range(people)))
            watching.cancel()
            waits = sorted(1000 * wait for own in found for wait in own)
            alive = sorted(1000 * wait for wait in await watching)
            after = used(process)
            rows.append(
                {
                    "processor_s": round(after[0] - before[0], 1),
                    "memory_mb": [round(before[1]), round(after[1])],
                    "people": people,
                    "images": len(waits),
                    "median_ms": statistics.median(waits),
                    "p95_ms": waits[int(0.95 * len(waits))],
                    "health_median_ms": statistics.median(alive),
                    "health_p95_ms": alive[int(0.95 * len(alive))],
                    "health_max_ms": alive[-1],
                    "side": study["height"],
                    "layer": " and ".join(args.layers),
                }
            )
    return rows


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a finished dissection")
    parser.add_argument("--people", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--strokes", type=int, default=120, help="images that each asks for")
    parser.add_argument("--concept", default="tree")
    parser.add_argument("--layers", nargs="+", help="where they paint, stroke by stroke (where the page starts)")
    parser.add_argument("--measure-brushes", action="store_true", help="while the server measures brushes")
    parser.add_argument("--json", action="store_true", help="print numbers only")
    args = parser.parse_args()
    rows = asyncio.run(measure(args))
    if args.json:
        print(json.dumps({"machine": platform.machine(), "rows": rows}, indent=2))
        return
    for row in rows:
        print(
            f"{row['people']} painting at once, {row['side']} px, {row['layer']}: median {row['median_ms']:.0f} ms, "
            f"95 % within {row['p95_ms']:.0f} ms ({row['images']} images); health check median "
            f"{row['health_median_ms']:.1f}, 95 % within {row['health_p95_ms']:.1f}, most {row['health_max_ms']:.0f} "
            f"ms; the server took {row['processor_s']} processor seconds, memory {row['memory_mb'][0]} to "
            f"{row['memory_mb'][1]} MB"
        )


if __name__ == "__main__":
    main()
