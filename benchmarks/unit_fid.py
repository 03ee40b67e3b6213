"""Fréchet distances of all units of a layer, compared with one ordinary call a unit; what a large layer takes.

    python benchmarks/unit_fid.py                   128 units, 256 features, 20,000 images, 1000 a unit
    python benchmarks/unit_fid.py --full            and 16 units at full size; asks for 3 GB, some minutes
    python benchmarks/unit_fid.py --json > unit_fid.json

The ordinary routine takes two sets, computes mean and covariance of each, and the root of the covariances' product with
`scipy.linalg.sqrtm`. It is shown in three ways: with both sets' features and the real moments at hand, with the
features at hand, and given images, as it usually is: then it computes the features of the unit's images, too, here
with the small bundled network. Features are random, skewed and correlated; times are processor seconds of one thread.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from ganatomy import open_segmenter
from ganatomy.scenes import render
from ganatomy.stats.frechet import FeatureMoments
from ganatomy.stats.unit_frechet import WORKSPACE, _batch, _block, unit_bytes, unit_frechet

Moments = tuple[np.ndarray, np.ndarray]


class Size(NamedTuple):
    """A layer's units, the images a unit, all images, the real ones, and what describes each."""

    units: int
    top: int
    images: int
    real: int
    features: int


class Cost(NamedTuple):
    """What `unit_frechet` takes: multiplications and additions of three kinds, and bytes without the features."""

    projection: float
    products: float
    roots: float
    memory_bytes: int


def cost_of(units: int, top: int, images: int, features: int, overwrite: bool = False) -> Cost:
    """Return u (m d (d + b) + 4/3 d³) + 2 M d² operations, in blocks of b = d/8; with m < d both change places."""
    small, large, used = min(top, features), max(top, features), min(images, units * top)
    rows, together = _batch(top, features)
    held = used * 4 * (2 if overwrite else features + 2) + units * (used + 40 * top + 24 * features) + 32 * features**2
    return Cost(
        projection=2.0 * used * features**2,
        products=units * large * small * (small + _block(small)),
        roots=4 / 3 * units * small**3,
        memory_bytes=held + max(min(together, units) * unit_bytes(rows, top, features), WORKSPACE),
    )


FULL = Size(512, 10_000, 200_000, 50_000, 2048)


def features(size: Size, images: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    mix = torch.randn(size.features, size.features, generator=torch.Generator().manual_seed(1))
    mix *= torch.logspace(0, -2, size.features)
    found = torch.empty(images, size.features)
    for part in torch.split(found, 1024):
        torch.mm(torch.randn(part.shape, generator=source), mix.T, out=part).add_(0.1 * seed).relu_()
    return found


def moments_of(x: np.ndarray) -> Moments:
    return x.mean(0), np.cov(x, rowvar=False)


def ordinary(real: Moments, made: Moments) -> float:
    root = scipy.linalg.sqrtm(real[1] @ made[1]).real
    return float(((real[0] - made[0]) ** 2).sum() + np.trace(real[1]) + np.trace(made[1]) - 2 * np.trace(root))


def seconds(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Return the least processor time of several repeats, and what was computed."""
    took = []
    for _ in range(repeats):
        start = time.process_time()
        found = work()
        took.append(time.process_time() - start)
    return min(took), found


def peak_bytes() -> int:
    """Return the greatest resident memory since it was last asked; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return 1024 * peak


def per_image() -> float:
    """Return the seconds that the bundled network takes for the features of an image of 64 × 64."""
    network: Any = open_segmenter("bundled:scenes?size=64")
    images = torch.from_numpy(render("church", range(50), 64, 0).images).float() / 127.5 - 1
    network.features(images)
    with torch.no_grad():
        return seconds(lambda: network.features(images), 3)[0] / len(images)


def measure(size: Size, called: int, repeats: int) -> dict[str, Any]:
    """Return times of all units at once, and of the ordinary routine, called for some of them."""
    x, real = features(size, size.images, 2), features(size, size.real, 3)
    source = torch.Generator().manual_seed(0)
    tops = torch.stack([torch.randperm(size.images, generator=source)[: size.top] for _ in range(size.units)])
    real_seconds, moments = seconds(lambda: kept(real))
    before = peak_bytes() and peak_bytes()
    at_once, found = seconds(lambda: unit_frechet(x, tops, moments), repeats)
    held = peak_bytes() - before
    known, one_by_one = moments_of(real.numpy()), []
    took: dict[str, list[float]] = {"real": [], "made": []}
    for own in tops[:called]:
        took["real"].append(seconds(lambda: moments_of(real.numpy()))[0])
        spent, distance = seconds(lambda own=own: ordinary(known, moments_of(x[own].numpy())))
        took["made"].append(spent)
        one_by_one.append(distance)
    made, with_real = min(took["made"]), min(took["made"]) + min(took["real"])
    with_features = with_real + size.top * per_image()
    each = at_once / size.units
    off = max(abs(float(a) / b - 1) for a, b in zip(found.distance, one_by_one, strict=False))
    cost = cost_of(*size[:3], size.features)
    return {
        "size": size._asdict(),
        "at_once_s": at_once,
        "a_unit_s": each,
        "real_moments_s": real_seconds,
        "ordinary_a_unit_s": {"moments": made, "features": with_real, "images": with_features},
        "times_faster": {"moments": made / each, "features": with_real / each, "images": with_features / each},
        "greatest_difference": off,
        "held_bytes": held,
        "held_by_formula": cost.memory_bytes,
    }


def kept(real: Tensor) -> FeatureMoments:
    moments = FeatureMoments(real.shape[1])
    moments.update(real)
    return moments


def rates(size: Size) -> tuple[float, float]:
    """Return operations a second of products and of eigenvalues at this number of features."""
    d = size.features
    x = torch.randn(min(size.top, 4 * d), d, dtype=torch.float64)
    product, c = seconds(lambda: x.T @ x, 3)
    roots, _ = seconds(lambda: torch.linalg.eigvalsh(c), 3)
    return 2 * x.numel() * d / product, 4 / 3 * d**3 / roots


def by_formula(cost: Cost, speed: tuple[float, float]) -> float:
    return (cost.projection + cost.products) / speed[0] + cost.roots / speed[1]


def projected(measured: dict[str, Any]) -> dict[str, Any]:
    """Return what the full size takes: the formula's time at this machine's rates, and what was measured over it."""
    size, speed = Size(**measured["size"]), rates(FULL)
    own = speed if size.features == FULL.features else rates(size)
    factor = measured["at_once_s"] / by_formula(cost_of(*size[:3], size.features), own)
    cost = cost_of(*FULL[:3], FULL.features)
    return {
        "size": FULL._asdict(),
        "seconds": factor * by_formula(cost, speed),
        "measured_over_formula": factor,
        "products_a_second": speed[0],
        "roots_a_second": speed[1],
        "memory_bytes": cost.memory_bytes,
        "features_bytes": 4 * FULL.images * FULL.features,
    }


def report(rows: list[dict[str, Any]], full: dict[str, Any]) -> str:
    lines = []
    for row in rows:
        lines.append("{units} units, {top} of {images} images each, {features} features".format(**row["size"]))
        lines.append(f"  at once             {row['at_once_s']:8.2f} s, {1000 * row['a_unit_s']:9.2f} ms a unit")
        lines += [
            f"  ordinary, {name:9} {1000 * spent:18.2f} ms a unit, {row['times_faster'][name]:6.1f} times as long"
            for name, spent in row["ordinary_a_unit_s"].items()
        ]
        lines.append(f"  greatest relative difference {row['greatest_difference']:.1e}")
        lines.append(f"  held {row['held_bytes'] / 1e6:.0f} MB, by formula {row['held_by_formula'] / 1e6:.0f} MB")
    lines.append("full size: {units} units, {top} of {images} images each, {features} features".format(**full["size"]))
    lines.append(f"  projected {full['seconds'] / 60:.1f} min ({full['measured_over_formula']:.2f} times the formula)")
    held, given = (full[name] / 1e9 for name in ("memory_bytes", "features_bytes"))
    lines.append(f"  held {held:.2f} GB, in addition to features of {given:.2f} GB")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--top", type=int, default=1000, help="images of a unit")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--real", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--called", type=int, default=8, help="units that the ordinary routine is called for")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="also measure 16 units with 2048 features, 10,000 images")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    size = Size(given.units, given.top, given.images, given.real, given.features)
    rows = [measure(size, given.called, given.repeats)]
    if given.full:
        rows.append(measure(FULL._replace(units=16, images=40_000), 1, 1))
    full = projected(rows[-1])
    print(json.dumps({"measured": rows, "projected": full}) if given.json else report(rows, full))


if __name__ == "__main__":
    main()
