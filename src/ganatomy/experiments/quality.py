"""How far are the images of a model from real ones? Fréchet and sliced Wasserstein distances (SPEC 7, Figure 7)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ganatomy.execute import Executor, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.places import read_spec
from ganatomy.experiments.causal.plans import home
from ganatomy.experiments.causal.source import Source
from ganatomy.experiments.described import (
    FEATURES,
    AgainstRealSpec,
    Described,
    Setting,
    describe_made,
    describe_reals,
    describing_seconds,
    open_setting,
)
from ganatomy.experiments.left_out import LeftOut, Perfect, Textures, check_textures, frechet_left_out
from ganatomy.experiments.result import Result
from ganatomy.progress import Progress, Silent
from ganatomy.report.causal.quality import quality_section, quality_tables
from ganatomy.stats.frechet import FeatureMoments, sampling_bias
from ganatomy.study import Study
from ganatomy.types import Images

PICTURES = "picture"
"""What stands for the layer of a study that reads none."""
TERMS = ("fid", "means", "covariances")
COLUMNS = ("measure", "value", "error", "images", "bias", "limit", "low", "high")


@dataclass(frozen=True)
class QualitySpec(AgainstRealSpec):
    """Which images of a generator to compare with which real ones.

    Attributes:
        layer: none; the images themselves.
        textures: how many images of either kind are compared by their patches; 0 for none.
    """

    layer: str = PICTURES
    textures: int = 500

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        check_textures(self, self.textures)


@dataclass(frozen=True, eq=False, repr=False)
class Quality(Result):
    """How far a model is from real images. It opens without any model.

    Attributes:
        spec: what was asked.
        facts: what was used.
        table: one row a measure: measure (``fid``; ``means`` and ``covariances``, its two terms; ``swd-64``, ``swd-32``
            …, by the height of the level, × 10³), value, error (over the generated images), images (that were
            generated), bias (the value of a perfect model, for lack of images: of the distance by formula, of
            textures from other real images; NaN where it is not known), limit (the value of infinitely many
            generated images, of Fréchet distances) and a 95 % interval for it, low to high.
        study: the directory that holds it.
    """

    spec: QualitySpec
    facts: Mapping[str, Any]
    table: pd.DataFrame
    study: Study

    @classmethod
    def open(cls, directory: Path) -> "Quality":
        """Open a finished study of quality.

        Raises:
            StudyError: the directory holds none.
            BadFile: a file of it is damaged.
        """
        study = Study.open(directory)
        spec, table = read_spec(study, QualitySpec), study.read_table("quality")
        return cls(spec, study.facts, table.reindex(columns=COLUMNS), study)  # earlier ones have no intervals


def plan_quality(source: Source, options: Mapping[str, Any]) -> tuple[QualitySpec, Path]:
    """Return the Spec, and where its study lies unless told otherwise.

    Args:
        source: the dissection.
        options: fields of the Spec.

    Raises:
        GanatomyError: what is asked for cannot be meant.
    """
    spec = QualitySpec(**source.names(), **options)
    return spec, home(source, spec, f"quality-{named_reals(spec)}")


def _plan(source: Source, options: dict[str, Any], _: Runner) -> Plan["Quality"]:
    spec, usual = plan_quality(source, options)
    work = f"distance from {spec.reals} images of {spec.real}"
    seconds = partial(describing_seconds, source, spec, 0)
    return Plan(spec, usual, partial(run_quality, spec, source), work, 0, seconds)


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
    example='ganatomy.quality("study", real="scenes:church").table',
)


def run_quality(
    spec: QualitySpec, source: Source, directory: Path, execute: Executor = local, progress: Progress | None = None
) -> Quality:
    """Compare a model's images with real ones; goes on where it was stopped.

    Raises:
        BadFile: no such real images, or one that cannot be read.
        BadModel: the feature network describes no images.
        BadValue: too few images for the features, or fewer real ones than asked for.
        StudyMismatch: the directory holds another study.
    """
    setting, numbers = open_setting(spec, source)
    with Study.create(directory, spec, real_facts(setting, numbers), execute, progress) as study:
        spec = study.begun(spec)
        setting = replace(setting, spec=spec)
        if not study.finished:
            textures = _textures(study, setting, spec, progress or Silent())
            real = describe_reals(setting, numbers, execute, progress)
            work = partial(describe_made, setting, 0)
            made = study.sharded("generated images", Described, work, spec.shards())
            device = source.models.generator.device
            frechet = study.step("frechet", LeftOut, lambda: frechet_left_out(made.features.to(device), real))
            study.write_table("quality", quality_table(spec, frechet, real, textures))
            study.finish(without=["generated images"])
    return Quality.open(directory)


def real_facts(setting: Setting, numbers: int) -> dict[str, Any]:
    """Return what a comparison with real images keeps of its inputs."""
    facts = setting.source.facts()
    facts["inputs"] |= {"real images": setting.pictures.fingerprint, "feature network": setting.network.fingerprint}
    return {**facts, "features": numbers}


def named_reals(spec: AgainstRealSpec) -> str:
    """Return the real images, and the features if those are not the usual ones, as a part of a name."""
    other = "" if spec.features == FEATURES else f"-{Path(spec.features).name}"
    return f"{Path(spec.real).name}{other}"


def quality_table(
    spec: QualitySpec, frechet: LeftOut, real: FeatureMoments, textures: tuple[LeftOut, Perfect] | None
) -> pd.DataFrame:
    """Return the table of all measures."""
    bias = sampling_bias(real.covariance(), (spec.reals, spec.images))
    limit, low, high = (each.tolist() for each in frechet.interval)
    columns = [TERMS, frechet.whole.tolist(), frechet.error.tolist(), (spec.images,) * 3, (bias, math.nan, math.nan)]
    rows = list(zip(*columns, limit, [max(0.0, each) for each in low], [max(0.0, each) for each in high], strict=True))
    if textures is not None:
        found, perfect = textures
        names = [f"swd-{height}" for height in perfect.heights.tolist()]
        numbers = (each.tolist() for each in (found.whole, found.error, perfect.distance))
        rows += [(*row[:3], spec.textures, row[3], *[math.nan] * 3) for row in zip(names, *numbers, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _textures(study: Study, setting: Setting, spec: QualitySpec, progress: Progress) -> tuple[LeftOut, Perfect] | None:
    """Return the distance of every level, and that of a perfect model; None where none are asked for."""
    if not spec.textures:
        return None
    textures = Textures(setting, spec.textures, progress)
    perfect = study.step("real textures", Perfect, textures.perfect)
    pictures = drawn(setting, spec.ids()[: spec.textures])
    return study.step("textures", LeftOut, lambda: textures.of("generated textures", pictures)), perfect


def drawn(setting: Setting, ids: range) -> Iterator[tuple[Images, range]]:
    """Draw images batch by batch."""
    spec, generator = setting.spec, setting.source.models.generator
    for part in setting.source.parts(ids, spec.batch):
        yield generator.observe(generator.latents(part, spec.seed), []).images, part
