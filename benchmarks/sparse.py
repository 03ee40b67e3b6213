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
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.core.resample import Grid
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.levels import exact_levels, fractions
from ganatomy.stats.pairs import PairCounts, PairLevels

FEATURES, ON, UNITS, CONCEPTS = 5120, 32, 512, 335
REGIONS = 30
Row = dict[str, Any]


def smooth(images: int, units: int, side: int, seed: int) -> Tensor:
    """Return random maps, smooth over four places, float32 [b, u, side, side]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randn(images, units, max(side // 4, 2), max(side // 4, 2), generator=g)
    fine = torch.randn(images, units, side, side, generator=g)
    return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False) + 0.3 * fine


def sparse(images: int, side: int, seed: int = 0, features: int = FEATURES) -> Tensor:
    """Return maps of which the greatest of all features are kept at every place, and above them nothing but 0."""
    r = smooth(images, features, side, seed)
    r += 0.5 * torch.randn(1, features, 1, 1, generator=torch.Generator().manual_seed(1))  # of some more often
    least = r.topk(ON * features // FEATURES, 1).values[:, -1:]
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


def ways(kind: str, r: Tensor, labels: Tensor, levels: Tensor) -> Callable[[], float]:
    """Return what counts a batch, and says how many seconds that took."""
    area = labels[0, 0].numel()
    ids = torch.arange(len(r))
    if kind == "all levels":
        table: Agreement | PairCounts = Agreement(levels, CONCEPTS + 1, 10**9)
        batch: tuple[Tensor, ...] = r, labels
    else:
        table, batch = PairCounts(chosen(levels), range(1000), area), (r, labels, ids)

    def count() -> float:
        start = time.process_time()
        table.update(*batch)
        return time.process_time() - start

    return count


def timed(side: int, pixels: int, images: int, repeats: int) -> Row:
    """Return the seconds of a batch, sparse and dense, and how much they differ."""
    maps = {"sparse": sparse(images, side), "dense": smooth(images, UNITS, side, 3)}
    labels, row = regions(images, pixels), Row(side=side, pixels=pixels, images=images)
    row["not_0"] = float((maps["sparse"] != 0).float().mean())
    took: dict[str, float] = {}
    levels = {name: exact_levels(r, Grid(pixels, pixels), fractions()) for name, r in maps.items()}
    for kind in ("all levels", "pairs"):
        both = {name: ways(kind, r, labels, levels[name]) for name, r in maps.items()}
        turns = [{name: way() for name, way in both.items()} for _ in range(repeats + 1)][1:]
        for name in both:
            took[f"{kind}, {name}"] = min(turn[name] for turn in turns)
        took[f"{kind}, ratio"] = took[f"{kind}, sparse"] / took[f"{kind}, dense"]
    return {**row, **took}


def peak() -> int:
    """Return the most bytes that this process ever had resident."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("time", "memory"), default=("time", "memory"))
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32], help="of the maps")
    parser.add_argument("--pixels", type=int, nargs="+", default=[64, 256], help="side of the labels")
    parser.add_argument("--images", type=int, default=8, help="of a batch")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if "time" in given.only:
        for pixels in given.pixels:
            for side in given.sides:
                print(json.dumps(timed(side, pixels, given.images, given.repeats)), flush=True)


if __name__ == "__main__":
    main()
