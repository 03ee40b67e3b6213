"""How far are the images of a model from real ones? Fréchet and sliced Wasserstein distances (SPEC 7, Figure 7)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.core.progress import NullProgress, Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner, Tensors
from ganatomy.experiments.causal.dissected_model import DissectedModel, default_directory, shrink_default
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.jackknife import Jackknife, NoiseFloor, Textures, check_textures, frechet_jackknife
from ganatomy.experiments.option_groups import Sample
from ganatomy.experiments.real_comparison import (
    RUN,
    AgainstRealSpec,
    FeatureTable,
    RealComparison,
    comparison_study,
    describe_made,
    describe_reals,
    describing_seconds,
    named_reals,
)
from ganatomy.experiments.result import Result
from ganatomy.report.causal.quality import quality_section, quality_tables
from ganatomy.stats.frechet import CHUNK, FeatureMoments, sampling_bias
from ganatomy.study import Study

IMAGES = "image"
"""What stands for the layer of a study that reads none."""
SHOWN, SHOW = "shown", 12
"""The step that keeps images to look at, and how many of each kind."""
TERMS = ("fid", "means", "covariances")
COLUMNS = ("measure", "value", "error", "images", "bias", "limit", "low", "high")


@dataclass(frozen=True)
class QualitySpec(AgainstRealSpec):
    """Which images of a generator to compare with which real ones.

    Attributes:
        layer: none; the images themselves.
        textures: how many images of either kind are compared by their patches; 0 for none.
    """

    layer: str = IMAGES
    textures: Sample[int] = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        shrink_default(self, "textures", min(self.images, self.reals))
        check_textures(self, self.textures)


@dataclass(frozen=True, eq=False)
class ShownImages(Tensors):
    """Images to look at.

    Attributes:
        farthest: int64 [n], the generated images farthest from real ones, the farthest first.
        images: uint8 [3, n, H, W, 3], these, the first generated images, and as many real ones.
    """

    farthest: Tensor
    images: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Quality(Result):
    """How far a model is from real images. It opens without any model.

    Attributes:
        spec: what was asked.
        facts: what was used.
        table: one row a measure.
        study: the directory that holds it.
    """

    FILES: ClassVar = {"table": "quality"}

    spec: QualitySpec
    table: pd.DataFrame

    @cached_property
    def shown(self) -> ShownImages | None:
        """Images to look at; None of a study from before there were any."""
        return self.study.load_step(SHOWN, ShownImages) if self.study.has_step(SHOWN) else None


def plan_quality(source: DissectedModel, options: Mapping[str, Any]) -> tuple[QualitySpec, Path]:
    """Return the Spec of some options, and where its study lies by default."""
    spec = QualitySpec(**source.names(), **options)
    return spec, default_directory(source, spec, f"quality-{named_reals(spec)}")


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan["Quality"]:
    spec, directory = plan_quality(source, options)
    work = f"distance from {spec.reals} images of {spec.real}"
    return Plan(spec, directory, partial(run_quality, spec, source), work, 0, partial(describing_seconds, source, spec))


QUALITY = Experiment(
    name="quality",
    verb="quality",
    summary="measure how far a model's images are from real ones",
    spec=QualitySpec,
    filled=frozenset({"layer"}),
    plan=_plan,
    result=Quality,
    tables=quality_tables,
    section=quality_section,
    run=RUN,
    example='ganatomy.quality("study", real="scenes:church").table',
)


def run_quality(
    spec: QualitySpec, source: DissectedModel, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> Quality:
    """Compare a model's images with real ones; goes on where it was stopped."""
    with comparison_study(spec, source, directory, engine, progress) as (study, compared):
        if not study.finished:
            textures = _textures(study, compared, spec.textures, progress or NullProgress())
            real = describe_reals(compared, engine, progress)
            work = partial(describe_made, compared, [()])
            made = study.sharded("generated images", FeatureTable, work, compared.shards())
            device = compared.generator.device
            frechet = study.step("frechet", Jackknife, lambda: frechet_jackknife(made.features.to(device), real))
            study.write_table("quality", quality_table(spec, frechet, real, textures))
            farthest = farthest_images(made.features, real, min(SHOW, spec.images, spec.reals))
            study.step(SHOWN, ShownImages, lambda: _shown(compared, farthest))
            study.finish(without=["generated images"])
    return Quality.open(directory)


def quality_table(
    spec: QualitySpec, frechet: Jackknife, real: FeatureMoments, textures: tuple[Jackknife, NoiseFloor] | None
) -> pd.DataFrame:
    """Return the table of all measures."""
    bias = sampling_bias(real.covariance(), (spec.reals, spec.images))
    limit, low, high = (each.tolist() for each in frechet.interval)
    columns = [TERMS, frechet.whole.tolist(), frechet.error.tolist(), (spec.images,) * 3, (bias, math.nan, math.nan)]
    rows = list(zip(*columns, limit, [max(0.0, each) for each in low], [max(0.0, each) for each in high], strict=True))
    if textures is not None:
        found, floor = textures
        names = [f"swd-{height}" for height in floor.heights.tolist()]
        numbers = (each.tolist() for each in (found.whole, found.error, floor.distance))
        rows += [(*row[:3], spec.textures, row[3], *[math.nan] * 3) for row in zip(names, *numbers, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def farthest_images(features: Float[Tensor, "M d"], real: FeatureMoments, count: int) -> Int64[Tensor, " n"]:
    """Return the rows whose features are farthest from those of real images, the farthest first.

    The distance is Mahalanobis's: in standard deviations of the real images, in every direction. A thousandth of the
    mean variance is added, so that directions in which real images do not vary do not decide alone.
    """
    covariance = real.covariance().cpu()
    ridge = 1e-3 * covariance.diagonal().mean().clamp(min=1e-12) * torch.eye(len(covariance), dtype=torch.float64)
    inverse, mean = torch.linalg.inv(covariance + ridge), real.mean().cpu()
    parts = [part.cpu().double() - mean for part in torch.split(features, CHUNK)]
    return torch.cat([(off @ inverse * off).sum(1) for off in parts]).argsort(descending=True, stable=True)[:count]


def _shown(compared: RealComparison, farthest: Tensor) -> ShownImages:
    first, count = compared.spec.first, len(farthest)
    worst = [next(compared.drawn(range(i, i + 1)))[0] for i in (first + farthest).tolist()]
    plain = [images for images, _ in compared.drawn(range(first, first + count))]
    rows = [torch.cat(worst), torch.cat(plain), compared.real(range(count))]
    images = torch.stack([as_bytes(row.cpu()).permute(0, 2, 3, 1) for row in rows])
    return ShownImages(first + farthest, images)


def _textures(
    study: Study, compared: RealComparison, count: int, progress: Progress
) -> tuple[Jackknife, NoiseFloor] | None:
    if not count:
        return None
    textures = Textures(compared, count, progress)
    floor = study.step("real textures", NoiseFloor, textures.perfect)
    images = compared.drawn(compared.spec.ids()[:count])
    return study.step("textures", Jackknife, lambda: textures.of("generated textures", images)), floor
