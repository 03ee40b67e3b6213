# ruff: noqa: S314  (our own XML)
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from PIL import Image

from ganatomy.experiments.dissection import Dissection
from ganatomy.report.figures import MATCHED, hero, save_concepts, save_controls, save_layers, save_strip
from ganatomy.report.tables import best_units


def test_charts_are_files_with_selectable_text(dissection: Dissection, tmp_path: Path) -> None:
    save_concepts(dissection, tmp_path / "concepts.svg")
    save_layers(dissection, tmp_path / "layers.svg")
    concepts, layers = (
        {t.text for t in ET.parse(tmp_path / name).getroot().findall(".//{*}text")}
        for name in ("concepts.svg", "layers.svg")
    )
    assert {"tree", "lid", "others that match it"} <= concepts
    assert {"layer1", "layer3", "material"} <= layers


def test_controls_have_a_point_for_each_unit_of_the_layers(dissection: Dissection, tmp_path: Path) -> None:
    save_controls(dissection, tmp_path / "controls.svg", ["layer1"])
    points = ET.parse(tmp_path / "controls.svg").getroot().findall(".//{*}circle")
    pairs = dissection.pairs[dissection.pairs.layer == "layer1"]
    matched = pairs[pairs.matched].unit.nunique()
    assert 0 < matched < pairs.unit.nunique() == len(points)  # a unit that is never on has no pair
    assert sum(MATCHED in str(ET.tostring(point)) for point in points) == matched


def test_a_strip_is_the_top_images_in_a_row(dissection: Dissection, tmp_path: Path) -> None:
    save_strip(dissection, "layer1", 0, tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as image:
        assert image.size == (10 * 128 + 9 * 2, 128)


def test_the_hero_shows_the_best_unit_of_each_concept(dissection: Dissection, tmp_path: Path) -> None:
    best = best_units(dissection.units, 4)
    assert best.label.is_unique
    for row in best.itertuples():
        assert row.iou == dissection.units[dissection.units.matched & (dissection.units.label == row.label)].iou.max()
    hero(dissection, tmp_path / "hero.png", rows=2, images=3)
    with Image.open(tmp_path / "hero.png") as image:
        pixels = np.asarray(image)
    strip = 3 * 128 + 2 * 2
    assert pixels.shape == (2 * (128 + 44 + 28) + 28, 2 * (strip + 56), 3)
    for column in (0, strip + 56):
        assert (pixels[14 + 44 : 14 + 44 + 128, column + 28 : column + 28 + strip] < 250).any()
