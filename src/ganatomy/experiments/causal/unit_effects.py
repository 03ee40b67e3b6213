"""What does each unit do? Ablate every unit of a layer, one at a time; also a first-order estimate (SPEC 4).

The estimate is activation × gradient: were the soft score of a concept linear in the layer's output, switching a unit
off would change it by ``-Σ_p r_p ∂s/∂r_p``. It takes one backward pass for each concept instead of one forward pass for
each unit. How far to believe it is measured here: the rank correlation of the two, concept by concept. And do
the labels of units say what they cause: does a unit's own concept shrink?
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, default_directory
from ganatomy.experiments.causal.locations import check_scores
from ganatomy.experiments.causal.trials import GRADIENT, Baseline, baselines, count_changes
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.result import Result
from ganatomy.interventions import Intervention
from ganatomy.models.segmenters import Scorer
from ganatomy.report.causal.unit_effects import unit_effects_section, unit_effects_tables
from ganatomy.stats.base import Accumulator, Merge, add
from ganatomy.stats.paired import SURE, PairedChange

AT_ONCE = 8
"""Images that gradients are computed for at once; with 32 each took a third longer on a processor."""
LEAST = 0.004
"""Share of the pixels that a concept must cover for the changes of units to be compared with their labels."""
TOP = 0.1
RANDOM = "random labels"


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
    """What every unit of a layer does to every concept.

    Attributes:
        facts: ``facts["first_order"]`` says how the estimate was made, or why there is none.
        table: one row for each unit and scored concept (see `Effect`).
        agreement: one row a concept. Ties are averaged, units within noise are included, so that noise lowers the
            correlation; it is NaN where either is constant.
        labels: whether the labels of units say what the units cause, see `label_agreement`.
    """

    FILES: ClassVar = {"table": "unit_effects"}

    spec: UnitEffectSpec
    table: pd.DataFrame
    agreement: pd.DataFrame
    labels: pd.DataFrame


def run_unit_effects(
    spec: UnitEffectSpec,
    source: DissectedModel,
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
) -> UnitEffects:
    """Ablate every unit of a layer; goes on where it was stopped."""
    source.shape(spec.layer)
    with source.begin(directory, spec, engine, progress) as (study, source):
        if not study.finished:
            shards = source.run.shards(spec.ids())
            alone = partial(ablate_each, source, spec)
            change = study.sharded("each unit", PairedChange, alone, shards)
            guess, note = None, "no first-order estimate: it was not asked for"
            if spec.estimate:
                note = "first order: -Σ r ∂s/∂r, s the mean soft score, over the same images"
                if can_score(source):
                    work = partial(estimate_each, source, spec)
                    guess = study.sharded("first order", FirstOrder, work, shards).read()
                else:
                    note = f"no first-order estimate: {spec.segmenter} gives labels and no scores"
            table = unit_effect_table(source, change, guess)
            study.write_table("unit_effects", table)
            study.write_table("agreement", agreement(table))
            study.write_table("labels", label_agreement(source.dissection, spec.layer, table))
            study.finish(first_order=note)
    return UnitEffects.open(directory)


def ablate_each(source: DissectedModel, spec: UnitEffectSpec, ids: range) -> PairedChange:
    """Count one shard: one trial a unit."""
    shape = source.shape(spec.layer)
    trials = [[Intervention.ablate(spec.layer, shape, [unit])] for unit in range(shape.units)]
    return count_changes(source, spec, trials, ids)


def can_score(source: DissectedModel) -> bool:
    """Say whether the segmenter gives scores."""
    try:
        check_scores(source)
    except BadModel:
        return False
    return True


def estimate_each(source: DissectedModel, spec: UnitEffectSpec, ids: range) -> FirstOrder:
    """Estimate one shard: every unit and every scored concept."""
    concepts = source.scored()
    result = FirstOrder(source.shape(spec.layer).units, len(concepts), source.models.generator.device)
    for given in baselines(source, spec, ids):
        for i in range(0, len(given.z), AT_ONCE):
            result.update(first_order(source, spec, given, slice(i, i + AT_ONCE), concepts))
    return result


def first_order(
    source: DissectedModel, spec: SampleSpec, given: Baseline, rows: slice, concepts: Sequence[int]
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


def unit_effect_table(source: DissectedModel, change: PairedChange, guess: Tensor | None) -> pd.DataFrame:
    """Return one row for each unit and scored concept."""
    table = change_table(source, change).rename(columns={"trial": "unit"})
    return table.assign(first_order=float("nan") if guess is None else guess.flatten().numpy())


def change_table(source: DissectedModel, change: PairedChange) -> pd.DataFrame:
    """Return one row for each trial and scored concept."""
    concepts = source.scored()
    read = {name: table[:, concepts].flatten().numpy() for name, table in change.read()._asdict().items()}
    read.pop("after")
    named = [source.named(c) for c in concepts]
    trials = len(change.pixels)
    return pd.DataFrame(
        {
            "trial": [trial for trial in range(trials) for _ in concepts],
            "concept": [concept.name for concept in named] * trials,
            "category": [concept.category for concept in named] * trials,
            **read,
        }
    )


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return how alike the two rank the units, concept by concept, in the table's order."""
    rows = []
    for (concept, category), own in table.groupby(["concept", "category"], sort=False):
        ranks = own[["change", "first_order"]].rank()
        defined = bool((ranks.max() > ranks.min()).all())  # NaN where there is no estimate
        rows.append(
            {
                "concept": concept,
                "category": category,
                "spearman": ranks["change"].corr(ranks["first_order"]) if defined else float("nan"),
                "units": len(own),
                "clear": int((own["change"].abs() > SURE * own["change_error"]).sum()),
            }
        )
    return pd.DataFrame(rows)


def label_agreement(dissection: Dissection, layer: str, effects: pd.DataFrame) -> pd.DataFrame:
    """Return how often ablating a unit shrinks the concept that it is labelled with.

    Args:
        dissection: which labels the units.
        layer: whose units were ablated.
        effects: `UnitEffects.table`.

    Returns:
        One row a rule: the dissection's own labels, the concept of greatest IoU of all, and random labels (the mean
        over all concepts). Columns: rule; labelled (units); scored (those whose concept covers at least 0.4 % of the
        pixels); concepts (distinct); shrinks (share of the scored whose concept shrinks by more than two standard
        errors) and shrinks_error; top_tenth (share whose concept is among the tenth that shrink most, by relative
        change) and its error; relative (mean relative change of the concept) and its error over the units.
    """
    scored = effects[effects.before >= LEAST]
    clear = scored.change < -SURE * scored.change_error
    rank = scored.groupby("unit").relative.rank(pct=True)
    scored = scored.assign(shrinks=clear, top_tenth=rank <= TOP)
    units = dissection.units[dissection.units.layer == layer]
    start = int((dissection.units.layer == layer).to_numpy().argmax())
    iou = np.nan_to_num(dissection.scores.iou[start : start + len(units), 1:], nan=-1.0)
    best = dissection.concepts.iloc[dissection.reading.concepts[1:].numpy()[iou.argmax(1)] - 1]
    rules = {
        f"labels of the dissection ({dissection.spec.label})": units[["unit", "label", "category"]].dropna(),
        "greatest IoU of all": pd.DataFrame(
            {"unit": units.unit.to_numpy(), "label": best.concept.to_numpy(), "category": best.category.to_numpy()}
        ),
    }
    rows = [_row(rule, labels, _of(labels, scored)) for rule, labels in rules.items()]
    everything = scored.assign(label=scored.concept)
    return pd.DataFrame([*rows, _row(RANDOM, everything.drop_duplicates("unit"), everything)])


def _of(labels: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """Return the effect of every unit on the concept of its label, where that is scored."""
    return labels.merge(scored, left_on=["unit", "label", "category"], right_on=["unit", "concept", "category"])


def _row(rule: str, labels: pd.DataFrame, own: pd.DataFrame) -> dict[str, object]:
    units = own.unit.nunique()
    row: dict[str, object] = {
        "rule": rule,
        "labelled": len(labels),
        "scored": units,
        "concepts": own[["label", "category"]].drop_duplicates().shape[0],
    }
    for name in ("shrinks", "top_tenth"):
        share = float(own[name].mean()) if len(own) else math.nan
        row |= {name: share, f"{name}_error": math.sqrt(share * (1 - share) / units) if units else math.nan}
    relative = own.groupby("unit").relative.mean()
    return row | {
        "relative": float(relative.mean()),
        "relative_error": float(relative.std()) / math.sqrt(max(units, 1)),
    }


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[UnitEffects]:
    spec = UnitEffectSpec(**source.names(), **options)
    units, concepts = source.shape(spec.layer).units, len(source.scored())
    run = partial(run_unit_effects, spec, source)
    work = f"ablate each of {units} units"
    return Plan(spec, default_directory(source, spec, "ablate-each"), run, work, units + GRADIENT * concepts)


UNIT_EFFECTS = Experiment(
    name="unit_effects",
    verb="ablate",
    switch=("each", ""),
    summary="ablate every unit of a layer, one at a time, with the first-order estimate",
    spec=UnitEffectSpec,
    plan=_plan,
    result=UnitEffects,
    tables=unit_effects_tables,
    section=unit_effects_section,
    example='ganatomy.unit_effects("study", "layer4").table',
)
