"""The first view of a report is complete without scripts."""

import base64
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from ganatomy.experiments.dissection import Dissection
from ganatomy.report.folding import folds
from ganatomy.report.html import report_html
from ganatomy.report.images import outlined
from ganatomy.report.overview import card_image, overview


def test_objects_have_cards_before_other_concepts(dissection: Dissection) -> None:
    cards = overview(dissection, folds(dissection))["clearest"]
    category = {c.name: c.category for c in dissection.vocabulary}
    kinds = [category[card.concept.name] for card in cards]
    assert kinds == sorted(kinds, key=list(dict.fromkeys(c.category for c in dissection.vocabulary)).index)
    for card in cards:
        row = dissection.pairs[
            (dissection.pairs.layer == card.layer)
            & (dissection.pairs.unit == card.unit)
            & (dissection.pairs.concept == card.concept.name)
        ].iloc[0]
        assert (card.iou, card.control, row.matched) == (row.iou, row.control, True)


def test_a_card_shows_the_outlined_images(dissection: Dissection) -> None:
    strip = dissection.top("layer1", 0)
    image = card_image(strip)
    assert image.shape == (2 * 64 + 2, 5 * 64 + 4 * 2, 3)
    np.testing.assert_array_equal(image[:128, :128], outlined(strip, 4)[0])
    np.testing.assert_array_equal(image[:64, 132:196], outlined(strip, 2)[1])
    np.testing.assert_array_equal(image[66:, 264:], outlined(strip, 2)[6])


def test_large_images_are_reduced_on_a_card(dissection: Dissection) -> None:
    strip = dissection.top("layer1", 0)
    large = dataclasses.replace(strip, images=strip.images.repeat(8, axis=1).repeat(8, axis=2))  # of 256 pixels
    assert card_image(large).shape == (130, 328, 3)


def test_the_page_holds_the_images_of_its_cards(dissection: Dissection, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = re.findall(r'<img [^>]*src="data:image/jpeg;base64,([^"]*)"', text)
    cards = overview(dissection, folds(dissection))
    assert len(files) == len(cards["clearest"]) + len(cards["unlabelled_cards"])
    assert all(Image.open(io.BytesIO(base64.b64decode(file))).size == (328, 130) for file in files)


def test_units_without_a_label_are_counted_and_some_are_shown(dissection: Dissection) -> None:
    bare = dissection.units[dissection.units.label.isna()]
    text = report_html(dissection)
    assert f"{len(bare)} units have no label" in text
    assert 0 < text.count('<strong class="missing">unlabelled</strong>') <= 6
    assert "nan" not in re.sub(r"base64,[^\"]*|<script.*?</script>", "", text, flags=re.DOTALL).lower().split()


def test_a_study_without_matches_says_so(dissection: Dissection) -> None:
    pairs = dissection.pairs.assign(matched=False)
    text = report_html(dataclasses.replace(dissection, pairs=pairs))
    assert "No unit is matched." in text


def test_the_table_of_layers_counts_matched_units(dissection: Dissection) -> None:
    matched = dissection.pairs[dissection.pairs.matched]
    for row in overview(dissection, folds(dissection))["layer_table"]:
        own = matched[matched.concept == row["concept"].name].groupby("layer").size()
        assert row["counts"] == [own.get(layer, 0) for layer in dissection.layers]
