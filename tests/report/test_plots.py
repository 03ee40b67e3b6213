"""A plot has what the chart of the page has: values, errors, controls, names."""

import importlib.util
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mistakes import mistake

from ganatomy.report.charts import (
    Axis,
    Bar,
    BarChart,
    Change,
    ChangeChart,
    Line,
    LineChart,
    Piece,
    Point,
    ScatterChart,
    log_axis,
)
from ganatomy.report.formats import percent_with_error
from ganatomy.report.plots import plot
from ganatomy.report.tables import Column, Table

matplotlib = pytest.importorskip("matplotlib")
X, Y = Axis("units", [(0, "none"), (10, "ten")]), Axis("left", [(0, "0 %"), (1, "100 %")])
COLOUR = "#386ca0"


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    matplotlib.use("agg")
    yield
    matplotlib.pyplot.close("all")


def texts(ticks: Any) -> list[str]:
    return [label.get_text() for label in ticks]


def test_pieces_of_a_bar_stand_one_after_the_other() -> None:
    pieces = Piece(2, COLOUR, ""), Piece(1, COLOUR, "", pale=True)
    ax = plot(
        BarChart(
            [Bar("a", pieces, "2 + 1", track=5, spread=(2.5, 3.5)), Bar("b", (), "–")],
            "bars",
            legend={"object": COLOUR},
        )
    )
    track, first, pale = ax.patches
    assert (track.get_width(), first.get_x(), first.get_width(), pale.get_x(), pale.get_width()) == (5, 0, 2, 2, 1)
    assert pale.get_alpha() < 1
    assert list(ax.get_lines()[0].get_xdata()) == [2.5, 3.5]
    assert texts(ax.get_yticklabels()) == ["a", "b"]
    assert ax.yaxis_inverted(), "the first row is at the top"
    assert texts(ax.texts) == ["2 + 1", "–"]
    assert texts(ax.get_legend().get_texts()) == ["object"]
    assert ax.get_title() == "bars"


def test_a_change_has_its_error_and_its_control() -> None:
    rows = [
        Change("known", -0.4, 0.1, COLOUR, "", control=(0.1, 0.05)),
        Change("far", 3.0, 0.1, COLOUR, ""),
        Change("none", math.nan, math.nan, COLOUR, "", control=(math.nan, math.nan)),
    ]
    ax = plot(ChangeChart(rows, "changes", 1.0, control="random units"))
    assert [bar.get_width() for bar in ax.patches] == [-0.4, 1.0], "what goes too far is cut"
    spans = sorted(np.ptp(each.get_paths()[0].vertices[:, 0]) for each in ax.collections)
    assert spans == pytest.approx([0.1, 0.2]), "the spread of the control, the error of the value; either way"
    assert texts(ax.get_legend().get_texts()) == ["random units"]
    assert ax.xaxis.get_major_formatter()(-0.4, 0) == "−40 %"
    assert any(line.get_marker() == ">" for line in ax.get_lines())


def test_lines_keep_axes_bands_and_gaps() -> None:
    lines = [
        Line("by ACE", [0, 5, 10], [1, math.nan, 0.5], [0, 0, 0.1], COLOUR),
        Line("random", [0, 10], [1, 1], dash="6 4"),
    ]
    ax = plot(LineChart(lines, X, Y, "lines"))
    first, second = ax.get_lines()
    assert np.isnan(first.get_ydata()[1])
    assert (second.get_color(), second.is_dashed()) == (matplotlib.rcParams["text.color"], True)
    assert len(ax.collections) == 3, "a band for each unbroken part"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xlim(), ax.get_ylim()) == ("units", "left", (0, 10), (0, 1))
    assert texts(ax.get_xticklabels()) == ["none", "ten"]
    assert texts(ax.get_legend().get_texts()) == ["by ACE", "random"]


def test_a_logarithmic_axis_is_one() -> None:
    axis = log_axis("images", [1200, 60_000], str)
    ax = plot(LineChart([Line("a", [1200, 60_000], [0, 1])], axis, Y, "t"))
    assert (ax.get_xscale(), ax.get_xlim()) == ("log", (1000, 100_000))


def test_points_have_crosses_and_names() -> None:
    points = [Point(2, 0.5, COLOUR, "", 1.0, 0.25, "tree"), Point(math.nan, 0.1, COLOUR, "", name="gone")]
    ax = plot(ScatterChart(points, X, Y, "points", diagonal=True, legend={"other": COLOUR}))
    across, up = (each.get_segments()[0] for each in ax.collections)
    assert (np.ptp(across[:, 0]), np.ptp(up[:, 1])) == (2, 0.5)
    assert texts(ax.texts) == ["tree"]
    assert texts(ax.get_legend().get_texts()) == ["other"]


def test_it_draws_on_given_axes_only() -> None:
    figure, (left, right) = matplotlib.pyplot.subplots(1, 2)
    assert plot(BarChart((), "nothing"), right) is right
    assert not left.get_title()
    with mistake("bad-value", "ax", "Figure", "Axes"):
        plot(BarChart((), "nothing"), figure)


def test_a_table_is_drawn_by_its_columns() -> None:
    frame = pd.DataFrame(
        {
            "set": ["a", "b"],
            "layer": ["x", "y"],
            "n": [1, 2],
            "value": [0.5, 0.25],
            "error": [0.1, math.nan],
            "other": 0.2,
        }
    )
    number = Column("value", "share", percent_with_error, "error")
    columns = (Column("set"), Column("layer"), Column("n"), number, Column("other", "random"))
    chart = Table("t", "Sets", columns, frame, keys=2, control="other").chart()
    assert [(row.name, row.value, row.note) for row in chart.rows] == [
        ("a, x", 0.5, "50 ± 10 %"),
        ("b, y", 0.25, "25 %"),
    ]
    assert [row.control[0] for row in chart.rows if row.control] == [0.2, 0.2]
    assert (chart.title, chart.control, chart.form(0.5)) == ("Sets: share", "random", "50 %")
    both = Table("t", "Sets", columns, frame, drawn=("value", "other")).chart()
    assert [row.name for row in both.rows] == ["a, share", "a, random", "b, share", "b, random"]


def test_without_matplotlib_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with mistake("bad-value", "pip install 'ganatomy[plot]'"):
        plot(BarChart((), "nothing"))
