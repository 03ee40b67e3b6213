"""Charts drawn with matplotlib, which is an optional dependency: ``pip install 'ganatomy[plot]'``."""

import importlib.util
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ganatomy.core.errors import BadValue
from ganatomy.report.charts import BarChart, Change, ChangeChart, Drawing, Line, LineChart, Point, ScatterChart, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _BAR = 0.28, 0.62
"""Height of a row in inches, and of its bar in rows."""
_SIZE = (6.4, 4.0)
"""Inches of a plot between two axes."""
_PALE, _BAND = 0.25, 0.18
"""Opacity of a pale piece, and of a band."""
_ARROWS = {True: ">", False: "<"}


def plot(chart: Drawing, ax: "Axes | None" = None) -> "Axes":
    """Draw a chart with matplotlib: on the given axes, or on those of a new figure; return the axes.

    Raises:
        BadValue: matplotlib is not installed, or `ax` is something else.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise BadValue("a plot takes matplotlib, which is not installed: pip install 'ganatomy[plot]'")
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise BadValue(f"ax is a {type(ax).__name__}; give matplotlib Axes, or leave it out")
    ax = _new_axes(chart) if ax is None else ax
    match chart:
        case BarChart():
            _draw_bars(chart, ax)
        case ChangeChart():
            _draw_changes(chart, ax)
        case LineChart():
            _draw_lines(chart, ax)
        case ScatterChart():
            _draw_points(chart, ax)
    ax.set_title(chart.title)
    return ax


def _new_axes(chart: Drawing) -> "Axes":
    from matplotlib import pyplot

    rows = getattr(chart, "rows", None)
    size = _SIZE if rows is None else (_SIZE[0], 1 + _ROW * max(3, len(rows)))
    axes: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    return axes


def _colour(name: str) -> str:
    """Return a colour as matplotlib has it: text is black on white, or as the user's style says."""
    from matplotlib import rcParams

    return str(rcParams["text.color"]) if name == "currentColor" else name


def _draw_bars(chart: BarChart, ax: "Axes") -> None:
    for row, bar in enumerate(chart.rows):
        if bar.track:
            ax.barh(row, bar.track, _BAR, color=_colour("currentColor"), alpha=0.08)
        left = 0.0
        for piece in bar.pieces:
            alpha = _PALE if piece.pale else 1.0
            ax.barh(row, piece.value, _BAR, left, color=_colour(piece.colour), alpha=alpha)
            left += piece.value
        if bar.spread:
            ax.plot(bar.spread, (row, row), color=_colour("currentColor"), linewidth=1)
        ax.annotate(bar.note, (bar.end, row), (4, 0), textcoords="offset points", va="center", fontsize="small")
    ax.margins(x=0.15)
    ax.set_xlim(left=0, right=chart.scale or None)
    _name_rows([bar.name for bar in chart.rows], ax)
    _draw_legend(chart.legend, ax)


def _draw_changes(chart: ChangeChart, ax: "Axes") -> None:
    ink = _colour("currentColor")
    for row, change in enumerate(chart.rows):
        _draw_control(chart, change, row, ax)
        if not math.isfinite(change.value):
            continue
        end = chart.cut(change.value)
        ax.barh(row, end, _BAR, color=_colour(change.colour))
        if end != change.value:
            ax.plot(end, row, marker=_ARROWS[end > 0], color=ink, clip_on=False)
        elif math.isfinite(change.error):
            ax.errorbar(end, row, xerr=change.error, color=ink, capsize=2, linewidth=1.5)
    low, high = chart.ends()
    margin = 0.05 * (high - low)
    ax.set_xlim(low - margin * (low < 0), high + margin * (high > 0))
    ax.axvline(0, color=ink, linewidth=0.8)
    ax.xaxis.set_major_formatter(lambda value, _: chart.form(value))
    _name_rows([change.name for change in chart.rows], ax)
    controlled = any(change.control and math.isfinite(change.control[0]) for change in chart.rows)
    if chart.control and controlled:
        ax.plot([], [], color=ink, linestyle=":", label=chart.control)
        _draw_legend({}, ax)


def _draw_control(chart: ChangeChart, change: Change, row: int, ax: "Axes") -> None:
    mean, spread = change.control or (math.nan, 0.0)
    if math.isfinite(mean):
        ink, edges = _colour("currentColor"), (row - 0.42, row + 0.42)
        low, high = (chart.cut(mean + step) for step in (-finite(spread), finite(spread)))
        ax.fill_betweenx(edges, low, high, color=ink, alpha=_BAND, linewidth=0)
        ax.plot((chart.cut(mean),) * 2, edges, color=ink, linestyle=":", zorder=3)


def _draw_lines(chart: LineChart, ax: "Axes") -> None:
    for line in chart.lines:
        colour = _colour(line.colour)
        ax.plot(line.x, line.y, color=colour, linestyle=_dashes(line), marker=".", linewidth=2, label=line.name)
        for run in line.runs():
            x, y, error = (list(column) for column in zip(*run, strict=True))
            low, high = ([v + sign * e for v, e in zip(y, error, strict=True)] for sign in (-1, 1))
            ax.fill_between(x, low, high, color=colour, alpha=_BAND, linewidth=0)
    _frame(chart, ax)
    _draw_legend({}, ax)


def _dashes(line: Line) -> Any:
    """Return its dashes; matplotlib counts them in widths of the line, which are two pixels."""
    return (0, [float(part) / 2 for part in line.dash.split()]) if line.dash else "-"


def _draw_points(chart: ScatterChart, ax: "Axes") -> None:
    for point in chart.points:
        _draw_point(point, ax)
    if chart.diagonal:
        ax.axline((0, 0), slope=1, color=_colour("currentColor"), linestyle="--", linewidth=0.8, alpha=0.6)
    _frame(chart, ax)
    _draw_legend(chart.legend, ax)


def _draw_point(point: Point, ax: "Axes") -> None:
    if math.isfinite(point.x) and math.isfinite(point.y):
        x_error, y_error, grey = finite(point.x_error), finite(point.y_error), _colour("currentColor")
        at, own = (point.x, point.y, y_error, x_error), _colour(point.colour)
        ax.errorbar(*at, fmt="o", color=own, ecolor=grey, elinewidth=0.8)
        ax.annotate(point.name, (point.x, point.y), (5, 4), textcoords="offset points", fontsize="small")


def _frame(chart: LineChart | ScatterChart, ax: "Axes") -> None:
    """Set both axes as the page has them."""
    for axis, name in ((chart.x, "x"), (chart.y, "y")):
        values, texts = zip(*axis.ticks, strict=True)
        ax.set(**{f"{name}label": axis.name, f"{name}scale": "log" if axis.log else "linear"})
        ax.set(**{f"{name}ticks": values, f"{name}ticklabels": texts, f"{name}lim": (values[0], values[-1])})
    ax.minorticks_off()
    ax.margins(0)
    ax.grid(axis="y", alpha=0.2)


def _name_rows(names: list[str], ax: "Axes") -> None:
    """Name the rows; the first is at the top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_legend(legend: Mapping[str, str], ax: "Axes") -> None:
    """Say what has a label, and what colours stand for."""
    for name, colour in legend.items():
        ax.plot([], [], "s", color=_colour(colour), label=name)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", frameon=False)
