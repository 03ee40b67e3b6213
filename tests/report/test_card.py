import io

import numpy as np
from PIL import Image

from ganatomy.experiments.dissection import Dissection
from ganatomy.report.card import unit_card


def test_a_card_says_what_the_table_says(dissection: Dissection) -> None:
    row = dissection.units.iloc[0]
    card = dissection.show(row.layer, int(row.unit))
    beside = f"chance {row.chance:.3f}, control {row.control:.3f}"
    assert repr(card) == f"<{row.layer}/{row.unit}: {row.label}, IoU {row.iou:.3f} ({beside}), matched>"
    html = card._repr_html_()
    assert f"width:{100 * row.iou:.2f}%" in html
    assert f'title="chance {row.chance:.3f}"' in html
    image = np.asarray(Image.open(io.BytesIO(card._repr_png_())))
    np.testing.assert_array_equal(image, card.image)
    assert image.shape == (96, 10 * 96 + 9 * 2, 3)


def test_a_unit_without_a_label_has_no_bar(dissection: Dissection) -> None:
    row = dissection.units[dissection.units.label.isna()].iloc[0]
    card = unit_card(dissection, row.layer, int(row.unit))
    assert card.text == f"{row.layer}/{row.unit}: unlabelled"
    assert "nan" not in card._repr_html_()
