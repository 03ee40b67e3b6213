"""What do units do for a classifier? Ablate them: how accurate is each class then (Bau et al. 2020, PNAS)?

The predicted class is that of the greatest score. The control is random sets of as many units.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.progress import Progress, report_progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import UnitQuery, random_sets, select_units
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, at_least, default_directory
from ganatomy.experiments.result import Result
from ganatomy.experiments.run_options import RunOptions
from ganatomy.experiments.warnings import SURE, percent
from ganatomy.interventions import Intervention, check_units
from ganatomy.models.generators.classifier import Classifier
from ganatomy.report.causal.accuracy import accuracy_chart, accuracy_section, accuracy_tables
from ganatomy.stats.predictions import Overall, Predictions

Units = Sequence[int]


@dataclass(frozen=True)
class AccuracySpec(SampleSpec):
    """Which units of a classifier are ablated.

    Attributes:
        first: id of the first image: 0, as the images of a set are few.
        units: which.
        chosen: a sentence that says how they were chosen.
        concept: what they are for, if they were chosen for a concept.
        random: how many random sets of as many units they are compared with.
    """

    images: int = 1000
    first: int = 0
    units: tuple[int, ...] = ()
    chosen: str = ""
    concept: str | None = None
    random: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "units", tuple(self.units))
        if not self.units:
            raise BadValue("no units to switch off; name some, or a concept to rank the units of the layer for")
        at_least(self, random=0)


@dataclass(frozen=True, eq=False, repr=False)
class Accuracy(Result):
    """The accuracy of a classifier with and without some units.

    Attributes:
        facts: ``facts["classes"]`` names them.
        classes: one row a class that the images show, the most harmed first. Errors of accuracies are binomial.
        overall: two rows, of all images and of the mean over classes.
    """

    spec: AccuracySpec
    classes: pd.DataFrame
    overall: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question, `classes`."""
        return self.classes

    def _warnings(self) -> list[str]:
        classes = len(self.classes)
        overall = self.overall.set_index("measure").before
        measured, chance = float(overall.get("balanced accuracy", math.nan)), 1 / max(classes, 1)
        error = math.sqrt(chance * (1 - chance) / self.spec.images)
        if classes < 2 or not measured <= chance + SURE * error:
            return []
        return [f"The classifier is no better than chance: {percent(measured)} right, {percent(chance)} by luck."]


def run_accuracy(
    spec: AccuracySpec,
    source: DissectedModel,
    directory: Path,
    engine: Engine = local,
    progress: Progress | None = None,
) -> Accuracy:
    """Ablate units, and predict the classes of the same images again; goes on where it was stopped."""
    classes = check_sample(source, spec)
    units = source.shape(spec.layer).units
    check_units(spec.layer, units, spec.units)
    sets = [spec.units, *random_sets(units, len(spec.units), range(spec.random), spec.seed, spec.units)]
    with source.begin(directory, spec, engine, progress, classes=list(classes)) as (study, source):
        if not study.finished:
            work = partial(predict_ablated, source, spec, sets)
            verdicts = study.sharded("accuracy", Predictions, work, source.run.shards(spec.ids()))
            study.write_table("classes", class_table(verdicts, classes))
            study.write_table("overall", overall_table(verdicts.overall(len(classes))))
            study.finish()
    return Accuracy.open(directory)


def classifier_of(source: DissectedModel) -> Classifier:
    """Return the classifier that was dissected."""
    subject = source.models.subject
    if not isinstance(subject, Classifier):
        name = source.dissection.spec.generator
        raise BadModel(f"{name} draws images and tells no classes; accuracy is measured of a classifier")
    return subject


def check_sample(source: DissectedModel, spec: SampleSpec) -> tuple[str, ...]:
    """Refuse what cannot be predicted, before anything is written; return the names of the classes."""
    source.shape(spec.layer)
    classifier = classifier_of(source)
    classifier.truth(classifier.latents(spec.ids()[-1:], spec.seed))
    return classifier.classes


def accuracy_seconds(source: DissectedModel, spec: SampleSpec, trials: int) -> float:
    """Return how many seconds so many trials will take, from a few images."""
    probe = dataclasses.replace(spec, images=4)
    for sets in ([], [], [[0]] * 4):  # the first is warm-up
        start = perf_counter()
        predict_ablated(source, probe, sets, probe.ids())
        spent = perf_counter() - start
        if not sets:
            once = spent
    return spec.images * (once + trials * max(spent - once, 0) / 4) / probe.images


def predict_ablated(source: DissectedModel, spec: SampleSpec, sets: Sequence[Units], ids: range) -> Predictions:
    """Predict the classes of one shard: as the network is, then without each set of units."""
    classifier, shape = classifier_of(source), source.shape(spec.layer)
    edits = [Intervention.ablate(spec.layer, shape, units) for units in sets]
    verdicts = Predictions(1 + len(sets))
    for part in source.run.batches(ids):
        z = classifier.latents(part, spec.seed)
        rest = classifier.rest(z, spec.layer)
        truth = classifier.truth(z)
        outputs = [rest.output, *(rest(edit(rest.features)) for edit in edits)]
        predicted = [_predicted(scores, truth, spec) for scores in outputs]
        predicted_class, likelihood = (torch.stack(columns, 1).cpu() for columns in zip(*predicted, strict=True))
        verdicts.update(truth.cpu(), predicted_class, likelihood)
        report_progress(len(z))
    return verdicts


def _predicted(scores: Tensor, truth: Tensor, spec: SampleSpec) -> tuple[Tensor, Tensor]:
    """Return the predicted class of each image (of equal scores the first), and the log-probability of the true one."""
    if not bool(scores.isfinite().all()):
        raise BadModel(f"{spec.generator} gives scores that are NaN or Inf; its classes cannot be predicted")
    return scores.argmax(1), scores.log_softmax(1).gather(1, truth[:, None])[:, 0]


def class_table(verdicts: Predictions, classes: Sequence[str]) -> pd.DataFrame:
    """Return one row a class that the images show: trial 1 against trial 0, and what the trials after it did."""
    read = verdicts.read(len(classes))
    n = read.images.double()

    def binomial(share: Tensor) -> Tensor:
        return (share * (1 - share) / n).sqrt()

    before, after = read.recall[0], read.recall[1]
    columns = {
        "images": read.images,
        "before": before,
        "before_error": binomial(before),
        "after": after,
        "after_error": binomial(after),
        "change": read.recall_change[1],
        "change_error": read.recall_error[1],
        "balanced_before": read.balanced[0],
        "balanced_after": read.balanced[1],
        "balanced_change": read.balanced_change[1],
        "balanced_error": read.balanced_error[1],
        **_random(read.recall_change[2:]),
        "random_balanced": read.balanced_change[2:].mean(0),
    }
    table = pd.DataFrame({"class": list(classes), **{name: column.numpy() for name, column in columns.items()}})
    return table[table.images > 0].sort_values("balanced_change", kind="stable").reset_index(drop=True)


def overall_table(overall: Overall) -> pd.DataFrame:
    """Return the two measures of all classes together."""
    rows = []
    for name, share, change, error in (
        ("accuracy", overall.accuracy, overall.accuracy_change, overall.accuracy_error),
        ("balanced accuracy", overall.balanced, overall.balanced_change, overall.balanced_error),
    ):
        numbers = {"before": share[0], "after": share[1], "change": change[1], "change_error": error[1]}
        numbers |= {key: each[0] for key, each in _random(change[2:, None]).items()}
        rows.append({"measure": name, **{key: float(number) for key, number in numbers.items()}})
    return pd.DataFrame(rows)


def _random(changes: Tensor) -> dict[str, Tensor]:
    """Return mean and standard deviation over random sets, NaN where there are too few."""
    spread = changes.std(0) if len(changes) > 1 else torch.full_like(changes.sum(0), torch.nan)
    return {"random_change": changes.mean(0), "random_spread": spread}


def _plan(source: DissectedModel, options: dict[str, Any], _: Runner) -> Plan[Accuracy]:
    layer = options.pop("layer")
    query = UnitQuery.take(options)
    selection = select_units(source, layer, query)
    chosen = {"layer": layer, "units": selection.units, "chosen": selection.chosen, "concept": query.concept}
    spec = AccuracySpec(**source.names(), **chosen, **options)
    check_sample(source, spec)
    trials, directory = 1 + spec.random, default_directory(source, spec, f"accuracy-{selection.name}")
    seconds = partial(accuracy_seconds, source, spec, trials)
    return Plan(spec, directory, partial(run_accuracy, spec, source), f"ablate {spec.chosen}", trials, seconds)


ACCURACY = Experiment(
    name="accuracy",
    verb="accuracy",
    summary="ablate units of a classifier, and measure the accuracy of each class",
    spec=AccuracySpec,
    groups=(UnitQuery,),
    filled=frozenset({"units", "chosen", "concept"}),
    planned=frozenset({"top", "by"}),
    plan=_plan,
    result=Accuracy,
    tables=accuracy_tables,
    section=accuracy_section,
    chart=accuracy_chart,
    run=RunOptions(64, 256),
    draws=False,
    example='ganatomy.accuracy("study", "layer3", "water").classes',
)
