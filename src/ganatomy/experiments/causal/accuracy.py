"""What do units do for a classifier? Switch them off: how well is each class told then (Bau et al. 2020, PNAS)?

A class is told by its greatest score. Beside the chosen units stand random sets of as many.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ganatomy.edit import Intervention, check_units
from ganatomy.errors import BadModel, BadValue
from ganatomy.execute import Executor, local
from ganatomy.experiments.base import Experiment, Plan, Runner
from ganatomy.experiments.causal.choice import Wanted, choose, random_sets
from ganatomy.experiments.causal.places import at_least, read_spec
from ganatomy.experiments.causal.plans import home
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.experiments.result import Result
from ganatomy.generators.classifier import Classifier
from ganatomy.progress import Progress, tick
from ganatomy.report.causal.accuracy import accuracy_section, accuracy_tables
from ganatomy.stats.verdicts import Overall, Verdicts
from ganatomy.study import Study

Units = Sequence[int]


@dataclass(frozen=True)
class AccuracySpec(SampleSpec):
    """Which units of a classifier are switched off.

    Attributes:
        first: id of the first image: 0, as the images of a set are few.
        units: which.
        chosen: a sentence that says how they were chosen.
        concept: what they are for, if they were chosen for a concept.
        random: how many random sets of as many units they are compared with.
    """

    images: int = 1000
    first: int = 0
    batch: int = 64
    shard: int = 256
    units: tuple[int, ...] = ()
    chosen: str = ""
    concept: str | None = None
    random: int = 20

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        object.__setattr__(self, "units", tuple(self.units))
        if not self.units:
            raise BadValue("no units to switch off; name some, or a concept to rank the units of the layer for")
        at_least(self, random=0)


@dataclass(frozen=True, eq=False, repr=False)
class Accuracy(Result):
    """How well a classifier tells classes with and without some units. It opens without any model.

    Attributes:
        spec: what was asked.
        facts: what was used; ``facts["classes"]`` names them.
        classes: one row a class that the images show, the most harmed first: class, images, before, before_error,
            after, after_error (share of its images that are told right; binomial errors), change, change_error
            (paired over the same images), balanced_before, balanced_after, balanced_change, balanced_error (the class
            against all others, 1/2 is chance), random_change, random_spread (mean and standard deviation of `change`
            over the random sets), random_balanced.
        overall: two rows, ``accuracy`` (of all images) and ``balanced accuracy`` (the mean over classes): measure,
            before, after, change, change_error, random_change, random_spread.
        study: the directory that holds it.
    """

    spec: AccuracySpec
    facts: Mapping[str, Any]
    classes: pd.DataFrame
    overall: pd.DataFrame
    study: Study

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question, `classes`."""
        return self.classes

    @classmethod
    def open(cls, directory: Path) -> "Accuracy":
        """Open a finished study of accuracy.

        Raises:
            StudyError: the directory holds none.
            BadFile: a file of it is damaged.
        """
        study = Study.open(directory)
        spec = read_spec(study, AccuracySpec)
        return cls(spec, study.facts, study.read_table("classes"), study.read_table("overall"), study)


def plan_accuracy(source: Source, layer: str, options: Mapping[str, Any]) -> tuple[AccuracySpec, Path]:
    """Return the Spec of switching units off, and where its study lies unless told otherwise.

    Args:
        source: the dissection.
        layer: where the units are.
        options: fields of `Wanted`, and fields of `AccuracySpec`.

    Raises:
        GanatomyError: what is asked for is not there.
    """
    own = dict(options)
    wanted = Wanted.take(own)
    choice = choose(source, layer, wanted)
    spec = AccuracySpec(
        **source.names(), layer=layer, units=choice.units, chosen=choice.chosen, concept=wanted.concept, **own
    )
    check_sample(source, spec)
    return spec, home(source, spec, f"accuracy-{choice.name}")


def run_accuracy(
    spec: AccuracySpec,
    source: Source,
    directory: Path,
    execute: Executor = local,
    progress: Progress | None = None,
) -> Accuracy:
    """Switch units off, and tell the classes of the same images again; goes on where it was stopped.

    Raises:
        BadModel: what was dissected tells no classes.
        BadValue: the images are in no classes, or too few.
        StudyMismatch: the directory holds another study.
    """
    classes = check_sample(source, spec)
    units = source.shape(spec.layer).units
    check_units(spec.layer, units, spec.units)
    sets = [spec.units, *random_sets(units, len(spec.units), range(spec.random), spec.seed, spec.units)]
    with Study.create(directory, spec, {**source.facts(), "classes": list(classes)}, execute, progress) as study:
        spec = study.begun(spec)
        if not study.finished:
            work = partial(tell_without, source, spec, sets)
            verdicts = study.sharded("accuracy", Verdicts, work, spec.shards())
            study.write_table("classes", class_table(verdicts, classes))
            study.write_table("overall", overall_table(verdicts.overall(len(classes))))
            study.finish()
    return Accuracy.open(directory)


def classifier_of(source: Source) -> Classifier:
    """Return the classifier that was dissected.

    Raises:
        BadModel: it is something else.
    """
    subject = source.models.subject
    if not isinstance(subject, Classifier):
        name = source.dissection.spec.generator
        raise BadModel(f"{name} draws images and tells no classes; accuracy is measured of a classifier")
    return subject


def check_sample(source: Source, spec: SampleSpec) -> tuple[str, ...]:
    """Refuse what cannot be told, before anything is written; return the names of the classes.

    Raises:
        UnknownName: no such layer.
        BadModel: what was dissected tells no classes.
        BadValue: the images are in no classes, or too few.
    """
    source.shape(spec.layer)
    classifier = classifier_of(source)
    classifier.truth(classifier.latents(spec.ids()[-1:], spec.seed))
    return classifier.classes


def accuracy_seconds(source: Source, spec: SampleSpec, trials: int) -> float:
    """Say how long so many trials will take, from a few images."""
    probe = dataclasses.replace(spec, images=4, batch=4)
    for sets in ([], [], [[0]] * 4):  # what is done once is done the first time
        start = perf_counter()
        tell_without(source, probe, sets, probe.ids())
        spent = perf_counter() - start
        if not sets:
            once = spent
    return spec.images * (once + trials * max(spent - once, 0) / 4) / probe.images


def tell_without(source: Source, spec: SampleSpec, sets: Sequence[Units], ids: range) -> Verdicts:
    """Tell the classes of one shard: as they are, then without each set of units."""
    classifier, shape = classifier_of(source), source.shape(spec.layer)
    edits = [Intervention.ablate(spec.layer, shape, units) for units in sets]
    verdicts = Verdicts(1 + len(sets))
    for z in _batches(classifier, spec, ids):
        rest = classifier.rest(z, spec.layer)
        truth = classifier.truth(z)
        told = [_told(rest.output, truth, spec), *(_told(rest(edit(rest.features)), truth, spec) for edit in edits)]
        said, likelihood = (torch.stack(columns, 1).cpu() for columns in zip(*told, strict=True))
        verdicts.update(truth.cpu(), said, likelihood)
        tick(len(z))
    return verdicts


def class_table(verdicts: Verdicts, classes: Sequence[str]) -> pd.DataFrame:
    """Return one row a class that the images show: trial 1 against trial 0, and what the trials after it did."""
    read = verdicts.read(len(classes))
    n = read.pictures.double()

    def binomial(share: Tensor) -> Tensor:
        return (share * (1 - share) / n).sqrt()

    before, after = read.recall[0], read.recall[1]
    columns = {
        "pictures": read.pictures,
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
    return table[table.pictures > 0].sort_values("balanced_change", kind="stable").reset_index(drop=True)


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


def _batches(classifier: Classifier, spec: SampleSpec, ids: range) -> Iterator[Tensor]:
    for i in range(0, len(ids), spec.batch):
        yield classifier.latents(ids[i : i + spec.batch], spec.seed)


def _told(scores: Tensor, truth: Tensor, spec: SampleSpec) -> tuple[Tensor, Tensor]:
    """Return the class that is told of each image (of equal scores the first), and the log-probability of its own."""
    if not bool(scores.isfinite().all()):
        raise BadModel(f"{spec.generator} gives scores that are NaN or Inf; its classes cannot be told")
    return scores.argmax(1), scores.log_softmax(1).gather(1, truth[:, None])[:, 0]


def _plan(source: Source, options: dict[str, Any], _: Runner) -> Plan[Accuracy]:
    spec, usual = plan_accuracy(source, options.pop("layer"), options)
    trials = 1 + spec.random
    seconds = partial(accuracy_seconds, source, spec, trials)
    return Plan(spec, usual, partial(run_accuracy, spec, source), f"ablate {spec.chosen}", trials, seconds)


ACCURACY = Experiment(
    name="accuracy",
    verb="accuracy",
    summary="ablate units of a classifier, and measure the accuracy of each class",
    spec=AccuracySpec,
    groups=(Wanted,),
    filled=frozenset({"units", "chosen", "concept"}),
    planned=frozenset({"top", "by"}),
    plan=_plan,
    result=Accuracy,
    tables=accuracy_tables,
    section=accuracy_section,
    draws=False,
    example='ganatomy.accuracy("study", layer="layer3", concept="water").classes',
)
