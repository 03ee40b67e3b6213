"""What the page reads of images and regions is what the study holds."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from unpacking import inflated, unpacked

from ganatomy.experiments.dissection import Dissection
from ganatomy.report import atlas as module
from ganatomy.report.atlas import Atlas, draw_atlas

ROOM = 10**8


@pytest.fixture(scope="module")
def atlas(dissection: Dissection) -> Atlas:
    return draw_atlas(dissection, ROOM)


def _strips(atlas: Atlas) -> dict[str, Any]:
    return unpacked(atlas.facts["strips"], atlas.pieces["strips-pack"])


def _masks(atlas: Atlas, strip: int, each: int) -> Any:
    height, width, chunk = (atlas.facts["regions"][name] for name in ("height", "width", "strips"))
    raw = np.frombuffer(inflated(atlas.pieces[f"regions-{strip // chunk}"]), np.uint8)
    changed = np.unpackbits(raw.reshape(-1, each, height, -(-width // 8))[strip % chunk], axis=-1, count=width)
    return np.bitwise_xor.accumulate(changed, axis=-2).astype(bool)


def _tile(atlas: Atlas, number: int) -> Any:
    width, height, capacity = (atlas.facts["sprites"][name] for name in ("width", "height", "capacity"))
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(atlas.pieces[f"sheet-{number // capacity}"]))), int)
    row, column = divmod(number % capacity, sheet.shape[1] // width)
    return sheet[row * height :, column * width :][:height, :width]


def test_every_strip_travels(dissection: Dissection, atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    monkeypatch.setattr("ganatomy.report.binary_packing.SHEET", 100)  # 3 x 3 images
    cut = draw_atlas(dissection, ROOM)
    sheets, regions = -(-len(_strips(cut)["strip.id"]) // 9), -(-len(dissection.units) // 7)
    assert min(sheets, regions) > 1
    assert set(cut.pieces) == {
        "strips-pack",
        *map("sheet-{}".format, range(sheets)),
        *map("regions-{}".format, range(regions)),
    }
    for made in (atlas, cut):
        arrays = _strips(made)
        assert sorted(arrays["strip.unit"]) == list(range(len(dissection.units)))
        assert len(set(arrays["strip.id"].tolist())) == len(arrays["strip.id"])
        for strip in range(0, len(dissection.units), 7):
            unit = dissection.units.iloc[arrays["strip.unit"][strip]]
            own = dissection.top(unit.layer, int(unit.unit))
            assert arrays["strip.id"][arrays["strip.tile"][strip]].tolist() == own.ids.tolist()
            np.testing.assert_allclose(arrays["strip.value"][strip], own.values, rtol=1e-3)
            np.testing.assert_array_equal(_masks(made, strip, 10), own.masks)
            assert np.abs(_tile(made, arrays["strip.tile"][strip, 3]) - own.images[3]).mean() < 5


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
def test_less_room_holds_less(dissection: Dissection, atlas: Atlas, share: float) -> None:
    less = draw_atlas(dissection, int(share * atlas.size))
    assert 0 < less.size <= share * atlas.size
    arrays = _strips(less)
    assert arrays["strip.tile"].shape == (less.fit.units, less.fit.each)
    assert less.fit.units < len(dissection.units) or less.fit.each < 10
    rest = dissection.units.iloc[arrays["strip.unit"]]
    ranks = dissection.units.groupby("layer").iou.rank(ascending=False, na_option="bottom", method="first")
    assert ranks[rest.index].is_monotonic_increasing  # the best of each layer, then the second best of each


def test_large_images_and_regions_are_reduced(dissection: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.report.atlas.SIDES", (16, 8))
    monkeypatch.setattr(module, "MASK_SIDE", 8)
    small = draw_atlas(dissection, ROOM)
    assert (small.fit.side, small.whole) == (16, (32, 32))
    assert (small.facts["sprites"]["width"], small.facts["regions"]["height"]) == (16, 8)
