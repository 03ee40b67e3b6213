# ruff: noqa: S314  (our own XML)
import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest

from ganatomy.report.charts import Axis, Line, LineChart, Point, ScatterChart, even_axis, log_axis, named_axis
from ganatomy.report.svg import svg

X = Axis("units", [(0, "0"), (5, "5"), (10, "10")])
Y = Axis("left", [(0, "0 %"), (1, "100 %")])


def parse(text: str) -> ET.Element:
    return ET.fromstring(text)


def circles(text: str) -> list[tuple[float, float]]:
    return [(float(c.attrib["cx"].rstrip("%")), float(c.attrib["cy"])) for c in parse(text).iter("circle")]


def texts(text: str) -> dict[str, ET.Element]:
    return {"".join(t.itertext()).strip("● "): t for t in parse(text).iter("text")}


def test_points_stand_over_their_marks() -> None:
    chart = svg(LineChart([Line("a", [0, 10], [0, 1], [0, 0], "#112233")], X, Y, "t"))
    named = texts(chart)
    (left, low), (right, high) = circles(chart)
    assert (left, right) == tuple(float(named[mark].attrib["x"].rstrip("%")) for mark in ("0", "10"))
    assert low == pytest.approx(float(named["0 %"].attrib["y"]) - 4)
    assert high == pytest.approx(float(named["100 %"].attrib["y"]) - 4)


def test_on_a_logarithmic_axis_equal_ratios_are_equally_far_apart() -> None:
    axis = log_axis("images", [1200, 60_000], lambda value: f"{value:,.0f}")
    assert [text for _, text in axis.ticks] == ["1,000", "2,000", "5,000", "10,000", "20,000", "50,000", "100,000"]
    chart = svg(LineChart([Line("a", [1000, 10_000, 100_000], [0, 1, 0], [0, 0, 0], "#112233")], axis, Y, "t"))
    (first, _), (middle, _), (last, _) = circles(chart)
    assert middle == pytest.approx((first + last) / 2)
    assert last == float(texts(chart)["100,000"].attrib["x"].rstrip("%"))
    assert [value for value, _ in log_axis("one", [10], str).ticks] == [10, 20], "an axis has two ends"


def test_the_band_is_one_error_either_way() -> None:
    chart = svg(LineChart([Line("a", [0, 10], [0.5, 0.5], [0.1, 0.25], "#112233")], X, Y, "t"))
    band, path = (p.attrib["d"] for p in parse(chart).iter("path"))
    assert band == "M0.0 400.0L1000.0 250.0L1000.0 750.0L0.0 600.0Z"
    assert path == "M0.0 500.0L1000.0 500.0"


def test_a_band_ends_with_the_axis() -> None:
    """A count is never below 0, however large its error."""
    chart = svg(LineChart([Line("a", [0, 10], [0.1, 0.9], [0.3, 0.3], "#112233")], X, Y, "t"))
    band = next(p.attrib["d"] for p in parse(chart).iter("path"))
    assert band == "M0.0 600.0L1000.0 0.0L1000.0 400.0L0.0 1000.0Z"


def test_what_is_missing_leaves_a_gap() -> None:
    line = Line("a", [0, 1, 2, 3], [1, math.nan, 1, 1], [0.1, 0.1, math.nan, 0.1], "#112233")
    chart = svg(LineChart([line], X, Y, "t"))
    assert len(circles(chart)) == 3
    assert "nan" not in chart
    assert next(p.attrib["d"] for p in parse(chart).iter("path") if "stroke" in p.attrib).count("M") == 2
    assert line.reach() == pytest.approx([0.9, 1.1, 1, 1, 0.9, 1.1])


def test_a_line_without_any_point_is_not_named() -> None:
    lines = [Line("here", [0], [1], [0], "#112233"), Line("gone", [0], [math.nan], [0], "#112233")]
    assert "gone" not in texts(svg(LineChart(lines, X, Y, "t")))


@pytest.mark.parametrize("end", [0.5, 0.0])
def test_names_touch_neither_each_other_nor_the_marks_of_the_axis(end: float) -> None:
    lines = [Line(f"line {i}", [0, 10], [1, end + 0.001 * i], [0, 0], "#112233") for i in range(4)]
    found = texts(svg(LineChart(lines, X, Y, "t")))
    heights = sorted(float(t.attrib["y"]) for name, t in found.items() if "line" in name)
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 15
    assert heights[-1] <= float(found["0"].attrib["y"])


def test_an_axis_covers_all_and_zero_in_round_steps() -> None:
    axis = even_axis("x", [-0.3, 2.2, math.nan], str)
    assert [value for value, _ in axis.ticks] == [-0.5, 0, 0.5, 1, 1.5, 2, 2.5]
    assert even_axis("x", [], str).ticks[0][0] == 0
    assert named_axis("layer", ["only"]).share(0) == 0


def test_scattered_points_and_the_line_of_equality() -> None:
    points = [Point(0, 0, "#112233", "a <b>"), Point(10, math.nan, "#112233", "none")]
    chart = svg(ScatterChart(points, X, Axis("y", [(0, "0"), (10, "10")]), "t", diagonal=True))
    assert len(circles(chart)) == 1
    assert next(parse(chart).iter("circle"))[0].text == "a <b>"
    dashed = next(e for e in parse(chart).iter("line") if "stroke-dasharray" in e.attrib)
    assert (dashed.attrib["x1"], float(dashed.attrib["y1"])) == ("11.00%", 214.0)
    assert (dashed.attrib["x2"], float(dashed.attrib["y2"])) == ("82.00%", 24.0)


def test_names_of_points_do_not_cover_each_other() -> None:
    x, y = even_axis("distance", [0.0, 1.0], str), even_axis("units", [0.0, 10.0], str)
    points = [Point(0.3, 5.0, "#000", "", name=f"model {i}") for i in range(3)] + [
        Point(0.9, 5.0, "#000", "", name="far")
    ]
    drawn = svg(ScatterChart(points, x, y, "models"))
    heights = {name: float(height) for height, name in re.findall(r'y="([\d.]+)"[^>]*>(model \d|far)<', drawn)}
    near = sorted(heights[f"model {i}"] for i in range(3))
    assert min(b - a for a, b in itertools.pairwise(near)) >= 12
    assert heights["far"] == near[0]  # has no reason to move
