# ruff: noqa: S314  (our own XML)
import math
import re
import xml.etree.ElementTree as ET

import pytest

from ganatomy.report.charts import Bar, BarChart, Change, ChangeChart, Piece
from ganatomy.report.svg import as_file, svg

BARS = (
    Bar("a <b>", (Piece(2, "#112233", "two"), Piece(1, "#112233", "one more", pale=True)), "2 + 1", "#x"),
    Bar("c", (Piece(1, "#445566", "one"),), "1", track=4, spread=(0.5, 2)),
    Bar("d", (), "–"),
)

CHART = svg(BarChart(BARS, "t"))


def rectangles(text: str) -> list[tuple[float, float, str]]:
    found = ET.fromstring(text).iter("rect")
    return [(float(r.attrib["x"].rstrip("%")), float(r.attrib["width"].rstrip("%")), r.attrib["fill"]) for r in found]


def test_bars_start_at_zero_and_are_to_scale() -> None:
    (start, two, _), (after, one, _), (track_start, track, _), (short_start, short, _) = rectangles(CHART)
    assert start == track_start == short_start
    assert after == pytest.approx(start + two, abs=0.01)
    assert (two, one, short, track) == pytest.approx((26, 13, 13, 52), abs=0.01)


def test_the_scale_can_be_shared() -> None:
    assert rectangles(svg(BarChart(BARS[:1], "t", scale=6)))[0][1] == pytest.approx(52 / 3, abs=0.01)


def test_only_the_pale_piece_is_pale() -> None:
    solid, pale, *_ = re.findall(r"<rect [^>]*>", CHART)
    assert "stroke" not in solid
    assert 'fill-opacity=".25" stroke="#112233"' in pale


def test_text_is_text() -> None:
    root = ET.fromstring(svg(BarChart(BARS, 'a "title"')))
    assert root.attrib["aria-label"] == 'a "title"'
    assert [t.text for t in root.iter("text")] == ["a <b>", "2 + 1", "c", "1", "d", "–"]
    assert [a.attrib["href"] for a in root.iter("a")] == ["#x"]


def test_a_long_name_is_cut_but_still_said() -> None:
    root = ET.fromstring(svg(BarChart([Bar("generator_deconv.10.relu", (), "–", "#x")], "t")))
    assert next(root.iter("text")).text == "generat….10.relu"
    assert root[0][0].attrib["aria-label"] == "generator_deconv.10.relu: –"


def test_a_file_holds_every_chart_one_below_the_other() -> None:
    root = ET.fromstring(
        as_file("Title", [Piece(1, "#000000", "known")], [("one", CHART), ("two", BarChart(BARS, "t"))])
    )
    first, second = (float(e.attrib["y"]) for e in root.findall("{*}svg"))
    assert second >= first + len(BARS) * 21
    assert second + len(BARS) * 21 <= float(root.attrib["height"])
    assert {"Title", "known", "one", "two"} <= {t.text for t in root.findall(".//{*}text")}


def bounds(element: ET.Element) -> tuple[float, float]:
    x = float(element.attrib["x"].rstrip("%"))
    return x, x + float(element.attrib["width"].rstrip("%"))


CHANGES = (
    Change("tree", -0.6, 0.1, "#112233", "−60 %", control=(-0.1, 0.05), strong=True),
    Change("sky", 0.3, math.nan, "#445566", "+30 %"),
    Change("none", math.nan, math.nan, "#445566", "–", control=(math.nan, math.nan)),
)


def test_changes_go_either_way_from_one_zero() -> None:
    root = ET.fromstring(svg(ChangeChart(CHANGES[:2], "t")))
    control, down, up = (bounds(r) for r in root.iter("rect"))
    zero = float(root[-1].attrib["x1"].rstrip("%"))
    assert down[1] == pytest.approx(zero)
    assert up[0] == zero
    assert (zero - down[0]) / (up[1] - zero) == pytest.approx(2, abs=0.01)
    assert (zero - control[0]) / (up[1] - zero) == pytest.approx(0.15 / 0.3, abs=0.01)


def test_the_error_is_one_either_way() -> None:
    root = ET.fromstring(svg(ChangeChart(CHANGES[:1], "t")))
    error = next(e for e in root.iter("line") if e.attrib.get("stroke-width") == "1.5")
    start, end = (float(error.attrib[x].rstrip("%")) for x in ("x1", "x2"))
    down = bounds(list(root.iter("rect"))[-1])
    assert (start + end) / 2 == pytest.approx(down[0], abs=0.01)
    assert (end - start) / (down[1] - down[0]) == pytest.approx(0.2 / 0.6, abs=0.01)


def test_what_is_missing_has_no_bar() -> None:
    chart = svg(ChangeChart(CHANGES[2:], "t"))
    assert "nan" not in chart
    assert list(ET.fromstring(chart).iter("rect")) == []


def test_what_goes_beyond_the_limit_is_cut_and_says_so() -> None:
    rows = (Change("far", 9.0, 0.5, "#112233", "+900 %"), Change("near", 1.0, 0.0, "#112233", "+100 %"))
    root = ET.fromstring(svg(ChangeChart(rows, "t", limit=1.0)))
    far, near = (bounds(r) for r in root.iter("rect"))
    assert far == near
    assert [t.text for t in root.iter("text")].count("▸") == 1


def test_only_what_it_is_all_about_is_bold() -> None:
    bold = [t.text for t in ET.fromstring(svg(ChangeChart(CHANGES, "t"))).iter("text") if "font-weight" in t.attrib]
    assert bold == ["tree"]
