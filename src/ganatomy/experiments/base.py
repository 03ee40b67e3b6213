"""What an experiment is: one entry, from which its API function, its command and its place in the tests follow.

The options of a question about a finished dissection are the fields of its Spec and option groups, with their defaults
and sentences. ``recipes/api_signatures.py`` writes the public functions from that.
"""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from ganatomy.core.progress import Progress
from ganatomy.engines import Engine, local
from ganatomy.experiments.option_groups import MEASURED
from ganatomy.experiments.run_options import RUN, RunOptions

if TYPE_CHECKING:
    from torch import Tensor

    from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
    from ganatomy.report.causal.section import Section
    from ganatomy.report.charts import Drawing
    from ganatomy.report.tables import Table

EXPERIMENTS: Mapping[str, str] = {
    "ablate": "causal.effects:ABLATE",
    "unit_effects": "causal.unit_effects:UNIT_EFFECTS",
    "insert": "causal.effects:INSERT",
    "context": "causal.context:CONTEXT",
    "apply_edits": "causal.effects:APPLY",
    "ace": "causal.ace:ACE",
    "capacity": "causal.capacity:CAPACITY",
    "best_setting": "causal.best_setting:BEST_SETTING",
    "trace": "causal.trace:TRACE",
    "accuracy": "causal.accuracy:ACCURACY",
    "unit_accuracy": "causal.unit_accuracy:UNIT_ACCURACY",
    "artifacts": "artifacts:ARTIFACTS",
    "describe": "causal.describe:DESCRIBE",
    "quality": "quality:QUALITY",
    "repair": "repair_plan:REPAIR",
    "invert": "inversion.invert:INVERT",
    "edit_photographs": "inversion.edit:EDIT",
}
"""Where the entry of each experiment is, by the name of its API function."""
NAMED = frozenset({"dissection", "generator", "segmenter"})
"""Fields of every Spec that follow from the dissection."""
REQUIRED = inspect.Parameter.empty
"""The default of an option that must be given."""
R = TypeVar("R")
T = TypeVar("T", bound="Tensors")


class Tensors:
    """A dataclass of tensors that a study keeps as a step, by the names of its fields."""

    def state_dict(self) -> dict[str, "Tensor"]:
        """Return every tensor by name."""
        return dict(vars(self))

    @classmethod
    def from_state(cls: type[T], state: Mapping[str, "Tensor"]) -> T:
        """Build it from what `state_dict` returned."""
        return cls(**state)


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
    run: Callable[[Path, Engine, Progress | None], R]
    work: str
    trials: int = 0
    seconds: Callable[[], float] | None = None


@dataclass
class Runner:
    """Runs plans, also those that a plan needs first; calls `before` with each plan and its directory."""

    engine: Engine = local
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
        name: its keyword.
        kind, default: as a Spec declares them.
        decided: what the plan decides for a default of None.
        text: its help.
        group: the title under which a help lists it, see `option_groups`.
    """

    name: str
    kind: Any
    default: Any
    decided: Any
    text: str
    group: str = MEASURED


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
        chart: makes its main chart; that of its first table where not given.
        groups: dataclasses whose fields are options in addition to those of the Spec, such as `Wanted`.
        filled: fields of the Spec that the plan sets.
        planned: options that differ, for the plan, from the same value given: it decides them.
        required: options that must be given though their group has a default.
        example: a doctest line for the API function.
        verb: its command; that of several experiments where `switch` tells them apart.
        switch: the option, and its value, that chooses this one among those of the verb.
        several: a list option of the command, whose values are run one after the other.
        draws: whether images are drawn; else the dissection may be of a classifier.
        run: its batch and shards, unless others are given.
    """

    name: str
    summary: str
    spec: type
    plan: Callable[["DissectedModel", dict[str, Any], Runner], Plan[R]]
    result: type[R]
    tables: Callable[[Any], Sequence["Table"]]
    section: Callable[[Any], "Section"]
    chart: Callable[[Any], "Drawing"] | None = None
    groups: tuple[type, ...] = ()
    filled: frozenset[str] = frozenset()
    planned: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    example: str = ""
    verb: str = ""
    switch: tuple[str, str] = ("", "")
    several: str = ""
    draws: bool = True
    run: RunOptions = RUN

    def options(self) -> Iterator[Option]:
        """Yield every option: those of the groups first, then those of the Spec, last those of a run."""
        own = {field.name for field in dataclasses.fields(self.spec)} - self.filled - NAMED
        for kind in (*self.groups, self.spec, self.run):
            for option in options_of(kind):
                if (option.name in own) == (kind is self.spec):
                    if option.name in self.required:
                        option = option._replace(default=REQUIRED, decided=REQUIRED)
                    yield option._replace(default=None) if option.name in self.planned else option


def options_of(kind: Any) -> Iterator[Option]:
    """Yield an option for each field of a dataclass; of an instance, the defaults are its values."""
    own = {} if isinstance(kind, type) else vars(kind)
    texts = attribute_texts(type(kind) if own else kind)
    for field in dataclasses.fields(kind):
        default = own.get(field.name, REQUIRED if field.default is dataclasses.MISSING else field.default)
        kind, *group = typing.get_args(field.type) if _is_marked(field.type) else (field.type,)
        yield Option(field.name, kind, default, default, texts.get(field.name, ""), *group)


def _is_marked(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Annotated


def experiment(name: str) -> Experiment[Any]:
    """Return the entry of an experiment, by the name of its API function."""
    module, _, entry = EXPERIMENTS[name].partition(":")
    return cast(Experiment[Any], getattr(import_module(f"ganatomy.experiments.{module}"), entry))


def experiment_of(result: Any) -> Experiment[Any]:
    """Return the entry of the experiment that a result is of."""
    return next(entry for entry in map(experiment, EXPERIMENTS) if isinstance(result, entry.result))


def attribute_texts(kind: type) -> dict[str, str]:
    """Return what the docstring of a dataclass, and those of its bases, say of each attribute.

    >>> from ganatomy.experiments.causal.choice import UnitQuery
    >>> attribute_texts(UnitQuery)["top"]
    'how many of the ranking.'
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        part = inspect.getdoc(base) or ""
        _, _, attributes = part.partition("Attributes:\n")
        for names, text in re.findall(r"^    (\w+(?:, \w+)*): (.+?)(?=^    \w|\Z)", attributes, re.M | re.S):
            found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found
