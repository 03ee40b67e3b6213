"""What it costs to count a study in several places: measured a shard at a time, and projected to 1000 workers.

    python benchmarks/scale.py                               costs, two workers against one, overhead, projection
    python benchmarks/scale.py --only costs project          the projection alone takes a minute
    python benchmarks/scale.py --minutes 5 --docs docs       all of it, and the figure into the guide

Engines are compared in turn within one run: cores may be shared, so ratios are more reliable than seconds. Two
independent processes show what the machine itself gives.
"""

import argparse
import contextlib
import json
import math
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from projection import Costs, project
from torch import Tensor
from unified import write_random

import ganatomy
from ganatomy.core.files import write_text
from ganatomy.core.tensor_files import packed
from ganatomy.engines import Engine
from ganatomy.engines.ipc import Channel, pack, unpack
from ganatomy.engines.registry import open_engine
from ganatomy.experiments.dissect_spec import RUN, DissectSpec
from ganatomy.experiments.dissection_stats import Tally
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.experiments.sampling import observe
from ganatomy.experiments.shards import calibration_parts, measure_levels, tally_shard
from ganatomy.models.generators.progan import ProGAN, progan_network
from ganatomy.report.charts import Line, LineChart, log_axis
from ganatomy.report.svg import as_file
from ganatomy.study.files import write_tensors

Row = dict[str, Any]
SHARD = RUN.shard
LARGE = (512, 512, 512, 512, 512, 512, 512, 512, 256, 256, 128, 128, 64, 64)
"""Units of the layers of a ProGAN of 256 × 256 pixels."""
FEW = 64
"""Images of a shard where engines are compared."""


def least(work: Callable[[], Any], repeats: int = 5) -> float:
    """Return the least processor seconds of several runs, of all threads of this process."""
    work()
    took = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def church() -> tuple[DissectSpec, ModelPair, dict[str, Tensor]]:
    """The bundled model, all layers, with its levels."""
    spec = DissectSpec("bundled:church", images=2 * SHARD)
    models = ModelPair(spec.generator, spec.segmenter, "cpu")
    parts = calibration_parts(spec, models.subject.layers)
    first, *more = (measure_levels(spec, models, RUN.batch, part) for part in parts)
    for each in more:
        first = first.merge(each)
    sizes = [shape.units for shape in models.subject.layers.values()]
    return spec, models, dict(zip(models.subject.layers, first.by_layer(sizes), strict=True))


def costs() -> list[Row]:
    """Measure what a shard of the bundled model costs, and from it what one of a large model does."""
    spec, models, levels = church()
    tally, other = (tally_shard(spec, models, RUN.batch, levels, None, None, range(i, i + 8)) for i in (0, 8))
    work = least(lambda: tally_shard(spec, models, RUN.batch, levels, None, None, range(FEW)), 3) * SHARD / FEW
    one, two = (Channel(end) for end in socket.socketpair())

    def transfer() -> None:
        sender = threading.Thread(target=one.send, args=(pack(tally),))
        sender.start()
        unpack(two.receive())
        sender.join()

    with tempfile.TemporaryDirectory() as place:
        own = Costs(
            name="church",
            work=work,
            transfer=least(transfer) / 2,  # of which each of both ends has one half
            merge=least(lambda: dict(tally.merge(other).state_dict())),
            keep=least(lambda: write_tensors(Path(place) / "tally", tally)),
            bytes=len(packed(tally.state_dict())),
            images=SHARD,
            start=starting(),
            alone=unshared(),
        )
    return [asdict(own), *(asdict(each) for each in large(own))]


def large(small: Costs) -> list[Costs]:
    """The same of 14 layers, 256 × 256 pixels and the unified parser: images are made here, the rest is scaled.

    Counting takes 2.3 ns an activation (docs/speed.md). Workers that are 100 times as fast, as with a GPU, are assumed.
    """
    generator = ProGAN(progan_network(512, list(LARGE)))
    with tempfile.TemporaryDirectory() as place:
        write_random(Path(place))
        models = ModelPair(generator, ganatomy.open_segmenter(f"unified:{place}"), "cpu")
        per_image = least(lambda: models.labels(observe(generator, range(2), 0, list(generator.layers))), 2) / 2
    units, concepts = sum(shape.units for shape in generator.layers.values()), len(models.segmenter.vocabulary)
    tables = units * concepts / (960 * 78)
    work = SHARD * (per_image + 2.3e-9 * units * 256**2)
    scaled = {name: getattr(small, name) * tables for name in ("transfer", "merge", "keep", "alone")}
    size = {"bytes": int(small.bytes * tables), "images": SHARD, "start": small.start}
    slow = Costs("large", work=work, **size, **scaled)
    fast = replace(slow, name="large, 100 times as fast", work=work / 100)
    return [slow, fast, replace(fast, name=f"{fast.name}, shards of {8 * SHARD}", work=8 * fast.work, images=8 * SHARD)]


def rate(engine: Engine, work: Callable[[range], Tally], shards: Sequence[range]) -> tuple[float, float]:
    """Return shards a second of workers that have opened their models, and processor seconds a shard of everything."""
    list(engine(work, shards[:2]))
    start = time.perf_counter(), processor()
    done = sum(count for count, _ in engine(work, shards[2:]))
    return done / (time.perf_counter() - start[0]), (processor() - start[1]) / done


def processor() -> float:
    """Return the processor seconds of this process and of all that it started, and those started; NaN without /proc."""
    if not Path("/proc/self/stat").exists():
        return math.nan
    ticks, processes = 0, [os.getpid()]
    while processes:
        place = Path(f"/proc/{processes.pop()}")
        with contextlib.suppress(OSError):
            ticks += sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:15]))
            for thread in (place / "task").iterdir():
                processes += map(int, (thread / "children").read_text().split())
    return ticks / os.sysconf("SC_CLK_TCK")


def pair(rounds: int) -> list[Row]:
    """Compare two workers of one thread each with one, and with two processes that know nothing of each other."""
    spec, models, levels = church()
    work = partial(tally_shard, spec, models, RUN.batch, levels, None, None)
    shards = [range(i, i + 2) for i in (0, 2)] + [range(i, i + FEW) for i in range(0, 8 * FEW, FEW)]
    found: dict[str, list[tuple[float, float]]] = {}
    for name in ("processes", "ray"):
        for _ in range(rounds):
            for workers in (1, 2):
                with open_engine(name, workers=workers) as engine:
                    found.setdefault(f"{name} {workers}", []).append(rate(engine, work, shards))
    for _ in range(rounds):
        with open_engine("processes", workers=1) as one, open_engine("processes", workers=1) as two:
            found.setdefault("apart", []).append(apart([one, two], work, shards))
    rows: list[Row] = []
    for name, own in found.items():
        rates, used = zip(*own, strict=True)
        first = found["ray 1" if name.startswith("ray") else "processes 1"]
        times = [one[0] / other[0] for one, other in zip(own, first, strict=True)]
        rows.append({"engine": name, "shards_per_s": rates, "processor_s": median(used), "times_one": median(times)})
    return rows


def apart(engines: Sequence[Engine], work: Callable[[range], Tally], shards: Sequence[range]) -> tuple[float, float]:
    """Return the same of engines that know nothing of each other."""
    for engine in engines:
        list(engine(work, shards[:2]))
    start = time.perf_counter(), processor()
    running = [threading.Thread(target=lambda own=own: list(own(work, shards[2:]))) for own in engines]
    for each in running:
        each.start()
    for each in running:
        each.join()
    done = len(engines) * (len(shards) - 2)
    return done / (time.perf_counter() - start[0]), (processor() - start[1]) / done


def overhead(minutes: float, work: float) -> list[Row]:
    """Dissect the bundled model for so long, here and through engines of one worker, each in a process of its own."""
    images = max(SHARD, int(60 * minutes / work * SHARD / 2) // SHARD * SHARD)
    rows: list[Row] = []
    for name in ("local", "processes", "ray"):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, __file__, "--alone", name, "--images", str(images), "--out", out]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = {"engine": name, "images": images, **json.loads(done.stdout.splitlines()[-1])}
        rows.append(row | {"more": {kind: row[kind] / (rows or [row])[0][kind] - 1 for kind in ("wall_s", "cpu_s")}})
    return rows


def alone(name: str, images: int, out: Path) -> Row:
    """Dissect once, and say what it took, with the processes that it started."""
    start = time.perf_counter()
    with open_engine(name, workers=None if name == "local" else 1) as engine:
        ganatomy.dissect("bundled:church", images=images, out=out / "study", engine=engine)
        used = processor()
    return {"wall_s": time.perf_counter() - start, "cpu_s": used}


class Watch:
    """Progress that adds up how long steps take that are counted by the shard."""

    def __init__(self) -> None:
        self.shared, self._since = 0.0, 0.0

    def begin(self, *_: object) -> None:
        """Start a step."""
        self._since = time.process_time()

    def advance(self, pieces: int) -> None:
        """Do nothing."""

    def end(self) -> None:
        """End it."""
        self.shared += time.process_time() - self._since


def unshared() -> float:
    """Return the processor seconds of a dissection of the bundled model that are not counted by the shard."""
    watch = Watch()
    models = ModelPair("bundled:church", "bundled:scenes", "cpu")
    models.labels(models.subject.observe(models.subject.latents(range(2), 0), []))
    with tempfile.TemporaryDirectory() as out:
        start = time.process_time()
        ganatomy.dissect(models.subject, segmenter=models.segmenter, images=SHARD, out=out, progress=watch)
        return time.process_time() - start - watch.shared


def starting() -> float:
    """Return the processor seconds until a worker has started and counted two images, models and all."""
    spec, models, levels = church()
    start = processor()
    with open_engine("processes", workers=1) as engine:
        list(engine(partial(tally_shard, spec, models, RUN.batch, levels, None, None), [range(2)]))
        return processor() - start


def projected(measured: Sequence[Row], images: int) -> list[Row]:
    """Project every case, merged by the driver alone, and by the workers as a tree."""
    rows = []
    for case in measured:
        for tree in (False, True):
            own = project(Costs(**case), images, tree)
            rows += [{"case": case["name"], "tree": tree, **row} for row in own]
    return rows


def figure(rows: Sequence[Row]) -> str:
    """Return the projection as the text of an SVG file: how many times as fast over workers."""
    blocks = []
    for case in dict.fromkeys(row["case"] for row in rows):
        lines = []
        for tree, name, dash in ((False, "driver", "6 4"), (True, "tree", "")):
            own = [row for row in rows if row["case"] == case and row["tree"] == tree]
            x, y = ([float(row[key]) for row in own] for key in ("workers", "times"))
            lines.append(Line(name, x, y, [0.0] * len(own), "currentColor", dash))
        across = log_axis("workers", [v for line in lines for v in line.x], lambda value: f"{value:,.0f}")
        up = log_axis("times one worker", [v for line in lines for v in line.y], lambda value: f"{value:,.0f}")
        blocks.append((case, LineChart(lines, across, up, case)))
    return as_file("How many times as fast so many workers are", (), blocks)


def report(results: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = []
    for row in results.get("costs", []):
        parts = ", ".join(f"{name} {row[name]:.3g}" for name in ("work", "transfer", "merge", "keep", "start", "alone"))
        lines.append(
            f"{row['name']}: a shard of {row['images']}, processor seconds: {parts}; {row['bytes'] / 1e6:.0f} MB"
        )
    for row in results.get("pair", []):
        rates = ", ".join(f"{rate:.3f}" for rate in row["shards_per_s"])
        text = f"{row['times_one']:.2f} times one worker, {row['processor_s']:.2f} processor seconds a shard of {FEW}"
        lines.append(f"{row['engine']:12} {text} (shards a second: {rates})")
    for row in results.get("overhead", []):
        more = ", ".join(f"{kind[:-2]} {value:+.1%}" for kind, value in row["more"].items())
        lines.append(f"{row['engine']:12} {row['images']} + {row['images']} images: {row['wall_s']:.0f} s ({more})")
    for row in results.get("project", []):
        shares = f"driver busy {row['busy']:4.0%}, counting {row['at_work']:4.0%}"
        text = f"{row['workers']:5} workers {row['seconds'] / 3600:9.2f} h {row['times']:6.1f} times  {shares}"
        lines.append(f"{row['case']:40} {'tree' if row['tree'] else 'driver':7}{text}  {row['limit']}")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ("costs", "pair", "overhead", "project")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections)
    parser.add_argument("--minutes", type=float, default=5, help="of each run that the overhead is taken from")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison of engines")
    parser.add_argument("--images", type=int, default=200_000, help="of the study that is projected")
    parser.add_argument("--docs", type=Path, help="directory of the guide: write the figure there")
    parser.add_argument("--json", action="store_true", help="print numbers only")
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # one run of `overhead`
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # of workers and of other runs, too
    if given.alone:
        print(json.dumps(alone(given.alone, given.images, given.out)))
        return
    results: dict[str, Any] = {"about": {"torch": torch.__version__, "machine": platform.machine()}}
    results["about"] |= {"cores": os.cpu_count(), "load": os.getloadavg()}
    if set(given.only) - {"pair"}:
        results["costs"] = costs()
    if "pair" in given.only:
        results["pair"] = pair(given.rounds)
    if "overhead" in given.only:
        results["overhead"] = overhead(given.minutes, results["costs"][0]["work"])
    if "project" in given.only:
        results["project"] = projected(results["costs"], given.images)
        if given.docs:
            write_text(given.docs / "images" / "scale.svg", figure(results["project"]))
    print(json.dumps(results, indent=1) if given.json else report(results))


if __name__ == "__main__":
    main()
