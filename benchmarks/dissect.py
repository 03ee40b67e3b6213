"""Time and memory of dissection, phase by phase, compared with drawing the images and with a baseline.

    python benchmarks/dissect.py                                            all of it
    python benchmarks/dissect.py --only bundled --images 1000 --threads 1 2
    python benchmarks/dissect.py --json > speed.json

Wall and processor time are both shown, since cores may be shared; a ratio compares times of one run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import baseline
import torch
import torch.nn.functional as F
from timer import Timer
from torch import Tensor

import ganatomy
from ganatomy import DissectSpec, Generator, Segmenter, study
from ganatomy.core.resample import Grid
from ganatomy.experiments import dissection, dissection_stats, sampling, shards, top_images
from ganatomy.experiments.dissect_spec import RUN
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators.progan import ProGAN, progan_network
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.combinations import index_labels
from ganatomy.stats.counting import count_pixels
from ganatomy.stats.images import Presence
from ganatomy.stats.levels import exact_levels, fractions
from ganatomy.stats.topk import TopImages
from ganatomy.study import sharded

IMAGES = ("generator", "segmenter")
STATISTICS = ("levels", "numbering", "counting", "top images", "merging", "reading")
Row = dict[str, Any]


def models() -> tuple[Generator, Segmenter]:
    """Open the bundled models; a random generator of the same size where there are no weights."""
    segmenter = ganatomy.open_segmenter("bundled:scenes")
    try:
        return ganatomy.open_generator("bundled:church"), segmenter
    except ganatomy.UnknownName:
        return ProGAN(progan_network(128, [128] * 6 + [64, 64, 32, 32])), segmenter


def bundled(images: int, threads: int) -> Row:
    """Dissect the bundled model, all layers; charge the time to phases."""
    torch.set_num_threads(threads)
    generator, segmenter = models()
    timer = Timer()
    with tempfile.TemporaryDirectory() as out, timer.watching(*watched(segmenter)), timer.phase("the rest"):
        ganatomy.dissect(generator, segmenter=segmenter, images=images, out=Path(out) / "study")
    row: Row = {"images": images, "threads": threads, "wall_s": dict(timer.wall), "cpu_s": dict(timer.cpu)}
    return row | {f"ratio_{kind}": ratio(seconds) for kind, seconds in (("wall", timer.wall), ("cpu", timer.cpu))}


def ratio(seconds: Mapping[str, float], of: Sequence[str] = IMAGES) -> float:
    """Return what statistics take, as a share of drawing and segmenting the images."""
    return sum(seconds.get(name, 0) for name in STATISTICS) / sum(seconds[name] for name in of)


def watched(segmenter: Segmenter) -> list[tuple[Any, str, str]]:
    """Return the functions of a dissection that are charged to a phase, see `Timer.watching`."""
    return [
        (sampling, "observe", "generator"),
        (type(segmenter), "__call__", "segmenter"),
        (shards, "exact_levels", "levels"),
        (dissection_stats, "index_labels", "numbering"),
        (dissection_stats, "count_pixels", "counting"),
        (TopImages, "update", "top images"),
        (Presence, "update_combined", "top images"),
        (sharded, "_held", "merging"),
        (dissection, "read", "reading"),
        (top_images.Strips, "add", "strips"),
        (study, "write_tensors", "saving"),
        (sharded, "write_tensors", "saving"),
        (study.Study, "write_table", "saving"),
    ]


def synthetic(side: int, units: int, planes: int, device: str, repeats: int, batch: int = 2) -> Row:
    """Count smooth activations against piecewise-constant labels: `units` maps of side², 256² pixels, 400 concepts."""
    g = torch.Generator().manual_seed(0)
    pixels = (256, 256)
    noise = torch.randn(batch, units, side // 8, side // 8, generator=g)
    features = F.interpolate(noise, (side, side), mode="bicubic", align_corners=False).to(device)
    labels = regions(batch, planes, 400 // planes, pixels, g)
    tuples = [len(image.flatten(1).unique(dim=1).T) for image in labels]
    levels = exact_levels(features, Grid(*pixels), fractions()).to(device)
    table = Agreement(levels, 401, batch * pixels[0] * pixels[1])
    labels = labels.to(device)

    def count() -> None:
        numbered = index_labels(labels, levels.shape[1] + 1)
        count_pixels(levels, features, numbered, [table.taking(numbered)])
        if features.is_cuda:
            torch.cuda.synchronize()

    shape = f"{units}x{side}x{side}"
    row: Row = {"features": shape, "planes": planes, "tuples": tuples, "device": device}
    row["threads"] = torch.get_num_threads()
    return row | {name: seconds / batch for name, seconds in measured(count, repeats).items()}


def regions(batch: int, planes: int, concepts: int, size: tuple[int, int], g: torch.Generator) -> Tensor:
    """Return labels of images cut into 150 regions, each with a tuple of labels."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij")
    places = torch.stack([y, x], -1).view(-1, 2)
    images = []
    for _ in range(batch):
        centres = torch.rand(150, 2, generator=g) * torch.tensor(size)
        region = torch.cdist(places, centres).argmin(1).view(size)
        shown = torch.stack(
            [plane * concepts + torch.randint(1, concepts, (150,), generator=g) for plane in range(planes)]
        )
        images.append(shown[:, region])
    return torch.stack(images)


def measured(work: Callable[[], object], repeats: int, *, warm: bool = True) -> dict[str, float]:
    """Return the least and the median seconds, after one run to compile and warm up."""
    if warm:
        work()
    walls, cpus = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - start[0])
        cpus.append(time.process_time() - start[1])
    return {"wall_min": min(walls), "wall_median": median(walls), "cpu_min": min(cpus), "cpu_median": median(cpus)}


def compared(images: int, repeats: int) -> Row:
    """Compare with the baseline: the same models, layers and images, images and statistics together."""
    generator, segmenter = models()
    spec = DissectSpec("benchmark", images=images, validation="cross", calibration=images)
    models_ = ModelPair(generator, segmenter, "cpu")

    def ours() -> None:
        units = range(sum(shape.units for shape in generator.layers.values()))
        levels = shards.measure_levels(spec, models_, RUN.batch, units)
        sizes = [shape.units for shape in generator.layers.values()]
        cuts = dict(zip(generator.layers, levels.by_layer(sizes), strict=True))
        own = replace(spec, validation="separate")
        for half in spec.halves().values():
            for shard in RUN.shards(half):
                shards.tally_shard(own, models_, RUN.batch, cuts, None, None, shard)

    with torch.no_grad():
        theirs = measured(lambda: baseline.dissect(generator, segmenter, list(generator.layers), images), 1, warm=False)
    own = measured(ours, repeats)
    row: Row = {"images": images, "threads": torch.get_num_threads(), "baseline": theirs, "ganatomy": own}
    return row | {f"times_{kind}": theirs[f"{kind}_min"] / own[f"{kind}_min"] for kind in ("wall", "cpu")}


def peak(images: int) -> Row:
    """Return the greatest memory of a whole dissection, in a process of its own."""
    program = (
        "import resource, sys, tempfile, torch, dissect, ganatomy; torch.set_num_threads(1); g, s = dissect.models();"
        "ganatomy.dissect(g, segmenter=s, images=int(sys.argv[1]), out=tempfile.mkdtemp(dir=sys.argv[2]) + '/study');"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", program, str(images), out]
        done = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    return {"images": images, "peak_mb": int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024) / 1e6}


def compilation() -> Row:
    """Return the processor seconds of a first and of a second process, for the compiled loops alone."""
    program = (
        "import time, torch; torch.set_num_threads(1); from ganatomy.stats.agreement import Agreement;"
        "from ganatomy.core.resample import Grid; from ganatomy.stats.levels import exact_levels, fractions;"
        "start = time.process_time();"
        "r = torch.randn(2, 2, 4, 4); table = Agreement(exact_levels(r, Grid(8, 8), fractions()), 3, 999);"
        "table.update(r, torch.ones(2, 1, 8, 8, dtype=torch.long)); print(time.process_time() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", program]
        took = [
            float(subprocess.run(command, env=os.environ | {"NUMBA_CACHE_DIR": cache}, check=True, stdout=-1).stdout)
            for _ in range(2)
        ]
    return {"first_s": took[0], "later_s": took[1]}


def report(results: dict[str, list[Row]]) -> str:
    """Return the results as text."""
    lines = []
    for row in results.get("bundled", []):
        images = 2 * row["images"]
        lines.append(f"\nbundled model, all layers, {row['images']} + {row['images']} images, {row['threads']} threads")
        lines.append(f"  {'ms an image':12}{'wall':>9}{'cpu':>9}")
        for name in (*IMAGES, *STATISTICS, "strips", "saving", "the rest"):
            wall, cpu = (1e3 * row[kind].get(name, 0) / images for kind in ("wall_s", "cpu_s"))
            lines.append(f"  {name:12}{wall:9.3f}{cpu:9.3f}")
        shares = f"{row['ratio_wall']:.0%} (wall), {row['ratio_cpu']:.0%} (cpu)"
        lines.append(f"  levels to reading / (generator + segmenter): {shares}")
    for row in results.get("synthetic", []):
        times = "wall {wall_min:.3f} (median {wall_median:.3f}), cpu {cpu_min:.3f} (median {cpu_median:.3f})"
        lines.append(
            f"\n{row['features']} against 256 x 256 pixels, 400 concepts in {row['planes']} planes, {row['device']}, "
            f"{row['threads']} threads\n  seconds an image: {times.format_map(row)}"
        )
    for row in results.get("baseline", []):
        lines.append(
            f"\nbaseline, {row['images']} images, all layers, {row['threads']} threads: "
            f"{row['baseline']['wall_min']:.1f} s (cpu {row['baseline']['cpu_min']:.1f}); "
            f"ganatomy {row['ganatomy']['wall_min']:.1f} s (cpu {row['ganatomy']['cpu_min']:.1f}): "
            f"{row['times_wall']:.1f} times as fast (cpu {row['times_cpu']:.1f})"
        )
    for row in results.get("memory", []):
        lines.append(f"\npeak memory with {row['images']} + {row['images']} images: {row['peak_mb']:.0f} MB")
    for row in results.get("compile", []):
        lines.append(f"\ncompiling, once: {row['first_s']:.1f} s; from the cache: {row['later_s']:.2f} s")
    return "\n".join(lines)


SECTIONS = ("bundled", "synthetic", "baseline", "memory", "compile")


def run(only: tuple[str, ...], images: int, threads: list[int], repeats: int) -> dict[str, list[Row]]:
    """Measure the asked sections."""
    results: dict[str, list[Row]] = {}
    if "bundled" in only:
        bundled(4, 1)  # compiles
        results["bundled"] = [bundled(images, n) for n in threads]
    torch.set_num_threads(max(threads))
    if "synthetic" in only:
        devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        results["synthetic"] = [synthetic(side, 512, 5, device, repeats) for device in devices for side in (64, 256)]
    if "baseline" in only:
        results["baseline"] = [compared(16, repeats)]
    if "memory" in only:
        results["memory"] = [peak(n) for n in (images, 3 * images)]
    if "compile" in only:
        results["compile"] = [compilation()]
    return results


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--images", type=int, default=400, help="evaluation images; as many again choose the levels")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print numbers only")
    given = parser.parse_args()
    results = run(tuple(given.only), given.images, given.threads, given.repeats)
    about = {"torch": torch.__version__, "machine": platform.machine(), "cores": os.cpu_count()}
    print(json.dumps({"about": about, **results}, indent=2) if given.json else report(results))


if __name__ == "__main__":
    main()
