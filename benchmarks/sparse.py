"""What counting the features of a sparse autoencoder costs, beside a dense layer of a tenth as many units.

    python benchmarks/sparse.py                                   time and memory, 5,120 features of which 32 are on
    python benchmarks/sparse.py --only time --sides 16 --pixels 64

**Maps** are as a layer with the top 32 of 5,120 features at every place has them: smooth over the image, and some
features are on far more often than others. **Labels** are regions with one of 335 concepts, of which few are common.
**Dense** are 512 maps that are smooth and nowhere 0, against the same labels.

Processor seconds of counting a batch for both halves' statistics, the least of several turns in which the ways take
turns. Memory is of a process of its own: what is resident at the peak, above what it was when the package was loaded.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.core.resample import Grid
from ganatomy.core.tensor_files import Archive, packed, write
from ganatomy.engines.memory import trim_heap
from ganatomy.experiments.choosing import portions
from ganatomy.experiments.dissection_stats import Counting, Tally
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.levels import exact_levels, fractions
from ganatomy.stats.pairs import PairCounts, PairLevels
from ganatomy.stats.rows import Bins

FEATURES, ON, UNITS, CONCEPTS = 5120, 32, 512, 335
REGIONS = 30
KINDS = (["all levels"], ["pairs"], ["all levels", "pairs"])
Row = dict[str, Any]


def smooth(images: int, units: int, side: int, seed: int) -> Tensor:
    """Return random maps, smooth over four places, float32 [b, u, side, side]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, units, max(side // 4, 2), max(side // 4, 2), generator=g)
    fine = torch.randn(images, units, side, side, generator=g)
    return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False) + 0.3 * fine


def sparse(images: int, side: int, seed: int = 0) -> Tensor:
    """Return maps of which the greatest of all features are kept at every place, and above them nothing but 0."""
    r = smooth(images, FEATURES, side, seed)
    r += 0.5 * torch.randn(1, FEATURES, 1, 1, generator=torch.Generator().manual_seed(1))  # of some more often
    least = r.topk(ON, 1).values[:, -1:]
    return torch.where(r >= least, r, 0.0).relu_()


def regions(images: int, pixels: int, seed: int = 0) -> Tensor:
    """Return labels [b, 1, pixels, pixels] of images cut into regions; how common a concept is falls as 1 / rank."""
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*[torch.arange(pixels, dtype=torch.float32)] * 2, indexing="ij")
    places, common = torch.stack([y, x], -1).view(-1, 2), 1 / torch.arange(1, CONCEPTS + 1, dtype=torch.float32)
    labels = []
    for _ in range(images):
        centres = torch.rand(REGIONS, 2, generator=g) * pixels
        shown = 1 + torch.multinomial(common, REGIONS, replacement=True, generator=g)
        labels.append(shown[torch.cdist(places, centres).argmin(1)].view(1, pixels, pixels))
    return torch.stack(labels)


def chosen(levels: Tensor) -> PairLevels:
    """Return what is counted of the evaluation half: every pair, at levels drawn at random."""
    g = torch.Generator().manual_seed(2)
    level, null = (torch.randint(-1, levels.shape[1], (len(levels), CONCEPTS + 1), generator=g) for _ in range(2))
    kept = torch.stack([torch.randperm(CONCEPTS, generator=g)[:20] + 1 for _ in range(len(levels))])
    return PairLevels(levels, torch.arange(CONCEPTS + 1), level.short(), null.short(), kept.short())


def table(kind: str, levels: Tensor, pixels: int) -> Agreement | PairCounts:
    """Return an empty table."""
    whole = kind == "all levels"
    return Agreement(levels, CONCEPTS + 1, 10**9) if whole else PairCounts(chosen(levels), range(1000), pixels**2)


def ways(kind: str, r: Tensor, labels: Tensor, levels: Tensor) -> Callable[[], float]:
    """Return what counts a batch, and says how many seconds that took."""
    own, ids = table(kind, levels, labels.shape[-1]), torch.arange(len(r))
    batch = (r, labels) if kind == "all levels" else (r, labels, ids)

    def count() -> float:
        start = time.process_time()
        own.update(*batch)
        return time.process_time() - start

    return count


def timed(side: int, pixels: int, images: int, repeats: int) -> Row:
    """Return the seconds of a batch, sparse and dense, and how much they differ."""
    maps = {"sparse": sparse(images, side), "dense": smooth(images, UNITS, side, 3)}
    labels, row = regions(images, pixels), Row(side=side, pixels=pixels, images=images)
    row["not_0"] = float((maps["sparse"] != 0).float().mean())
    took: dict[str, float] = {}
    levels = {name: exact_levels(r, Grid(pixels, pixels), fractions()) for name, r in maps.items()}
    for kind in KINDS[0] + KINDS[1]:
        both = {name: ways(kind, r, labels, levels[name]) for name, r in maps.items()}
        turns = [{name: way() for name, way in both.items()} for _ in range(repeats + 1)][1:]
        for name in both:
            took[f"{kind}, {name}"] = min(turn[name] for turn in turns)
        took[f"{kind}, ratio"] = took[f"{kind}, sparse"] / took[f"{kind}, dense"]
    return {**row, **took}


def memory(side: int, pixels: int, images: int, shards: int, kinds: Sequence[str]) -> Row:
    """Count shards as a dissection does, merge them in files, and read them; say what was resident.

    Args:
        side, pixels, images, shards: of maps and labels, and of each shard; how many shards.
        kinds: ``all levels`` as the validation half is counted, ``pairs`` as the evaluation half is; both as with
            crossed halves.
    """
    row, done = Row(side=side, pixels=pixels, images=images, shards=shards, kinds=kinds, bare=resident("VmRSS")), 0
    calibration = torch.cat([sparse(2, side, seed) for seed in range(16)])
    levels = exact_levels(calibration, Grid(pixels, pixels), fractions())
    row["bins a unit"] = len(Bins.between(levels).kept) / len(levels)
    del calibration
    trim_heap(0)  # as the end of each step of a study does
    row["calibrated"], row["begun"] = forget_peak(), resident("VmRSS")
    with tempfile.TemporaryDirectory() as place:
        total, file = None, Path(place) / "total.npz"
        for shard in range(shards):
            tables = [table(kind, levels, pixels) for kind in kinds]
            counting = Counting("evaluation", {"layer": tables}, 10, CONCEPTS + 1)
            for _ in range(images // 8):
                maps = torch.cat([sparse(2, side, done + i) for i in range(0, 8, 2)])
                counting.update(range(done, done + 8), {"layer": maps}, regions(8, pixels, done), Grid(pixels, pixels))
                done += 8
            row[f"counted {shard}"] = forget_peak()
            tally = Tally.from_state(Archive(packed(counting.tally().state_dict())))
            del tables, counting, maps
            trim_heap(0)
            row[f"packed {shard}"] = forget_peak()
            total = tally if total is None else total.merge(tally)
            write(file.with_suffix(".new"), total.state_dict())
            file.with_suffix(".new").replace(file)
            total = Tally.from_state(Archive(file))
            row[f"merged {shard}"] = forget_peak()
        row["file"] = file.stat().st_size
        for run in total.runs("evaluation", "layer"):
            if "all levels" in kinds:
                own = total.agreement("evaluation", "layer", run)
                for part in portions(len(own.levels), len(own.concepts), levels.shape[1] + 1):
                    own.counts_of(part)
            if "pairs" in kinds:
                total.pairs("evaluation", "layer", run)
        row["read"] = forget_peak()
    row["peak above bare"] = max(row[name] for name in row if name.split()[0] in STAGES) - row["bare"]
    return row


STAGES = ("calibrated", "counted", "packed", "merged", "read")


def resident(what: str) -> int:
    """Return how many bytes of this process are resident, now (VmRSS) or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))


def forget_peak() -> int:
    """Return how many bytes were resident at most since this was called last."""
    found = resident("VmHWM")
    Path("/proc/self/clear_refs").write_text("5")
    return found


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("time", "memory"), default=("time", "memory"))
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32], help="of the maps")
    parser.add_argument("--pixels", type=int, nargs="+", default=[64, 256], help="side of the labels")
    parser.add_argument("--images", type=int, default=8, help="of a batch")
    parser.add_argument("--shard", type=int, default=256, help="images of a shard, where memory is measured")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if "time" in given.only:
        for pixels in given.pixels:
            for side in given.sides:
                print(json.dumps(timed(side, pixels, given.images, given.repeats)), flush=True)
    if "memory" in given.only:
        for kinds in KINDS:
            program = f"import sparse, json; print(json.dumps(sparse.memory(16, 64, {given.shard}, 2, {kinds})))"
            subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, check=True)


if __name__ == "__main__":
    main()
