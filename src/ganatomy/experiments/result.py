"""What a notebook or a prompt shows of a result; the report is asked only when it is to be shown."""

from html import escape
from typing import Any

import pandas as pd

ROWS = 20
"""Rows of a table that a notebook shows."""
MOST = 8


class Result:
    """What an experiment found: its tables are attributes, `table` is the one that answers the question."""

    spec: Any

    @property
    def said(self) -> dict[str, Any]:
        """What is to be said beside the tables, by name."""
        return {}

    def summary(self) -> str:
        """Return the question and its answer, in a few lines; first why it is no finding, where that is so."""
        from ganatomy.report.causal.notebook import (
            summary_text,  # one of two imports of the report, see architecture.md
        )

        return summary_text(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.spec.generator}, {self.spec.layer}, {self.spec.images} images>"

    def _repr_html_(self) -> str:
        from ganatomy.report.causal.notebook import notebook_html

        return notebook_html(self)


class Summarised:
    """A result that is summed up in sentences, above its table."""

    table: Any

    def _summary(self) -> list[str]:
        raise NotImplementedError

    def summary(self) -> str:
        """Return what was found, in a few lines; first why it is no finding, where that is so."""
        from ganatomy.experiments.warnings import warnings_of  # it knows every result

        return "\n".join([*warnings_of(self), *self._summary()])

    def _repr_html_(self) -> str:
        lines = "<br>".join(map(escape, self.summary().splitlines()))
        return f"<p>{lines}</p>{self.table.head(ROWS).to_html(index=False)}"


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
