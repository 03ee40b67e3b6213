"""Tables whose cells are the darker the greater their numbers are."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

DARKEST = 55
"""Per cent of colour in a full cell: text on it stays easy to read."""


class Cell(NamedTuple):
    """A cell: what it says, its share of the greatest number, its colour, and what is shown where it is pointed at.

    The share is NaN where there is no number.
    """

    text: str
    share: float
    colour: str = "currentColor"
    title: str = ""


def heat(
    columns: Sequence[str],
    names: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    label: str = "All studies",
    corner: str = "",
) -> str:
    """Return a table of cells (row, column) as HTML; – where there is none.

    Args:
        columns, names: headings of columns and rows.
        label: what the table is called.
        corner: what stands above the names of the rows.
    """
    head = "".join(f'<th scope="col" class="figure">{escape(name)}</th>' for name in columns)
    body = []
    for name in names:
        drawn = "".join(_drawn(cells.get((name, column))) for column in columns)
        body.append(f'<tr><th scope="row">{escape(name)}</th>{drawn}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table class="ranked heat">'
        f"<thead><tr><td>{escape(corner)}</td>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def shade(share: float, colour: str) -> str:
    """Return the colour of a cell in CSS.

    >>> shade(0.5, "currentColor")
    'color-mix(in srgb, currentColor 28%, transparent)'
    """
    return f"color-mix(in srgb, {colour} {DARKEST * share:.0f}%, transparent)"


def _drawn(cell: Cell | None) -> str:
    cell = cell or Cell("–", math.nan)
    title = f' title="{escape(cell.title)}"' if cell.title else ""
    if math.isnan(cell.share):
        return f'<td class="figure missing"{title}>{escape(cell.text)}</td>'
    mark = f'<i style="background:{shade(cell.share, cell.colour)}"></i>'
    return f'<td class="figure"{title}>{mark}{escape(cell.text)}</td>'
