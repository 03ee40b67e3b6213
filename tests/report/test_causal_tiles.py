# ruff: noqa: S314  (our own XML)
import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ganatomy.report.causal.tiles import (
    Box,
    crop_tile,
    grouped,
    heat_tile,
    outline,
    region_tile,
    rows_of_tiles,
    sheet,
    tile,
)

IMAGE = np.zeros((32, 64, 3), np.uint8)
IMAGE[:, 32:] = 255


def images(svg: str) -> list[npt.NDArray[np.uint8]]:
    found = re.findall(r"data:image/\w+;base64,([^\"]+)", svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def test_a_tile_is_a_whole_multiple_of_its_image() -> None:
    root = ET.fromstring(tile(IMAGE, "a <b>", side=100))
    assert (root.attrib["width"], root.attrib["height"]) == ("128", "64")
    assert root.attrib["viewBox"] == "0 0 64 32"
    assert root.attrib["aria-label"] == "a <b>"
    (shown,) = images(tile(IMAGE, "t"))
    assert np.abs(shown.astype(int) - IMAGE).max() < 8


def test_large_images_travel_small() -> None:
    large = np.zeros((1024, 1024, 3), np.uint8)
    assert images(tile(large, "t"))[0].shape == (256, 256, 3)


def test_boxes_are_shares_of_the_image() -> None:
    root = ET.fromstring(tile(IMAGE, "t", [Box(0.5, 0.25, 0.5, 0.125)]))
    outline, yellow = root.findall("rect")
    assert [yellow.attrib[name] for name in ("x", "y", "width", "height")] == ["16", "16", "8", "16"]
    assert yellow.attrib["stroke"] == "#ffe14d"
    assert outline.attrib["x"] == "16"


def test_a_crop_is_six_times_as_large_with_half_as_much_around_it() -> None:
    root = ET.fromstring(crop_tile(IMAGE, Box(0.25, 0.25, 0.5, 0.25), "t"))  # 16 of 32 rows, 16 of 64 columns
    assert root.attrib["viewBox"] == "0 0 32 32"
    assert root.attrib["width"] == str(6 * 32)
    yellow = root.findall("rect")[1]
    assert [yellow.attrib[name] for name in ("x", "y", "width", "height")] == ["8", "8", "16", "16"]
    corner = ET.fromstring(crop_tile(IMAGE, Box(0, 0.75, 0.125, 0.0625), "t"))  # as much as makes a quarter
    assert corner.attrib["viewBox"] == "0 0 16 6"


def test_an_outline_runs_around_cells_alone() -> None:
    cells = np.zeros((4, 4), bool)
    cells[1, 1:3] = True
    path = ET.fromstring(outline(cells, (32, 64))).attrib["d"]
    assert sorted(re.findall("M[^M]*", path)) == ["M16 16H48", "M16 8H48", "M16 8V16", "M48 8V16"]
    assert ET.fromstring(outline(np.zeros((2, 2), bool), (8, 8))).attrib["d"] == ""
    assert ET.fromstring(outline(np.ones((2, 2), bool), (8, 8))).attrib["d"].count("M") == 4


def test_a_region_is_bright_and_the_rest_dark() -> None:
    region = np.zeros((4, 8), bool)
    region[:2] = True
    svg = region_tile(IMAGE, region, "t")
    image, over = images(svg)
    assert image.shape == (32, 64, 3)
    assert over.shape == (4, 8, 4)
    assert (over[:2, :, 3] == 0).all()
    assert (over[2:, :, 3] > 80).all()
    assert "<path" in svg


def test_a_group_without_cards_has_no_heading() -> None:
    page = grouped([("Best", [[(tile(IMAGE, "t"), "one")]]), ("Worst", [])])
    assert "<h4>Best</h4>" in page
    assert "Worst" not in page


def test_more_heat_is_brighter_and_none_is_dark() -> None:
    heat = np.array([[0.0, 0.5, 1.0, 5.0, np.nan]])
    svg = heat_tile(IMAGE, heat, 1.0, "t")
    dark, over = images(svg)
    assert dark.max() < 130
    light = over[..., :3].astype(int).sum(-1) * over[..., 3]
    cold, warm, hot, beyond, missing = light[0]
    assert 0 < cold < warm < hot == beyond
    assert missing == 0


def test_heat_of_nothing_is_cold() -> None:
    over = images(heat_tile(IMAGE, np.zeros((2, 2)), 0.0, "t"))[1]
    assert len(np.unique(over.reshape(-1, 4), axis=0)) == 1


def test_cards_carry_their_captions() -> None:
    page = rows_of_tiles([[(tile(IMAGE, "t"), "a <b>")], [(tile(IMAGE, "t"), "c")]])
    assert page.count("<article") == 2
    assert "<figcaption>a &lt;b&gt;</figcaption>" in page


@pytest.mark.parametrize(("width", "rows"), [(600, 1), (300, 2)])
def test_a_sheet_breaks_where_a_card_does_not_fit(width: int, rows: int) -> None:
    card = [(tile(IMAGE, "t", side=128), "one"), (tile(IMAGE, "t", side=128), "two")]
    root = ET.fromstring(sheet([card, card], width))
    parts = root.findall("svg")
    assert len({part.attrib["y"] for part in parts}) == rows
    assert all(float(p.attrib["x"]) + float(p.attrib["width"]) <= width for p in parts)
    last = max(float(t.attrib["y"]) for t in root.findall("text"))
    assert last <= float(root.attrib["height"])
    assert [t.text for t in root.findall("text")] == ["one", "two"] * 2
