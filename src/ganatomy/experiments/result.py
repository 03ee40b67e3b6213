"""What a notebook or a prompt shows of a result."""

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pandas as pd

from ganatomy.annotations.store import as_text
from ganatomy.core.errors import BadFile, GanatomyError
from ganatomy.experiments.base import Tensors, experiment_of
from ganatomy.experiments.columns import add_columns, described
from ganatomy.remote import write_text
from ganatomy.report.causal.section import Section
from ganatomy.report.charts import Drawing
from ganatomy.report.formats import chance_text
from ganatomy.report.index import dissection_of
from ganatomy.report.plots import plot
from ganatomy.report.tables import Table
from ganatomy.study import Study
from ganatomy.study.files import ODD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ganatomy.experiments.dissection import Dissection

R = TypeVar("R", bound="Result")
S = TypeVar("S")

ROWS = 20
"""Rows of a table that a notebook shows."""
MOST = 8


class Summarised:
    """A result that is summed up in sentences, above its table."""

    table: Any

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        add_columns(cls)

    @property
    def warnings(self) -> list[str]:
        """Why it is no finding, one sentence each; first what its study says of the dissection that it stands on."""
        given = getattr(self, "facts", {}).get("warnings")
        return [*map(str, given if isinstance(given, list) else []), *self._warnings()]

    def _warnings(self) -> list[str]:
        return []

    def _summary(self) -> list[str]:
        raise NotImplementedError

    def summary(self) -> str:
        """Return what was found, in a few lines; first why it is no finding, where that is so."""
        return "\n".join([*self.warnings, *self._summary()])

    def chart(self) -> Drawing:
        """Return its main chart, as the report shows it."""
        raise NotImplementedError

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw its main chart with matplotlib: on the given axes, or on those of a new figure; return the axes.

        Raises:
            BadValue: matplotlib is not installed: ``pip install 'ganatomy[plot]'``.
        """
        return plot(self.chart(), ax)

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """Write `table` as CSV to a file, or to a URL; return the text where no path is given."""
        text: str = as_text(self.table).to_csv(index=False)
        if path is None:
            return text
        write_text(path, text)
        return None

    def _repr_html_(self) -> str:
        lines = "<br>".join(map(escape, self.summary().splitlines()))
        return f"<p>{lines}</p>{self.table.head(ROWS).to_html(index=False)}"


@dataclass(frozen=True, eq=False, repr=False)
class Result(Summarised):
    """The result of an `Experiment`, which opens without any model. Fields without a default are read from its study.

    Attributes:
        FILES: names of the files of tables whose names are not those of the fields.
        spec: what was asked.
        facts: what was used.
        table: the table that answers the question.
        study: the directory that holds it.
    """

    FILES: ClassVar[Mapping[str, str]] = {}

    spec: Any
    facts: Mapping[str, Any]
    study: Study

    @classmethod
    def open(cls: type[R], directory: Path) -> R:
        """Open a finished study.

        Raises:
            StudyError: the directory holds no finished study.
            BadFile: it is of another kind, or a file of it is damaged.
        """
        return cls(**cls._fields(Study.open(directory)))

    @classmethod
    def _fields(cls, study: Study) -> dict[str, Any]:
        found = {"study": study, "facts": study.facts}
        for field in dataclasses.fields(cls):
            kind: Any = field.type
            if field.name in found or (field.default, field.default_factory) != (MISSING, MISSING):
                continue
            if field.name == "spec":
                found["spec"] = read_spec(study, kind)
            elif kind is pd.DataFrame:
                name = cls.FILES.get(field.name, field.name)
                found[field.name] = described(study.read_table(name), study.kind, name)
            elif isinstance(kind, type) and issubclass(kind, Tensors):
                found[field.name] = study.load_step(field.name, kind)
        return found

    @cached_property
    def dissection(self) -> "Dissection | None":
        """The dissection whose images it shows; None where that is not found, is damaged, or has no images."""
        from ganatomy.experiments.dissection import Dissection  # which is summed up as results are

        with contextlib.suppress(GanatomyError, *ODD, OSError):  # whatever a stranger's study says of it
            digest, source = self.facts["inputs"]["dissection"], self.facts["source"]
            directory = dissection_of(self.study.directory, digest, source)
            found = None if directory is None else Dissection.open(directory)
            return found if found is not None and found.has_images else None
        return None

    @property
    def details(self) -> dict[str, Any]:
        """Statements in addition to the tables, by name."""
        return {}

    def section(self) -> Section:
        """Return question, answer and charts for a page."""
        section = experiment_of(self).section(self)
        spec = {**vars(self.spec), **self.study.run_json}
        return dataclasses.replace(section, spec=spec, facts=self.facts, warnings=self.warnings)

    def chart(self) -> Drawing:
        """Return its main chart, as the report shows it."""
        own = experiment_of(self).chart
        return self.tables()[0].chart() if own is None else own(self)

    def tables(self) -> list[Table]:
        """Return the tables that a page and a terminal show."""
        return list(experiment_of(self).tables(self))

    def _summary(self) -> list[str]:
        section = self.section()
        return [section.question, section.answer]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.spec.generator}, {self.spec.layer}, {self.spec.images} images>"

    def _repr_html_(self) -> str:
        return self.section().notebook()


def matched_text(units: pd.DataFrame, by_chance: float | None) -> str:
    """Say how many units match a concept, and which concepts most do.

    Args:
        units: table of units, with ``label`` and ``matched``.
        by_chance: the share that would by chance.
    """
    matched = units[units.matched]
    rate = "" if by_chance is None else f" ({chance_text(by_chance, len(units))})"
    most = ", ".join(f"{name} {count}" for name, count in matched.label.value_counts().head(MOST).items())
    found = f"{len(matched)} of {len(units)} units match a concept{rate}"
    return f"{found}; most often they are called {most}." if most else f"{found}."


def read_spec(study: Study, kind: type[S]) -> S:
    """Return what a study was asked.

    Raises:
        BadFile: it answers another question.
    """
    try:
        return kind(**{name: tuples(value) for name, value in study.spec_json.items()})
    except TypeError as error:
        name = kind.__name__.removesuffix("Spec").lower()
        raise BadFile(f"{study.directory} holds no {name} study that this version can read ({error})") from error


def tuples(value: Any) -> Any:
    """Return lists as tuples, which a Spec has instead."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value
