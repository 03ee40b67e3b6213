"""What a notebook or a prompt shows of a result."""

import dataclasses
from html import escape
from typing import Any

import pandas as pd

from ganatomy.experiments.base import experiment_of
from ganatomy.experiments.warnings import warnings_of
from ganatomy.report.causal.section import Section
from ganatomy.report.tables import Table

ROWS = 20
"""Rows of a table that a notebook shows."""
MOST = 8


class Summarised:
    """A result that is summed up in sentences, above its table."""

    table: Any

    @property
    def warnings(self) -> list[str]:
        """What makes it no finding."""
        return warnings_of(self)

    def _summary(self) -> list[str]:
        raise NotImplementedError

    def summary(self) -> str:
        """Return what was found, in a few lines; first why it is no finding, where that is so."""
        return "\n".join([*self.warnings, *self._summary()])

    def _repr_html_(self) -> str:
        lines = "<br>".join(map(escape, self.summary().splitlines()))
        return f"<p>{lines}</p>{self.table.head(ROWS).to_html(index=False)}"


class Result(Summarised):
    """The result of an `Experiment`: its tables are attributes, `table` is the one that answers the question."""

    spec: Any
    facts: Any
    study: Any

    @property
    def said(self) -> dict[str, Any]:
        """What is to be said beside the tables, by name."""
        return {}

    def section(self) -> Section:
        """Return question, answer and charts for a page."""
        section = experiment_of(self).section(self)
        return dataclasses.replace(section, spec=vars(self.spec), facts=self.facts, warnings=self.warnings)

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
    rate = "" if by_chance is None else f" (by chance {by_chance:.1%} would)"
    most = ", ".join(f"{name} {count}" for name, count in matched.label.value_counts().head(MOST).items())
    found = f"{len(matched)} of {len(units)} units match one of {matched.label.nunique()} concepts{rate}"
    return f"{found}: {most}." if most else f"{found}."
