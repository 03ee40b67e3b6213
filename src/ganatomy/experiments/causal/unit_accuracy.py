"""Which units does a classifier need for a class? Ablate each alone, then the best of each class together.

The units of a class are chosen on one half of the images, and their effect is measured on the other (Bau et al. 2020,
PNAS): of many units the best on some images is lucky, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.accuracy import (
    Units,
    accuracy_seconds,
    check_sample,
    predict_ablated,
)
from ganatomy.experiments.causal.choice import random_sets
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, at_least, default_directory
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.report.causal.accuracy import unit_accuracy_chart, unit_accuracy_section, unit_accuracy_tables
from ganatomy.stats.predictions import Predictions


@dataclass(frozen=True)
class UnitAccuracySpec(SampleSpec):
    """On which images every unit of a layer is ablated, and for which classes the best units are ablated together.

    Attributes:
        images: how many images: units are chosen on the first half of them, effects measured on the second.
        first: id of the first image: 0, as the images of a set are few.
        classes: those whose best units are ablated together; all, if none is named.
        sizes: how many units at a time; sizes that leave the layer no unit are left out.
        random: how many random orders of units they are compared with.
    """

    images: int = 1000
    first: int = 0
    classes: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (1, 2, 4, 8, 12, 16, 20)
    random: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("classes", "sizes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes or self.sizes[0] < 1:
            raise BadValue(f"sizes={self.sizes}: give numbers of units, ascending")
        at_least(self, random=0, images=4)

    def halves(self) -> tuple[range, range]:
        """Return the ids of the images that units are chosen on, and of those that effects are measured on."""
        ids = self.ids()
        return ids[: len(ids) // 2], ids[len(ids) // 2 :]

    def followed(self, classes: int) -> int:
        """Return of how many classes the best units are ablated together, of so many that there are."""
        return len(self.classes) or classes

    def trials(self, units: int, classes: int) -> int:
        """Return about how often each image is classified, given how many units and classes there are."""
        return units + (self.followed(classes) * (len(self.sizes) + 1) + self.random * len(self.sizes)) // 2


@dataclass(frozen=True, eq=False, repr=False)
class UnitAccuracy(Result):
    """What every unit of a layer does for every class.

    Attributes:
        facts: ``facts["classes"]`` names the classes, ``facts["images"]`` says how many there were.
        table: one row for each unit and class.
        overall: one row a unit.
        curve: the units of a class ablated together, measured on the other half, one row for each class, way and size.
    """

    FILES: ClassVar = {"table": "unit_classes", "overall": "units"}

    spec: UnitAccuracySpec
    table: pd.DataFrame
    overall: pd.DataFrame
    curve: pd.DataFrame

    def top(self, name: str, n: int = 20) -> list[int]:
        """Return the units that a class needs most, the first first.

        Raises:
            UnknownName: no such class.
        """
        own = self.table[self.table["class"] == name]
        if own.empty:
            raise UnknownName("class", name, self.facts["classes"])
        return [int(unit) for unit in own.sort_values("rank").unit.head(n)]


@dataclass(frozen=True)
class _Sets:
    """Sets of units that are ablated together, each with its name: (class or empty, way, n)."""

    names: Sequence[tuple[str, str, int]]
    units: Sequence[Units]


def run_unit_accuracy(
    spec: UnitAccuracySpec,
    source: DissectedModel,
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
) -> UnitAccuracy:
    """Ablate every unit alone, then the best of each class together; goes on where it was stopped."""
    classes = check_sample(source, spec)
    units = source.shape(spec.layer).units
    chosen_on, measured_on = spec.halves()
    with source.begin(directory, spec, engine, progress, classes=list(classes)) as (study, source):
        if not study.finished:
            work = partial(predict_ablated, source, spec, [[unit] for unit in range(units)])
            alone = study.sharded("each unit", Predictions, work, source.run.shards(spec.ids()))
            table = unit_class_table(alone, len(chosen_on), classes)
            sets = _sets(spec, table, units)
            work = partial(predict_ablated, source, spec, sets.units)
            together = study.sharded("together", Predictions, work, source.run.shards(measured_on))
            study.write_table("unit_classes", table)
            study.write_table("units", _overall_table(alone, len(classes)))
            study.write_table("curve", _curve(sets, together, classes))
            study.finish(images=[len(chosen_on), len(measured_on)])
    return UnitAccuracy.open(directory)


def unit_class_table(alone: Predictions, half: int, classes: Sequence[str]) -> pd.DataFrame:
    """Return what each unit does for each class that both halves of the images show."""
    chosen, held_out = (alone.rows(*part).read(len(classes)) for part in ((0, half), (half, len(alone.truth))))
    both = ((chosen.images > 0) & (held_out.images > 0)).nonzero()[:, 0].tolist()
    if not both:
        raise BadValue("no class has images in both halves of the sample; ask for more images")
    units = alone.predicted.shape[1] - 1
    parts = []
    for c in both:
        change = chosen.balanced_change[1:, c]
        order = chosen.likelihood_change[1:, c].argsort(stable=True)
        order = order[change[order].argsort(stable=True)]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(1, units + 1)
        columns: dict[str, Tensor] = {
            "rank": rank,
            "change": change,
            "change_error": chosen.balanced_error[1:, c],
            "likelihood_change": chosen.likelihood_change[1:, c],
            "held_out": held_out.balanced_change[1:, c],
            "held_out_error": held_out.balanced_error[1:, c],
            "recall_change": held_out.recall_change[1:, c],
        }
        numbers = {name: column.numpy() for name, column in columns.items()}
        parts.append(pd.DataFrame({"unit": range(units), "class": classes[c], **numbers}))
    return pd.concat(parts, ignore_index=True)


def _overall_table(alone: Predictions, classes: int) -> pd.DataFrame:
    overall = alone.overall(classes)
    change, error = (column[1:].numpy() for column in (overall.accuracy_change, overall.accuracy_error))
    return pd.DataFrame({"unit": range(len(change)), "change": change, "change_error": error})


def _sets(spec: UnitAccuracySpec, table: pd.DataFrame, units: int) -> _Sets:
    sizes = [n for n in spec.sizes if n < units]
    if not sizes:
        raise BadValue(f"{spec.layer} has {units} units; there is none to be left, give smaller sizes")
    names, sets = [], []
    for name in spec.classes or tuple(table["class"].unique()):
        order = table[table["class"] == name].sort_values("rank").unit.tolist()
        if not order:
            raise BadValue(f"{name} has no images in one half of the sample; ask for more images")
        sets += [*(order[:n] for n in sizes), order[sizes[-1] :]]
        names += [*((name, "top", n) for n in sizes), (name, "all but top", units - sizes[-1])]
    for n in sizes:  # the first n of each order
        orders = random_sets(units, n, range(spec.random), spec.seed)
        sets += [list(each) for each in orders]
        names += [("", "random", n)] * len(orders)
    return _Sets(names, sets)


def _curve(sets: _Sets, together: Predictions, classes: Sequence[str]) -> pd.DataFrame:
    """Return the accuracy of each followed class without its own units, and without random ones."""
    read = together.read(len(classes))
    rows = []
    for name in dict.fromkeys(name for name, _, _ in sets.names if name):
        trials: dict[tuple[str, int], list[int]] = {("top", 0): [0]}
        for i, (of, by, n) in enumerate(sets.names, 1):
            if of in (name, ""):
                trials.setdefault((by, n), []).append(i)
        c = classes.index(name)
        for (by, n), own in trials.items():
            changes = read.balanced_change[own, c]
            numbers = {
                "recall": read.recall[own, c].mean(),
                "balanced": read.balanced[own, c].mean(),
                "balanced_change": changes.mean(),
                "balanced_error": read.balanced_error[own, c].square().mean().sqrt(),
                "spread": changes.std() if by == "random" and len(own) > 1 else np.nan,
            }
            rows.append({"class": name, "by": by, "n": n, **{key: float(each) for key, each in numbers.items()}})
    return pd.DataFrame(rows)


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[UnitAccuracy]:
    spec = UnitAccuracySpec(**source.names(), **options)
    known = check_sample(source, spec)
    for name in spec.classes:
        if name not in known:
            raise UnknownName("class", name, known)
    kinds = f"-{'-'.join(spec.classes)}" if spec.classes else ""
    trials = spec.trials(source.shape(spec.layer).units, len(known))
    work = f"ablate each unit, then the best of {spec.followed(len(known))} classes"
    seconds = partial(accuracy_seconds, source, spec, trials)
    run = partial(run_unit_accuracy, spec, source)
    return Plan(spec, default_directory(source, spec, f"accuracy-each{kinds}"), run, work, trials, seconds)


UNIT_ACCURACY = Experiment(
    name="unit_accuracy",
    verb="accuracy",
    switch=("each", ""),
    summary="ablate every unit of a classifier alone, then those that each class needs most together",
    spec=UnitAccuracySpec,
    plan=_plan,
    result=UnitAccuracy,
    tables=unit_accuracy_tables,
    section=unit_accuracy_section,
    chart=unit_accuracy_chart,
    run=RunOptions(64, 256),
    draws=False,
    example='ganatomy.unit_accuracy("study", "layer3").table',
)
