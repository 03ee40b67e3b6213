"""A table is declared once, as a list of columns: its HTML, its text for a terminal and its CSV follow from that."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

import pandas as pd

from ganatomy.report.charts import Change, ChangeChart
from ganatomy.report.formats import number
from ganatomy.report.palette import ordered_colours

_DRAWN = 24
"""Rows of a table that a chart shows."""
ALL = "all"
"""The layer or category of a row of counts that sums over all of them."""


def cell_text(value: Any) -> str:
    """Return a value as a cell shows it.

    >>> cell_text(1200), cell_text(0.12345), cell_text(None), cell_text("tree"), cell_text(True)
    ('1,200', '0.123', '–', 'tree', 'yes')
    """
    if pd.isna(value):
        return "–"
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    if pd.api.types.is_integer(value):
        return f"{value:,}".replace("-", "−")
    return number(float(value)) if pd.api.types.is_float(value) else str(value)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of the column of the data frame.
        title: the heading; the name where not given.
        form: makes the text of a cell from (value), or from (value, standard error).
        error: the data frame's column of standard errors; none where the data frame has no such column.
        help: what the heading explains when pointed at; what ``attrs["columns"]`` of the data frame says if not given.
        brief: whether a terminal has it too.
    """

    name: str
    title: str = ""
    form: Callable[..., str] = cell_text
    error: str = ""
    help: str = ""
    brief: bool = True

    @property
    def heading(self) -> str:
        """What stands above it."""
        return self.title or self.name

    def number(self, row: Mapping[Any, Any]) -> tuple[float, float]:
        """Return the number and its standard error in a row; NaN for one that is not known."""
        return row[self.name], row.get(self.error, math.nan)

    def cells(self, frame: pd.DataFrame) -> list[str]:
        """Return the text of each cell."""
        columns = [frame[name] for name in (self.name, self.error) if name in frame]
        return [self.form(*values) for values in zip(*columns, strict=True)]


@dataclass(frozen=True, eq=False)
class Table:
    """A table to be shown.

    Attributes:
        name: of its CSV file.
        caption: what it holds.
        columns: from left to right; the first names the rows. Those that the data frame lacks are left out.
        frame: its rows, those first that matter most.
        brief: how many of them a terminal shows.
        keys: how many of the first columns name a row together.
        drawn: columns whose numbers a chart shows; where none is named, the first that has errors.
        control: a column of controls, which a chart shows with them.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    frame: pd.DataFrame
    brief: int = 12
    keys: int = 1
    drawn: Sequence[str] = ()
    control: str = ""

    @property
    def present(self) -> list[Column]:
        """The columns that there are."""
        return [column for column in self.columns if column.name in self.frame]

    def html(self) -> str:
        """Return it as HTML; ``sort.js`` sorts it by the column whose heading is chosen."""
        columns = self.present
        head = "".join(
            f'<th scope="col"{_figure(i)}{_title(self._help(each))}>{escape(each.heading)}</th>'
            for i, each in enumerate(columns)
        )
        body = "".join(f"<tr>{_row(cells)}</tr>" for cells in zip(*(c.cells(self.frame) for c in columns), strict=True))
        link = f'<a download="{escape(self.name)}.csv" href="data:text/csv,{quote(self.csv(), safe=",")}">CSV</a>'
        return (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.caption)}"><table class="ranked">'
            f"<caption>{escape(self.caption)} {link}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
            "</table></div>"
        )

    def _help(self, column: Column) -> str:
        return column.help or str(self.frame.attrs.get("columns", {}).get(column.name, ""))

    def folded(self, summary: str = "All numbers") -> str:
        """Return it as HTML that is folded."""
        return folded(summary, self.html())

    def chart(self) -> ChangeChart:
        """Return the numbers of its first rows as bars with their errors, and the controls of the rows."""
        columns = {each.name: each for each in self.present}
        drawn = [columns[name] for name in self.drawn] or [each for each in self.present if each.error][:1]
        keys = (each.cells(self.frame) for each in self.present[: self.keys])
        shown = zip(zip(*keys, strict=True), self.frame.head(_DRAWN).to_dict("records"), strict=False)
        colours = ordered_colours(len(drawn))
        bars = [
            Change(
                ", ".join([*names, *([each.heading] if len(drawn) > 1 else [])]),
                *each.number(row),
                colour,
                each.form(*(row[name] for name in (each.name, each.error) if name in row)),
                columns[self.control].number(row) if self.control else None,
            )
            for names, row in shown
            for each, colour in zip(drawn, colours, strict=True)
        ]
        title = self.caption if len(drawn) > 1 else f"{self.caption}: {drawn[0].heading}"
        control = columns[self.control].heading if self.control else ""
        return ChangeChart(bars, title, control=control, form=drawn[0].form)

    def csv(self) -> str:
        """Return its numbers and their errors as CSV, to six digits."""
        names = dict.fromkeys(name for each in self.present for name in (each.name, each.error) if name in self.frame)
        return self.frame[list(names)].to_csv(index=False, float_format="%.6g")


def folded(summary: str, inner: str) -> str:
    """Return HTML that is folded."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def rows(table: pd.DataFrame) -> list[Any]:
    """Return the rows of a data frame as objects with its columns as attributes."""
    return list(table.itertuples(index=False))


def best_units(units: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the best matched unit of each concept, the greatest IoU first, at most `count`."""
    matched = units[units["matched"]].sort_values("iou", ascending=False, kind="stable")
    return matched.drop_duplicates(["label", "category"]).head(count)


def _row(cells: Sequence[str]) -> str:
    figures = "".join(f'<td class="figure">{escape(cell)}</td>' for cell in cells[1:])
    return f'<th scope="row">{escape(cells[0])}</th>{figures}'


def _figure(i: int) -> str:
    return ' class="figure"' if i else ""


def _title(text: str) -> str:
    return f' title="{escape(text)}"' if text else ""
