"""Does ablating units repair a model? Distances from real images before and after (4.2, S-6.1, Tables 1, 2).

Evaluated on images that selected no unit, in two samples: all images, and those in which the units are greatest. The
control is as many units drawn at random. All is measured on the same latents, so a change has a smaller error than a
distance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Tensors
from ganatomy.experiments.causal.choice import random_sets
from ganatomy.experiments.causal.dissected_model import (
    DissectedModel,
    SampleSpec,
    at_least,
    checked_set,
    shrink_default,
)
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.trials import count_changes
from ganatomy.experiments.causal.unit_effects import change_table
from ganatomy.experiments.jackknife import Jackknife, NoiseFloor, Textures, check_textures, frechet_jackknife
from ganatomy.experiments.real_comparison import (
    AgainstRealSpec,
    FeatureTable,
    RealComparison,
    Units,
    comparison_study,
    describe_made,
    describe_reals,
)
from ganatomy.experiments.result import Result
from ganatomy.experiments.warnings import exceeds
from ganatomy.interventions import check_units
from ganatomy.models.generators.repaired import IN_STUDY, write_repaired
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.remote import display_path
from ganatomy.report.tables import rows
from ganatomy.stats.frechet import FeatureMoments, sampling_bias
from ganatomy.stats.paired import PairedChange
from ganatomy.study import Study

ORIGINAL, RANDOM, UNION = "original", "random", "union"
EFFECTS = ("set", "concept", "category", "before", "change", "change_error", "relative", "relative_error", "random",
           "random_spread")  # fmt: skip
"""Columns of what is changed."""
SAMPLES = ("artifacts", "plain")
Sets = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class RepairSpec(AgainstRealSpec):
    """Which units of a layer to switch off, and which images to judge that by.

    Attributes:
        first: id of the first image; the default keeps clear of those that units are ranked by.
        sets: (name, units) of each set; the last is made permanent.
        ranking: digest of the ranking that units were taken from; empty where there was none.
        top: of the `images`, how many are the sample in which the units of all sets are greatest.
        random: sets of as many units as the last has, none of any set in them if there are others.
        textures: how many images of either kind are compared by their patches; 0 for none.
        show: images of either sample that are shown.
        concept: the concept that the last set is to remove; it is then measured what else changes. None, if it is not
            given.
        counted: of the plain images, how many that is measured on.
        more: the layers after `layer` at which the same units are switched off, of a block at several steps.
    """

    COMPARED = ("top", "reals")

    first: int = 4_000_000
    sets: Sets = field(kw_only=True)
    ranking: str = ""
    top: int = 500
    random: int = 5
    textures: int = 500
    show: int = 6
    concept: str | None = None
    counted: int = 200
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, random=0, show=1, counted=2)
        shrink_default(self, "counted", self.images)
        shrink_default(self, "textures", min(self.images, self.reals))
        shrink_default(self, "top", self.images // 2)
        check_textures(self, self.textures)
        if not self.sets or len(dict(self.sets)) < len(self.sets):
            raise BadValue(f"sets={[name for name, _ in self.sets]}: give at least one, each of a name of its own")
        for _, units in self.sets:
            checked_set(units)
        if self.top > self.images:
            raise BadValue(f"top={self.top} images cannot be had of images={self.images}; draw more")

    def layers(self) -> list[str]:
        """Return the layers whose units are switched off."""
        return [self.layer, *self.more]

    @property
    def touched(self) -> tuple[int, ...]:
        """The units of all sets."""
        return tuple(sorted({unit for _, units in self.sets for unit in units}))

    def trials(self, count: int) -> Sets:
        """Return what is tried on a layer of so many units: no unit, each set, and the random sets."""
        size = len(self.sets[-1][1])
        drawn = random_sets(count, size, range(self.random), self.seed, self.touched)
        return ((ORIGINAL, ()), *self.sets, *((f"{RANDOM} {i + 1}", units) for i, units in enumerate(drawn)))


@dataclass(frozen=True, eq=False)
class Redrawn(Tensors):
    """Images before and after: first those in which the units are greatest, then as many plain ones.

    Attributes:
        ids: int64 [n].
        images: uint8 [n, trials, H, W, 3].
    """

    ids: Tensor
    images: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Repair(Result):
    """What switching units off does to the distance from real images. It opens without any model.

    Attributes:
        spec: what was asked.
        facts: what was used; ``facts["repaired"]`` says what became of the repaired generator.
        table: one row for each sample and set of units.
        textures: one row for each set and level of plain images.
        effects: one row for each set and concept, see `effect_rows`; empty where no concept is to be taken away.
        strips: images before and after.
        study: the directory that holds it.
    """

    FILES: ClassVar = {"table": "repair"}

    spec: RepairSpec
    table: pd.DataFrame
    textures: pd.DataFrame
    effects: pd.DataFrame
    strips: Redrawn

    def _warnings(self) -> list[str]:
        own = self.table[self.table["set"] == self.spec.sets[-1][0]]
        where = {"plain": "plain images", "artifacts": "images in which the units are greatest"}
        return [
            f"The repaired model is worse: the distance of {where.get(str(row.sample), 'images')} from real ones grows "
            f"by {row.change:.3g} ± {row.change_error:.2g}, to {row.fid:.3g}."
            for row in rows(own)
            if exceeds(row.change, row.change_error)
        ]

    @property
    def details(self) -> dict[str, Any]:
        """What became of the repaired generator."""
        written = self.facts["repaired"]
        found = {"opens": self.opens, "folded": written["folded"], "reason": written["reason"]}
        return found | ({"export": self.export} if "export" in written else {})

    @property
    def export(self) -> Path | None:
        """What runs without this package: a folder of weights, or a program; of pipelines of diffusers."""
        name = self.facts["repaired"].get("export", {}).get("file")
        return None if name is None else self.study.directory / IN_STUDY / name

    @property
    def opens(self) -> str | None:
        """The name that opens the repaired generator; None where none could be written."""
        written = self.facts["repaired"]
        trust = "?trust=yes" if written["trust"] else ""
        return f"repaired:{display_path(self.study.directory / IN_STUDY)}{trust}" if written["written"] else None


def check_sets(spec: RepairSpec, source: DissectedModel) -> None:
    """Refuse units that the layer does not have."""
    check_units(spec.layer, source.shape(spec.layer).units, spec.touched)


def run_repair(
    spec: RepairSpec, source: DissectedModel, directory: Path, engine: Engine = local, progress: Progress | None = None
) -> Repair:
    """Switch sets of units off, compare with real images, and write the generator without the last set.

    Goes on where it was stopped.
    """
    check_sets(spec, source)
    trials = spec.trials(source.shape(spec.layer).units)
    units = [own for _, own in trials]
    with comparison_study(spec, source, directory, engine, progress) as (study, compared):
        if not study.finished:
            study.write_table("textures", _textures(study, compared, spec, progress or NullProgress()))
            study.write_table("effects", _effects(study, compared, spec))
            real = describe_reals(compared, engine, progress)
            work = partial(describe_made, compared, units)
            made = study.sharded("repaired images", FeatureTable, work, compared.shards())
            worst = rank_by_peak(made.peaks[:, spec.touched], spec.top)
            features = made.features.to(compared.generator.device).view(spec.images, len(trials), compared.width)
            study.write_table("repair", repair_table(spec, features.unbind(1), real, worst, progress or NullProgress()))
            ids = [spec.first + i for i in (*worst[: spec.show].tolist(), *range(spec.images)[: spec.show])]
            shown = units[: 1 + len(spec.sets) + (spec.random > 0)]
            study.step("strips", Redrawn, lambda: _redraw(compared, shown, ids))
            study.finish(
                without=["repaired images"],
                repaired=_written(study.directory / IN_STUDY, compared, units[len(spec.sets)]),
            )
    return Repair.open(directory)


def rank_by_peak(peaks: Float[Tensor, "M u"], top: int) -> Int64[Tensor, " top"]:
    """Return the images in which any of some units is greatest: each unit lends its top images, by turns.

    An image counts by its best place in the order of any unit, so no unit's scale matters. Of equal places, such as
    the first of two units, the lower number comes first. What is equal in many images has the last of their places: a
    unit that is off everywhere lends none.

    >>> rank_by_peak(torch.tensor([[1.0, 0.0], [9.0, 0.0], [2.0, 0.0], [0.0, 5.0]]), 3).tolist()
    [1, 3, 2]
    """
    if not bool(peaks.isfinite().all()):
        raise BadValue("units are NaN or Inf in some images, and these cannot be ranked")
    columns = peaks.T.contiguous()
    places = len(peaks) - torch.searchsorted(columns.sort(1).values, columns)
    return places.amin(0).argsort(stable=True)[:top]


def _redraw(compared: RealComparison, trials: Sequence[Units], ids: Sequence[int]) -> Redrawn:
    each = [[next(compared.drawn(range(i, i + 1), units))[0] for units in trials] for i in ids]
    images = [torch.stack([as_bytes(image)[0] for image in own]).permute(0, 2, 3, 1) for own in each]
    return Redrawn(torch.tensor(ids), torch.stack(images))


def repair_table(
    spec: RepairSpec,
    features: Sequence[Float[Tensor, "M d"]],
    real: FeatureMoments,
    worst: Int64[Tensor, " top"],
    progress: Progress,
) -> pd.DataFrame:
    """Return the distances of every set on both samples, from the features of every trial."""
    rows = []
    progress.begin("distances", 2 * len(features))
    try:
        in_order = worst.sort().values  # by id: a block of the greatest would not be like the others
        for sample, chosen in zip(SAMPLES, (in_order, None), strict=True):
            found = []
            for each in features:
                found.append(frechet_jackknife(each.contiguous(), real, chosen))
                progress.advance(1)
            images = spec.images if chosen is None else len(chosen)
            bias = sampling_bias(real.covariance(), (spec.reals, images))
            rows += [
                {"sample": sample, **own.row("fid"), "images": images, "bias": bias}
                for own in compared_sets(spec, found)
            ]
    finally:
        progress.end()
    columns = ["sample", "set", "units", "images", "fid", "error", "change", "change_error", "spread", "bias"]
    return pd.DataFrame(rows, columns=columns)


class ComparedSet(NamedTuple):
    """The numbers of one set.

    Attributes:
        name, units: of the set, and how many units it has.
        value, change: the numbers, and how they changed from the original; of random sets the mean.
        spread: standard deviation over the random sets; NaN of others.
    """

    name: str
    units: int
    value: Jackknife
    change: Jackknife
    spread: Tensor

    def row(self, number: str, i: int = 0) -> dict[str, Any]:
        """Return number i, which is called `number`, as entries of a row."""
        original = self.name == ORIGINAL
        return {
            "set": self.name,
            "units": self.units,
            number: float(self.value.whole[i]),
            "error": float(self.value.error[i]),
            "change": math.nan if original else float(self.change.whole[i]),
            "change_error": math.nan if original else float(self.change.error[i]),
            "spread": float(self.spread[i]),
        }


def compared_sets(spec: RepairSpec, found: Sequence[Jackknife]) -> list[ComparedSet]:
    """Return the numbers of every set from those of every trial."""
    names = [ORIGINAL, *(name for name, _ in spec.sets)]
    sizes = [0, *(len(units) for _, units in spec.sets)]
    none = torch.full_like(found[0].whole, torch.nan)
    chosen = zip(names, sizes, found, strict=False)
    rows = [ComparedSet(name, size, own, own.minus(found[0]), none) for name, size, own in chosen]
    if drawn := found[len(names) :]:
        mean = Jackknife.mean(drawn)
        spread = torch.stack([own.whole for own in drawn]).std(0) if len(drawn) > 1 else none
        rows.append(ComparedSet(RANDOM, sizes[-1], mean, mean.minus(found[0]), spread))
    return rows


def _textures(study: Study, compared: RealComparison, spec: RepairSpec, progress: Progress) -> pd.DataFrame:
    """Compare the textures of every trial; return the table, without rows where none are asked for."""
    columns = ["height", "set", "units", "swd", "error", "change", "change_error", "spread", "perfect"]
    if not spec.textures:
        return pd.DataFrame(columns=columns)
    textures, ids = Textures(compared, spec.textures, progress), spec.ids()[: spec.textures]
    floor = study.step("real textures", NoiseFloor, textures.perfect)
    found = []
    for i, (name, units) in enumerate(spec.trials(compared.source.shape(spec.layer).units)):
        images = compared.drawn(ids, units)
        found.append(study.step(f"textures-{i}", Jackknife, partial(textures.of, f"textures, {name}", images)))
    levels = enumerate(zip(floor.heights.tolist(), floor.distance.tolist(), strict=True))
    rows = [
        {"height": height, **own.row("swd", i), "perfect": distance}
        for i, (height, distance) in levels
        for own in compared_sets(spec, found)
    ]
    return pd.DataFrame(rows, columns=columns)


def _effects(study: Study, compared: RealComparison, spec: RepairSpec) -> pd.DataFrame:
    """Count what each set changes; return the table, without rows where no concept is to be taken away."""
    if spec.concept is None:
        return pd.DataFrame(columns=list(EFFECTS))
    source, sets = compared.source, spec.trials(compared.source.shape(spec.layer).units)[1:]
    trials = [compared.ablation_edits(units) for _, units in sets]
    few = SampleSpec(**source.names(), layer=spec.layer, images=spec.counted, first=spec.first, seed=spec.seed)
    work = partial(count_changes, source, few, trials)
    change = study.sharded("concepts", PairedChange, work, source.run.shards(spec.ids()[: spec.counted]))
    return effect_rows(spec, change_table(source, change))


def effect_rows(spec: RepairSpec, table: pd.DataFrame) -> pd.DataFrame:
    """Return what each set changes beside the random sets, the concept that is taken away first.

    Args:
        spec: of the repair.
        table: see `change_table`; the trials are the sets, and then the random sets.
    """
    by_concept = ["concept", "category"]
    random = table[table.trial >= len(spec.sets)].groupby(by_concept).change
    chosen = table[table.trial < len(spec.sets)]
    found = chosen.assign(set=[spec.sets[trial][0] for trial in chosen.trial])
    found = found.join(random.mean().rename("random"), on=by_concept)
    found = found.join(random.std().rename("random_spread"), on=by_concept)
    own = found.concept == spec.concept
    order = found.assign(own=~own, size=-found.change.abs()).sort_values(["trial", "own", "size"], kind="stable")
    return order[list(EFFECTS)].reset_index(drop=True)


def _written(directory: Path, compared: RealComparison, units: Units) -> dict[str, Any]:
    """Write the generator without some units; return what became of it."""
    if not isinstance(compared.source.models.generator_given, str):
        reason = "an open generator has no name by which it could be opened again"
        return {"written": False, "folded": False, "reason": reason, "trust": False}
    edits = compared.ablation_edits(units)
    written = write_repaired(directory, compared.spec.generator, compared.generator, edits)
    trust = written.name.endswith("?trust=yes")
    found = {"written": True, "folded": written.folded, "reason": written.reason, "trust": trust}
    if isinstance(compared.generator, SampledGenerator):
        from ganatomy.models.generators.diffusers.erasure import export_erasure  # which needs diffusers

        erasure = export_erasure(directory, compared.generator, edits)
        found["export"] = {"file": None if erasure.file is None else erasure.file.name, "how": erasure.how}
    return found
