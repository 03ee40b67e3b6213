"""From stroke to image: how long people wait who paint at once, and whether the server answers meanwhile.

    python benchmarks/paint.py STUDY
    python benchmarks/paint.py STUDY --people 1 20 --strokes 200 --json
    python benchmarks/paint.py STUDY --layers layer6 layer8
    python benchmarks/paint.py STUDY --people 20 --strokes 500
    python benchmarks/paint.py STUDY --people 1 20 --measure-brushes --rest 1.5

A server of its own serves a copy of STUDY. Each person does what the page does (`painting_people.py`): a hand draws and
removes in strokes that grow 60 times a second; one image at a time is asked for, always of the newest state, at once
when the last one is there; when a stroke ends, its image is asked for, and what changed. A stroke is followed by the
next without a rest, which no person does, unless `--rest` is given: brushes are measured only while nobody paints.
Meanwhile a health check is asked all the time.

The server's processor seconds and its private memory come from /proc. Of the latter the means over the second and over
the last tenth of the images are compared: of 10,000 images, they say whether it is flat.
"""

import argparse
import asyncio
import contextlib
import json
import platform
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from painting_people import Connection, Person, Waits
from soak import Sample

HEALTH = 0.03
"""Seconds between two health checks."""
WARM = 15.0
"""Seconds in which a server that is new to a study measures what brushes set; a first stroke may wait for that."""
LOOK = 1.0
"""Seconds between two looks at the server's memory."""


class Server(NamedTuple):
    """Where it is, the path of the API of its study, and the number of its process."""

    address: tuple[str, int]
    study: str
    process: int


@contextlib.asynccontextmanager
async def serving(study: Path, measures: bool) -> AsyncIterator[Server]:
    """Serve a copy of a study, next to which brushes may be measured."""
    with tempfile.TemporaryDirectory(prefix="paint-") as folder:
        copy = shutil.copytree(study, Path(folder, "study"))
        measuring = "--measure-brushes" if measures else "--no-measure-brushes"
        command = [sys.executable, "-m", "ganatomy", "serve", str(copy), "--port", "0", measuring]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            line = (await process.stdout.readline()).decode() if process.stdout else ""
            if not (found := re.search(r"http://(\S+?):(\d+)/", line)):
                raise SystemExit(f"{study} could not be served")
            yield Server((found[1], int(found[2])), "/api/studies/study", process.pid)
        finally:
            process.terminate()
            await process.wait()


def processor_seconds(process: int) -> float:
    """Return how many a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def check_health(address: tuple[str, int], waits: list[float]) -> None:
    """Ask for the server's health until called off."""
    connection = Connection(*address)
    while True:
        began = time.perf_counter()
        await connection.ask("/api/health")
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(HEALTH)


async def watch_memory(process: int, people: Sequence[Person], samples: list[Sample]) -> None:
    """Note the private memory of the server, and how many images there are, until called off."""
    while True:
        samples.append(Sample.of(sum(len(person.waits.images) for person in people), process))
        await asyncio.sleep(LOOK)


def ends(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return the mean private memory over the second and the last tenth of the images, in MB."""
    images = samples[-1].images
    second = [s.memory for s in samples if 0.1 * images <= s.images <= 0.2 * images]
    last = [s.memory for s in samples if s.images >= 0.9 * images]
    return statistics.fmean(second or [samples[0].memory]) / 1e6, statistics.fmean(last) / 1e6


def summary(waits: Sequence[float]) -> dict[str, float]:
    """Return how many there are, their median, within what 95 % are, and the greatest, in milliseconds."""
    found = sorted(1000 * wait for wait in waits) or [float("nan")]
    return {
        "count": len(waits),
        "median_ms": round(statistics.median(found), 1),
        "p95_ms": round(found[int(0.95 * len(found))], 1),
        "most_ms": round(found[-1], 1),
    }


async def paint(server: Server, people: Sequence[Person], images: int) -> dict[str, Any]:
    """Have people paint at once; return what they waited for, and what the server used."""
    health, samples = list[float](), list[Sample]()
    before, began = processor_seconds(server.process), time.perf_counter()
    watching = [
        asyncio.ensure_future(check_health(server.address, health)),
        asyncio.ensure_future(watch_memory(server.process, people, samples)),
    ]
    found: list[Waits] = await asyncio.gather(*(person.paint(images) for person in people))
    used, took = processor_seconds(server.process) - before, time.perf_counter() - began
    for each in watching:
        each.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    second, last = ends(samples)
    count = sum(len(own.images) for own in found)
    return {
        "people": len(people),
        **{what: summary([s for own in found for s in getattr(own, what)]) for what in ("images", "moves", "changes")},
        "slowest_person_p95_ms": max(summary(own.images)["p95_ms"] for own in found),
        "outdated": sum(own.outdated for own in found),
        "refused": sum(own.refused for own in found),
        "health": summary(health),
        "images_a_second": round(count / took, 1),
        "processor_ms_an_image": round(1000 * used / count, 2),
        "memory_mb": [round(second, 1), round(last, 1)],
        "memory_growth": round(last / second - 1, 4),
    }


async def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Have people paint, as many at once as requested."""
    rows = []
    async with serving(args.study, args.measure_brushes) as server:
        own = Connection(*server.address)
        (facts,) = json.loads((await own.ask("/api/studies"))[1])
        layers = args.layers or [facts["layer"]]

        def person(number: int) -> Person:
            return Person(number, server.address, server.study, layers, args.concept, args.rest)

        await person(0).paint(60)
        await asyncio.sleep(WARM)
        for people in args.people:
            before = await _measured(own, server.study)
            row = await paint(server, [person(100 * people + n) for n in range(people)], args.strokes)
            after = await _measured(own, server.study)
            rows.append({"side": facts["height"], "layer": " and ".join(layers), **row, "measured": [before, after]})
    return rows


async def _measured(connection: Connection, study: str) -> float:
    """Return what part of the first brushes is measured."""
    brushes = json.loads((await connection.ask(f"{study}/settings"))[1])["brushes"]
    return round(statistics.fmean(brush["progress"] for brush in brushes), 4)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a finished dissection")
    parser.add_argument("--people", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--strokes", type=int, default=120, help="images that each waits for")
    parser.add_argument("--concept", default="tree")
    parser.add_argument("--layers", nargs="+", help="where they paint, stroke by stroke (where the page starts)")
    parser.add_argument("--rest", type=float, default=0.0, help="seconds between the strokes of a person (0)")
    parser.add_argument("--measure-brushes", action="store_true", help="while the server measures brushes")
    parser.add_argument("--json", action="store_true", help="print numbers only")
    args = parser.parse_args()
    rows = asyncio.run(measure(args))
    if args.json:
        print(json.dumps({"machine": platform.machine(), "rows": rows}, indent=2))
        return
    for row in rows:
        print(_text(row))


def _text(row: dict[str, Any]) -> str:
    def times(name: str) -> str:
        own = row[name]
        return f"median {own['median_ms']:.0f} ms, 95 % within {own['p95_ms']:.0f}, most {own['most_ms']:.0f}"

    lines = [
        f"{row['people']} painting at once, {row['side']} px, {row['layer']}: {row['images']['count']} images, "
        f"{row['images_a_second']:.0f} a second, {row['processor_ms_an_image']:.1f} processor-ms an image",
        f"from request to image: {times('images')}; the person who waits longest: 95 % within "
        f"{row['slowest_person_p95_ms']:.0f}; {row['outdated']} made useless, {row['refused']} refused",
        f"from the move of a hand to the image that has it: {times('moves')}",
        f"from the end of a stroke to what it changed: {times('changes')}",
        f"health check: {times('health')}",
        f"private memory: {row['memory_mb'][0]} MB in the second tenth, {row['memory_mb'][1]} in the last "
        f"({100 * row['memory_growth']:+.1f} %)",
        f"brushes measured: {100 * row['measured'][0]:.1f} % before, {100 * row['measured'][1]:.1f} % after",
    ]
    return "\n  ".join(lines)


if __name__ == "__main__":
    main()
