"""What an experiment is: one entry, from which its API function, its command and its place in the tests follow.

An experiment asks a question about a finished dissection. Its entry is a module-level `Experiment` in the file that
answers the question, and `EXPERIMENTS` lists all entries by name. The entry says which options there are (the fields of
its Spec and of its option groups, with the defaults and sentences that stand there), how they become a `Plan`, and the
plan says how to run it. ``recipes/api_signatures.py`` writes the public functions from that.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from ganatomy.execute import Executor, local
from ganatomy.progress import Progress

if TYPE_CHECKING:
    from ganatomy.experiments.causal.source import SampleSpec, Source
    from ganatomy.report.causal.section import Section
    from ganatomy.report.tables import Table

EXPERIMENTS: Mapping[str, str] = {
    "ablate": "causal.plans:ABLATE",
    "unit_effects": "causal.unit_effects:UNIT_EFFECTS",
    "insert": "causal.plans:INSERT",
    "context": "causal.context:CONTEXT",
    "apply_edits": "causal.plans:APPLY",
    "ace": "causal.ace:ACE",
    "capacity": "causal.plans:CAPACITY",
    "best_setting": "causal.chosen:BEST_SETTING",
    "trace": "causal.trace:TRACE",
    "accuracy": "causal.accuracy:ACCURACY",
    "unit_accuracy": "causal.unit_accuracy:UNIT_ACCURACY",
    "artifacts": "artifacts:ARTIFACTS",
    "quality": "quality:QUALITY",
    "repair": "repair_plan:REPAIR",
}
"""Where the entry of each experiment is, by the name of its API function."""
NAMED = frozenset({"dissection", "generator", "segmenter"})
"""Fields of every Spec that follow from the dissection."""
REQUIRED = inspect.Parameter.empty
"""The default of an option that must be given."""
R = TypeVar("R")


@dataclass(frozen=True)
class Plan(Generic[R]):
    """A run that is ready to begin.

    Attributes:
        spec: what is asked.
        directory: where the study lies unless another place is given.
        run: runs it there, or finds it finished, given (directory, engine, progress).
        work: what it does, in words: ``ablate units 3, 17``.
        trials: how often each image is drawn and segmented.
        seconds: measures on a few images how long it takes; None for `effect_seconds` of so many trials.
    """

    spec: "SampleSpec"
    directory: Path
    run: Callable[[Path, Executor, Progress | None], R]
    work: str
    trials: int = 0
    seconds: Callable[[], float] | None = None


@dataclass
class Runner:
    """Runs plans, one after the other: also those that a plan needs first, such as the best setting of an insertion.

    Attributes:
        engine: counts the shards.
        progress: is told how far it is.
        before: is told of each plan, and of its directory, before it runs.
    """

    engine: Executor = local
    progress: Progress | None = None
    before: Callable[[Plan[Any], Path], None] | None = None

    def __call__(self, plan: Plan[R], out: Path | None = None) -> R:
        """Run a plan in its own directory, or in another."""
        directory = out or plan.directory
        if self.before is not None:
            self.before(plan, directory)
        return plan.run(directory, self.engine, self.progress)


class Option(NamedTuple):
    """An option of an experiment.

    Attributes:
        name: as a keyword.
        kind: its type.
        default: `REQUIRED` for one that must be given; None for one that the plan decides.
        usual: what the plan mostly decides.
        text: what it is, in a sentence.
    """

    name: str
    kind: Any
    default: Any
    usual: Any
    text: str


@dataclass(frozen=True)
class Experiment(Generic[R]):
    """A question about a dissection.

    Attributes:
        name: of its API function.
        summary: what it does, in one sentence without a full stop.
        spec: its Spec; fields that no option sets are in `filled`.
        plan: makes a `Plan` from (dissection with its models, options that were given, runner).
        result: has ``open(directory)``.
        tables: makes the tables that a page and a terminal show of a result.
        section: makes the section of a page from a result.
        groups: dataclasses whose fields are options beside those of the Spec, such as `Wanted`.
        filled: fields of the Spec that the plan sets.
        planned: options that differ, for the plan, from the same value given: it decides them.
        required: options that must be given though their group has a default.
        example: a doctest line for the API function.
        verb: its command; that of several experiments where `switch` tells them apart.
        switch: the option, and its value, that chooses this one among those of the verb.
        several: a list option of the command, whose values are run one after the other.
        draws: whether images are drawn; else the dissection may be of a classifier.
    """

    name: str
    summary: str
    spec: type
    plan: Callable[["Source", dict[str, Any], Runner], Plan[R]]
    result: type[R]
    tables: Callable[[Any], Sequence["Table"]]
    section: Callable[[Any], "Section"]
    groups: tuple[type, ...] = ()
    filled: frozenset[str] = frozenset()
    planned: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    example: str = ""
    verb: str = ""
    switch: tuple[str, str] = ("", "")
    several: str = ""
    draws: bool = True

    def options(self) -> Iterator[Option]:
        """Yield every option: those of the groups first, then those of the Spec."""
        own = {field.name for field in dataclasses.fields(self.spec)} - self.filled - NAMED
        for kind in (*self.groups, self.spec):
            for option in options_of(kind):
                if (option.name in own) == (kind is self.spec):
                    if option.name in self.required:
                        option = option._replace(default=REQUIRED, usual=REQUIRED)
                    yield option._replace(default=None) if option.name in self.planned else option


def options_of(kind: type) -> Iterator[Option]:
    """Yield an option for each field of a dataclass."""
    texts = attribute_texts(kind)
    for field in dataclasses.fields(kind):
        default = REQUIRED if field.default is dataclasses.MISSING else field.default
        yield Option(field.name, field.type, default, default, texts.get(field.name, ""))


def experiment(name: str) -> Experiment[Any]:
    """Return the entry of an experiment, by the name of its API function."""
    module, _, entry = EXPERIMENTS[name].partition(":")
    return cast(Experiment[Any], getattr(import_module(f"ganatomy.experiments.{module}"), entry))


def experiment_of(result: Any) -> Experiment[Any]:
    """Return the entry of the experiment that a result is of."""
    return next(entry for entry in map(experiment, EXPERIMENTS) if isinstance(result, entry.result))


def attribute_texts(kind: type) -> dict[str, str]:
    """Return what the docstring of a dataclass, and those of its bases, say of each attribute.

    >>> from ganatomy.experiments.causal.choice import Wanted
    >>> attribute_texts(Wanted)["top"]
    'how many of the ranking.'
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        part = inspect.getdoc(base) or ""
        _, _, attributes = part.partition("Attributes:\n")
        for names, text in re.findall(r"^    (\w+(?:, \w+)*): (.+?)(?=^    \w|\Z)", attributes, re.M | re.S):
            found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found
