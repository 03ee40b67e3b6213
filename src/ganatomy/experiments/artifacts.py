"""Which units spoil the images? Rank the units of a layer by how far their top images are from real ones.

For each unit, the `top` generated images in which its greatest activation is greatest are compared with real images
by the Fréchet distance of their features (4.2, S-6.1, SPEC 7). Any chosen few are farther away than the model as a
whole, if only for being few; so the units are compared with as many images drawn at random.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.annotations import artifact_units, open_annotations
from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.progress import NullProgress, Progress, listening
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner, Tensors
from ganatomy.experiments.causal.dissected_model import DissectedModel, default_directory
from ganatomy.experiments.dissection import interpretable_with
from ganatomy.experiments.real_comparison import (
    RUN,
    ArtifactSpec,
    FeatureTable,
    comparison_study,
    describe_made,
    describe_reals,
    describing_seconds,
    named_reals,
)
from ganatomy.experiments.result import Result
from ganatomy.report.causal.artifacts import artifacts_chart, artifacts_section, artifacts_tables
from ganatomy.stats.frechet import FeatureMoments, frechet_distance, sampling_bias
from ganatomy.stats.unit_frechet import unit_frechet
from ganatomy.study import as_bad_file

TERMS = ("distance", "means", "covariances")
SORTED = 64
"""Units whose images are sorted at once."""
UNIT_COLUMNS = ["unit", "label", "category", "iou", "interpretable", "matched"]
AS_INTERPRETABLE = ["interpretable_with", "interpretable_category"]
SHARES = (0.05, 0.1, 0.25, 0.5, 0.75)
"""Thresholds to choose from, by the share of the units that they leave out."""


@dataclass(frozen=True)
class Strips(Tensors):
    """The top images of every unit by the dissection, a few of the worst units and of the best.

    Attributes:
        units: int64 [k], worst first.
        images: uint8 [k, n, H, W, 3].
    """

    units: Tensor
    images: Tensor


@dataclass(frozen=True)
class Distances(Tensors):
    """The distance from real images of every unit's, then of every sample at random, then of all; and its two terms.

    Attributes:
        distance, means, covariances: float64 [u + draws + 1].
    """

    distance: Tensor
    means: Tensor
    covariances: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Artifacts(Result):
    """The units of a layer by the distance of their top images from real ones. It opens without any model.

    Attributes:
        spec: what was asked.
        facts: what was used.
        table: one row a unit, worst first; and flagged (by people, if they were asked; see `against`).
        samples: what to compare with, one row each.
        strips: images of the worst and of the best units.
        study: the directory that holds it.
        threshold: the distance from which on units are left out, if they are; see `realistic`.
        concepts: with a threshold, one row for each concept of the layer: concept, category, interpretable and matched
            (units, by the dissection), realistic_interpretable and realistic_matched (those of them that are nearer).
        left_out: with a threshold, the rows of `table` that it leaves out.
    """

    FILES: ClassVar = {"table": "artifacts"}

    spec: ArtifactSpec
    table: pd.DataFrame
    samples: pd.DataFrame
    strips: Strips
    threshold: float | None = None
    concepts: pd.DataFrame | None = None
    left_out: pd.DataFrame | None = None

    def against(self, flagged: Iterable[int]) -> "Artifacts":
        """Return the same with the units that people flagged.

        Raises:
            BadValue: none, or one that the layer has not.
        """
        units = set(flagged)
        if not units or not units <= set(self.table.unit):
            raise BadValue(
                f"units {sorted(units)} are flagged; flag at least one of {self.spec.layer}, which has "
                f"0 to {len(self.table) - 1}"
            )
        return replace(self, table=self.table.assign(flagged=self.table.unit.isin(units)))

    def realistic(self, threshold: float) -> "Artifacts":
        """Return the same with the concepts counted twice: by all units, and by those nearer than a distance (S-6.3).

        Raises:
            BadValue: the threshold is no distance above 0.
            BadFile: its table is not what this version writes.
        """
        check_threshold(threshold)
        near = self.table.fid < threshold
        with as_bad_file(self.study.directory):
            counts = concept_counts(self.table).join(concept_counts(self.table[near]).add_prefix("realistic_"))
        counts = counts.fillna(0).astype(int).sort_values(["interpretable", "matched"], ascending=False, kind="stable")
        return replace(self, threshold=threshold, concepts=counts.reset_index(), left_out=self.table[~near])

    @property
    def vanished(self) -> list[str]:
        """The concepts that only units beyond the threshold match; none without a threshold."""
        if self.concepts is None:
            return []
        return self.concepts.concept[(self.concepts.matched > 0) & (self.concepts.realistic_matched == 0)].tolist()

    @property
    def choices(self) -> pd.DataFrame:
        """What some thresholds would keep, to choose one by; each leaves out such a share of the units.

        One row for each threshold: threshold, times (what random images have), left_out and left (units), matched
        (of those left), concepts (that these match).
        """
        found = []
        for share in SHARES:
            threshold = float(self.table.fid[max(1, round(share * len(self.table))) - 1])
            near = self.table[self.table.fid < threshold]
            matched = near[near.matched]
            units = len(self.table) - len(near), len(near), len(matched)
            times = threshold / float(self.samples.fid[0])
            found.append((threshold, times, *units, matched.groupby(["label", "category"]).ngroups))
        return pd.DataFrame(found, columns=["threshold", "times", "left_out", "left", "matched", "concepts"])

    @property
    def curve(self) -> pd.DataFrame | None:
        """Precision and recall of the n units of greatest distance against people's flags (Figure 12); None without.

        One row for each n: n, unit, fid, precision, recall.
        """
        if "flagged" not in self.table:
            return None
        n, found = np.arange(1, len(self.table) + 1), self.table.flagged.to_numpy().cumsum()
        return self.table[["unit", "fid"]].assign(n=n, precision=found / n, recall=found / found[-1])


def plan_artifacts(
    source: DissectedModel, layer: str, options: Mapping[str, Any]
) -> tuple[ArtifactSpec, Path, list[int] | None]:
    """Return the Spec, where its study lies by default, and the units that people flagged."""
    own = dict(options)
    where = own.pop("annotations", None)
    spec = ArtifactSpec(**source.names(), layer=layer, **own)
    flagged = None if where is None else flagged_units(source, layer, where)
    return spec, default_directory(source, spec, f"artifacts-{named_reals(spec)}"), flagged


@dataclass(frozen=True)
class _Read:
    """How the ranking is read.

    Attributes:
        annotations: the database of human annotations to compare with: a file, or a URL; none, if it is not given.
        threshold: the distance from which on units are left out of the counts of concepts; None to leave out none.
    """

    annotations: str | Path | None = None
    threshold: float | None = None


def planned_ranking(source: DissectedModel, spec: ArtifactSpec, directory: Path) -> Plan[Artifacts]:
    """Return the plan of ranking the units of a layer."""
    work = f"distances of all units from {spec.reals} images of {spec.real}"
    seconds = partial(describing_seconds, source, spec)
    return Plan(spec, directory, partial(run_artifacts, spec, source), work, 0, seconds)


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Artifacts]:
    threshold = options.pop("threshold", None)
    if threshold is not None:
        check_threshold(threshold)
    spec, directory, flagged = plan_artifacts(source, options.pop("layer"), options)

    def run(directory: Path, engine: Engine, progress: Progress | None) -> Artifacts:
        found = run_artifacts(spec, source, directory, engine, progress)
        found = found if flagged is None else found.against(flagged)
        return found if threshold is None else found.realistic(threshold)

    return replace(planned_ranking(source, spec, directory), run=run)


ARTIFACTS = Experiment(
    name="artifacts",
    verb="artifacts",
    summary="find the units that spoil the images: those whose top images are farthest from real ones",
    spec=ArtifactSpec,
    groups=(_Read,),
    plan=_plan,
    result=Artifacts,
    tables=artifacts_tables,
    section=artifacts_section,
    chart=artifacts_chart,
    run=RUN,
    example='ganatomy.artifacts("study", "layer4", real="scenes:church").table',
)


def check_threshold(threshold: float) -> None:
    """Refuse what is no distance."""
    if not 0 < threshold < math.inf:
        raise BadValue(f"threshold={threshold} is no distance from which on units are left out; give one above 0")


def concept_counts(units: pd.DataFrame) -> pd.DataFrame:
    """Return by (concept, category) how many units are interpretable, and matched; without those that have neither."""
    found = (
        units.groupby(named)[flag].sum().rename_axis(["concept", "category"])
        for named, flag in ((AS_INTERPRETABLE, "interpretable"), (["label", "category"], "matched"))
    )
    counts = pd.concat(found, axis=1).fillna(0).astype(int)
    return counts[counts.interpretable > 0]


def flagged_units(source: DissectedModel, layer: str, where: str | Path) -> list[int]:
    """Return the units in which people see artifacts."""
    if "://" not in str(where) and not Path(where).is_file():
        raise BadFile(f"{where}: no such file; give the database of annotations that ganatomy serve wrote")
    annotations = open_annotations(where)
    try:
        units = artifact_units(annotations.read("flags", source.dissection.study.digest), layer)
    finally:
        annotations.close()
    if not units:
        raise BadValue(f"{where}: nobody flagged a unit of {layer} of this dissection; leave the annotations out")
    return units


def run_artifacts(
    spec: ArtifactSpec,
    source: DissectedModel,
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
) -> Artifacts:
    """Rank the units of a layer; goes on where it was stopped.

    The real images are described once for all layers, and kept next to the dissection.
    """
    source.shape(spec.layer)
    source.check_dissected(spec.layer)  # its labels stand beside the distances
    with comparison_study(spec, source, directory, engine, progress) as (study, compared):
        if not study.finished:
            real = describe_reals(compared, engine, progress)
            work = partial(describe_made, compared, [()])
            made = study.sharded("generated images", FeatureTable, work, compared.shards())
            device, shown = compared.generator.device, progress or NullProgress()
            found = study.step("distances", Distances, lambda: distances(made, real, spec, device, shown))
            table, samples = artifact_tables(source, spec, real, found)
            study.step("strips", Strips, lambda: top_strips(source, spec.layer, table))
            study.write_table("artifacts", table)
            study.write_table("samples", samples)
            study.finish(without=["generated images"])
    return Artifacts.open(directory)


def distances(
    made: FeatureTable, real: FeatureMoments, spec: ArtifactSpec, device: torch.device, progress: Progress
) -> Distances:
    """Return the distance of every unit, then of every sample at random, then of all images."""
    samples = torch.cat([_unit_samples(made, spec), _random_samples(spec)])
    features = made.features
    whole = FeatureMoments(features.shape[1])
    whole.update(features)
    progress.begin("distances", len(samples))
    try:
        with listening(progress.advance):
            some = unit_frechet(features.to(device), samples, real, overwrite=True)
            every = frechet_distance(real, whole)
            own = ((getattr(each, name).cpu().view(-1) for each in (some, every)) for name in TERMS)
            return Distances(*(torch.cat(list(both)) for both in own))
    finally:
        progress.end()


def _unit_samples(made: FeatureTable, spec: ArtifactSpec) -> Int64[Tensor, "u m"]:
    peaks = made.peaks
    if not math.isfinite(float(peaks.sum())) and not peaks.isfinite().all():
        raise BadValue(f"units of {spec.layer} are NaN or Inf in some images, and cannot be ranked")
    return tops(peaks, spec.top)


def tops(peaks: Float[Tensor, "M u"], top: int) -> Int64[Tensor, "u m"]:
    """Return the images in which each unit is greatest, greatest first, ties to the lower number."""
    parts = [
        part.T.argsort(dim=1, descending=True, stable=True)[:, :top].clone() for part in torch.split(peaks, SORTED, 1)
    ]
    return torch.cat(parts)


def _random_samples(spec: ArtifactSpec) -> Int64[Tensor, "draws m"]:
    dice = torch.Generator().manual_seed(spec.seed)
    return torch.stack([torch.randperm(spec.images, generator=dice)[: spec.top] for _ in range(spec.draws)])


def artifact_tables(
    source: DissectedModel, spec: ArtifactSpec, real: FeatureMoments, found: Distances
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of the units, worst first, and what to compare them with."""
    units = source.shape(spec.layer).units
    own = found.distance[:units]
    plain, every = torch.split(found.distance[units:], [spec.draws, 1])
    known = source.dissection.units
    known = known.join(interpretable_with(source.dissection).set_axis(AS_INTERPRETABLE, axis=1))
    table = known.loc[known.layer == spec.layer, [*UNIT_COLUMNS, *AS_INTERPRETABLE]].sort_values("unit")
    table = table.assign(
        fid=own.numpy(),
        means=found.means[:units].numpy(),
        covariances=found.covariances[:units].numpy(),
        excess=(own - plain.mean()).numpy(),
    )
    covariance = real.covariance()
    rows = [
        ("random", spec.top, float(plain.mean()), float(plain.std())),
        ("all", spec.images, float(every), math.nan),
    ]
    samples = pd.DataFrame(rows, columns=["sample", "images", "fid", "spread"])
    samples["bias"] = [sampling_bias(covariance, (spec.reals, n)) for n in samples.images]
    return table.sort_values("fid", ascending=False, kind="stable", ignore_index=True), samples


def top_strips(
    source: DissectedModel, layer: str, table: pd.DataFrame, worst: int = 8, best: int = 4, each: int = 6
) -> Strips:
    """Return the first top images, by the dissection, of the worst units and of the best."""
    ranked = table.unit.tolist()
    shown = list(dict.fromkeys(ranked[:worst] + ranked[-best:]))
    images = [torch.from_numpy(source.dissection.top(layer, unit).images[:each].copy()) for unit in shown]
    return Strips(torch.tensor(shown), torch.stack(images))
