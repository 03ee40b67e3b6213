"""What does each unit do? Ablate every unit of a layer, one at a time; beside it, a first-order estimate (SPEC 4).

The estimate is activation × gradient: were the soft score of a concept linear in the layer's output, switching a unit
off would change it by ``-Σ_p r_p ∂s/∂r_p``. It takes one backward pass for each concept instead of one forward pass for
each unit. How far to believe it is measured here: the rank correlation of the two, concept by concept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.edit import Intervention
from ganatomy.errors import BadModel
from ganatomy.execute import Executor, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.label_agreement import label_agreement
from ganatomy.experiments.causal.locations import check_scores
from ganatomy.experiments.causal.places import read_spec
from ganatomy.experiments.causal.plans import home
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.experiments.causal.trials import Always, Untouched, batches, try_edits
from ganatomy.experiments.result import Result
from ganatomy.progress import Progress
from ganatomy.report.causal.each import unit_effects_section, unit_effects_tables
from ganatomy.segmenters import Scorer
from ganatomy.stats.base import Accumulator, Merge, add
from ganatomy.stats.paired import SURE, PairedChange
from ganatomy.study import Study

AT_ONCE = 8
"""Images that gradients are computed for at once; with 32 each took a third longer on a processor."""
GRADIENT = 4
"""An image with its gradient takes as long as about so many without."""


@dataclass(frozen=True)
class UnitEffectSpec(SampleSpec):
    """Which images to measure every unit of a layer on.

    Attributes:
        estimate: whether to make the first-order estimate too.
    """

    images: int = 100
    estimate: bool = True


class FirstOrder(Accumulator):
    """The first-order estimate, added up over images.

    Attributes:
        images: int64 [1].
        total: float64 [u, concepts], the predicted change of the mean score, of the concepts that were asked for.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"images": add, "total": add}

    def __init__(self, units: int, concepts: int, device: torch.device | str = "cpu") -> None:
        self.images = torch.zeros(1, dtype=torch.long, device=device)
        self.total = torch.zeros(units, concepts, dtype=torch.float64, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in the predicted changes of some images, [b, u, concepts]."""
        self.images += len(batch[0])
        self.total += batch[0].double().sum(0)

    def read(self) -> Float64[Tensor, "u c"]:
        """Return the mean over images."""
        return self.total / self.images


@dataclass(frozen=True, eq=False, repr=False)
class UnitEffects(Result):
    """What every unit of a layer does to every concept. It opens without any model.

    Attributes:
        spec: what was asked.
        facts: what was used; ``facts["first_order"]`` says how the estimate was made, or why there is none.
        table: one row for each unit and scored concept: unit, concept, category, before, change, change_error,
            relative, relative_error (see `Effect`), first_order (the estimate of the change; NaN where there is none).
        agreement: one row a concept: concept, spearman (rank correlation of change and first_order over all units, ties
            averaged, those within noise included, so that noise lowers it; NaN where either is constant), units, clear
            (units whose change is beyond two standard errors).
        labels: whether the labels of units say what the units cause, see `label_agreement`.
        study: the directory that holds it.
    """

    spec: UnitEffectSpec
    facts: Mapping[str, Any]
    table: pd.DataFrame
    agreement: pd.DataFrame
    labels: pd.DataFrame
    study: Study

    @classmethod
    def open(cls, directory: Path) -> "UnitEffects":
        """Open a finished study of unit effects.

        Raises:
            StudyError: the directory holds none.
            BadFile: a file of it is damaged.
        """
        study = Study.open(directory)
        spec, table = read_spec(study, UnitEffectSpec), study.read_table("unit_effects")
        return cls(spec, study.facts, table, study.read_table("agreement"), study.read_table("labels"), study)


def run_unit_effects(
    spec: UnitEffectSpec,
    source: Source,
    directory: Path,
    execute: Executor = local,
    progress: Progress | None = None,
) -> UnitEffects:
    """Ablate every unit of a layer; goes on where it was stopped.

    Raises:
        UnknownName: no such layer.
        StudyMismatch: the directory holds another study.
    """
    source.shape(spec.layer)
    with Study.create(directory, spec, source.facts(), execute, progress) as study:
        spec = study.begun(spec)
        if not study.finished:
            shards = spec.shards()
            alone = partial(ablate_each, source, spec)
            change = study.sharded("each unit", PairedChange, alone, shards)
            guess, said = None, "no first-order estimate: it was not asked for"
            if spec.estimate:
                said = "first order: -Σ r ∂s/∂r, s the mean soft score, over the same images"
                if can_score(source):
                    work = partial(estimate_each, source, spec)
                    guess = study.sharded("first order", FirstOrder, work, shards).read()
                else:
                    said = f"no first-order estimate: {spec.segmenter} gives labels and no scores"
            table = unit_effect_table(source, change, guess)
            study.write_table("unit_effects", table)
            study.write_table("agreement", agreement(table))
            study.write_table("labels", label_agreement(source.dissection, spec.layer, table))
            study.finish(first_order=said)
    return UnitEffects.open(directory)


def ablate_each(source: Source, spec: UnitEffectSpec, ids: range) -> PairedChange:
    """Count one shard: one trial a unit."""
    shape = source.shape(spec.layer)
    trials = [Always([Intervention.ablate(spec.layer, shape, [unit])]) for unit in range(shape.units)]
    return try_edits(source, spec, trials, ids, at_place=False)


def can_score(source: Source) -> bool:
    """Say whether the segmenter gives scores."""
    try:
        check_scores(source)
    except BadModel:
        return False
    return True


def estimate_each(source: Source, spec: UnitEffectSpec, ids: range) -> FirstOrder:
    """Estimate one shard: every unit and every scored concept."""
    concepts = source.scored()
    result = FirstOrder(source.shape(spec.layer).units, len(concepts), source.models.generator.device)
    for given in batches(source, spec, ids):
        for i in range(0, len(given.z), AT_ONCE):
            result.update(first_order(source, spec, given, slice(i, i + AT_ONCE), concepts))
    return result


def first_order(
    source: Source, spec: SampleSpec, given: Untouched, rows: slice, concepts: Sequence[int]
) -> Float64[Tensor, "b u c"]:
    """Return by how much each concept's mean score would change, to first order, were each unit switched off."""
    segmenter = source.models.segmenter
    assert isinstance(segmenter, Scorer)
    r = given.features[rows].detach().requires_grad_()
    drawn = source.models.generator.render(r, spec.layer, given.z[rows])
    images = drawn.detach().requires_grad_()
    changes = []
    for concept in concepts:
        (by_image,) = torch.autograd.grad(segmenter.score(images, concept).mean((1, 2)).sum(), images)
        (by_feature,) = torch.autograd.grad(drawn, r, by_image, retain_graph=True)  # f is drawn once for all concepts
        changes.append(-(r.detach() * by_feature).sum((2, 3), dtype=torch.float64))
    return torch.stack(changes, 2)


def unit_effect_table(source: Source, change: PairedChange, guess: Tensor | None) -> pd.DataFrame:
    """Return one row for each unit and scored concept."""
    concepts = source.scored()
    read = {name: table[:, concepts].flatten().numpy() for name, table in change.read()._asdict().items()}
    read.pop("after")
    named = [source.named(c) for c in concepts]
    units = len(change.pixels)
    return pd.DataFrame(
        {
            "unit": [unit for unit in range(units) for _ in concepts],
            "concept": [concept.name for concept in named] * units,
            "category": [concept.category for concept in named] * units,
            **read,
            "first_order": float("nan") if guess is None else guess.flatten().numpy(),
        }
    )


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return how alike the two rank the units, concept by concept, in the table's order."""
    rows = []
    for (concept, category), own in table.groupby(["concept", "category"], sort=False):
        ranks = own[["change", "first_order"]].rank()
        told = bool((ranks.max() > ranks.min()).all())  # NaN where there is no estimate
        rows.append(
            {
                "concept": concept,
                "category": category,
                "spearman": ranks["change"].corr(ranks["first_order"]) if told else float("nan"),
                "units": len(own),
                "clear": int((own["change"].abs() > SURE * own["change_error"]).sum()),
            }
        )
    return pd.DataFrame(rows)


def _plan(source: Source, options: dict[str, Any], _: Runner) -> Plan[UnitEffects]:
    spec = UnitEffectSpec(**source.names(), **options)
    units, concepts = source.shape(spec.layer).units, len(source.scored())
    run = partial(run_unit_effects, spec, source)
    work = f"ablate each of {units} units"
    return Plan(spec, home(source, spec, "ablate-each"), run, work, units + GRADIENT * concepts)


UNIT_EFFECTS = Experiment(
    name="unit_effects",
    verb="ablate",
    switch=("each", ""),
    summary="ablate every unit of a layer, one at a time, beside the first-order estimate",
    spec=UnitEffectSpec,
    plan=_plan,
    result=UnitEffects,
    tables=unit_effects_tables,
    section=unit_effects_section,
    example='ganatomy.unit_effects("study", layer="layer4").table',
)
