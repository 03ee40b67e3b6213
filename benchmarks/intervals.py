"""Do errors and intervals keep what they promise? Predictions of single samples, compared with what many samples show.

    python benchmarks/intervals.py frechet                      Fréchet distances, two minutes of a core
    python benchmarks/intervals.py counts --out STUDIES         counts of the bundled church, 24 samples, seven minutes
    python benchmarks/intervals.py counts --out STUDIES --generator planted: --segmenter planted --validation cross \\
        --layers layer1 layer2 layer3 --seeds 14

**Counts.** Dissections with seeds of their own, which share no image: the spread of a count over them is its true
error, known to 1/√(2 (seeds - 1)); next to it the root mean square of the errors that each predicts of itself, and the
share of the 95 % intervals that hold the mean of all samples. Studies that are there already are opened.

**Fréchet distances.** Features of a known distribution, so that the distance of infinitely many images is known, and
real images of the same kind that differ in means and scales, or do not (a perfect model).
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import ganatomy
from ganatomy.experiments.bootstrap import Resampled, resampled
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.jackknife import frechet_jackknife
from ganatomy.stats.frechet import FeatureMoments, frechet_distance

INFINITE = 10**9
"""So many images have the moments of the distribution itself."""


class Kind(NamedTuple):
    """A distribution of features whose columns are independent before they are mixed.

    Attributes:
        draw: returns independent ones, given how many images and features, and a source of chance.
        mean, variance: of each.
        mixed: whether they are mixed, with scales 1, 1/√2, 1/√3 …
    """

    draw: Callable[[int, int, torch.Generator], Tensor]
    mean: float
    variance: float
    mixed: bool = False


def normal(n: int, d: int, source: torch.Generator) -> Tensor:
    return torch.randn(n, d, generator=source, dtype=torch.float64)


def student(degrees: int) -> Callable[[int, int, torch.Generator], Tensor]:
    """Return a draw of Student's t, one denominator an image: an image is far off in all features or in none."""

    def draw(n: int, d: int, source: torch.Generator) -> Tensor:
        squares = normal(n, degrees, source).square().sum(1, keepdim=True)
        return normal(n, d, source) / (squares / degrees).sqrt()

    return draw


def sparse(n: int, d: int, source: torch.Generator) -> Tensor:
    """Return what a rectifier leaves of a normal number that is above 1 in 16 % of the images."""
    return (normal(n, d, source) - 1).clamp(min=0)


_DENSITY, _ABOVE = math.exp(-0.5) / math.sqrt(2 * math.pi), (1 - math.erf(math.sqrt(0.5))) / 2
_SPARSE_MEAN = _DENSITY - _ABOVE
KINDS = {
    "normal": Kind(normal, 0, 1),
    "correlated": Kind(normal, 0, 1, mixed=True),
    "sparse (ReLU)": Kind(sparse, _SPARSE_MEAN, 2 * _ABOVE - _DENSITY - _SPARSE_MEAN**2, mixed=True),
    "lognormal": Kind(lambda n, d, source: normal(n, d, source).exp(), math.exp(0.5), (math.e - 1) * math.e),
    "t, 5 degrees": Kind(student(5), 0, 5 / 3),
    "t, 4 degrees": Kind(student(4), 0, 2),
    "t, 3 degrees": Kind(student(3), 0, 3),
}


class Model(NamedTuple):
    """Generated features: those of a kind, mixed, then scaled and shifted; and the moments of the real ones."""

    kind: Kind
    mix: Tensor
    scale: Tensor
    shift: Tensor
    real: FeatureMoments
    truth: float

    def draw(self, n: int, source: torch.Generator) -> Tensor:
        """Return the features of some images."""
        own = self.kind.draw(n, len(self.scale), source) @ self.mix.T
        return own * self.scale + self.shift


def moments(mean: Tensor, covariance: Tensor) -> FeatureMoments:
    """Return moments of infinitely many images."""
    d = len(mean)
    state = {"images": torch.tensor([INFINITE]), "origin": mean, "total": torch.zeros(d, dtype=torch.float64)}
    return FeatureMoments(d).from_state({**state, "products": covariance * (INFINITE - 1)})


def model(kind: Kind, d: int, perfect: bool) -> Model:
    """Return a model whose features are 15 % off in scale and in mean, or not at all."""
    source = torch.Generator().manual_seed(d)
    mix = torch.eye(d, dtype=torch.float64)
    if kind.mixed:
        mix = torch.linalg.qr(normal(d, d, source))[0] * torch.arange(1, d + 1).double().rsqrt()
    mean, covariance = kind.mean * mix.sum(1), kind.variance * mix @ mix.T
    off = 0.0 if perfect else 0.15
    scale, shift = 1 + off * normal(1, d, source)[0], off * normal(1, d, source)[0] * covariance.diag().sqrt()
    real, made = moments(mean, covariance), moments(mean * scale + shift, covariance * torch.outer(scale, scale))
    return Model(kind, mix, scale, shift, real, float(frechet_distance(real, made).distance))


def frechet_coverage(kind: str, d: int, n: int, perfect: bool, repeats: int = 100) -> dict[str, float]:
    """Return what many samples of n images show of the distance, and how many of their intervals hold the truth."""
    own, source = model(KINDS[kind], d, perfect), torch.Generator().manual_seed(n)
    found = [frechet_jackknife(own.draw(n, source), own.real) for _ in range(repeats)]
    value, error = (torch.stack([getattr(each, name)[0] for each in found]) for name in ("whole", "error"))
    low, high = (torch.stack([each.interval[i][0] for each in found]).clamp(min=0) for i in (1, 2))
    plain = abs(value - own.truth) <= 1.96 * error
    return {
        "truth": own.truth,
        "mean": float(value.mean()),
        "spread": float(value.std()),
        "predicted": float(error.square().mean().sqrt()),
        "value ± 1.96": float(plain.double().mean()),
        "interval": float(((low <= own.truth + 1e-12) & (own.truth <= high + 1e-12)).double().mean()),
    }


def frechet_table(repeats: int) -> pd.DataFrame:
    """Return the coverage of every kind of features, many and few, of few and of many images."""
    cells = [(d, n, perfect) for d, n in SIZES for perfect in (False, True)]
    rows = [
        {"features": kind, "d": d, "n": n, "perfect": perfect, **frechet_coverage(kind, d, n, perfect, repeats)}
        for kind in KINDS
        for d, n, perfect in cells
    ]
    return pd.DataFrame(rows)


SIZES = ((8, 200), (8, 1000), (8, 5000), (64, 100), (64, 200), (64, 1000), (64, 5000))


def count_table(errors: Sequence[Resampled]) -> pd.DataFrame:
    """Return what samples show of the count of each layer and quantity, and what each predicts."""
    tables = [own.counts[own.counts.category == "all"] for own in errors]
    rows = []
    for (layer, quantity), table in pd.concat(tables).groupby(["layer", "quantity"], sort=False):
        mean, spread = table.value.mean(), table.value.std()
        predicted = math.sqrt((table.error**2).mean())
        covered = ((table.low <= mean) & (mean <= table.high)).mean()
        numbers = {
            "mean": mean,
            "spread": spread,
            "predicted": predicted,
            "ratio": predicted / spread if spread > 0 else math.nan,
        }
        rows.append({"layer": layer, "quantity": quantity, **numbers, "covered": covered})
    return pd.DataFrame(rows)


def dissected(out: Path, seeds: int, **options: object) -> list[Dissection]:
    """Dissect samples with seeds of their own, or open them where that is done."""
    return [ganatomy.dissect(seed=1000 + seed, out=out / f"seed{seed}", **options) for seed in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("counts", "frechet"))
    parser.add_argument("--out", type=Path, default=Path("samples"))
    parser.add_argument("--generator", default="bundled:church")
    parser.add_argument("--segmenter", default="bundled:scenes")
    parser.add_argument("--layers", nargs="+", default=["layer4", "layer6"])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--validation", default="separate")
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=100)
    given = parser.parse_args()
    if given.what == "frechet":
        table = frechet_table(given.repeats)
    else:
        options = {name: getattr(given, name) for name in ("generator", "segmenter", "layers", "images", "validation")}
        studies = dissected(given.out, given.seeds, **options)
        table = count_table([own for own in (resampled(study, given.draws) for study in studies) if own is not None])
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    torch.set_num_threads(1)
    main()
