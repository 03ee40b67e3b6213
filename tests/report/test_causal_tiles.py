# ruff: noqa: S314  (our own XML)
import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from ganatomy.report.causal.tiles import Box, heat_tile, rows_of_tiles, sheet, tile

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
