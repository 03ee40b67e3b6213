import base64
import io

import numpy as np
import pytest
from mistakes import mistake
from PIL import Image
from unpacking import inflated, unpacked

from ganatomy.report.binary_packing import (
    jpeg,
    pack,
    pack_masks,
    png,
    reduced,
    sheet_grid,
    short,
    sprite_sheet,
    thinned,
)

RNG = np.random.default_rng(0)


def test_arrays_come_back() -> None:
    arrays = {
        "a": np.arange(5, dtype=np.uint8),
        "b": RNG.normal(size=(3, 2)).astype(np.float32),
        "c": np.zeros((0, 4), np.uint16),
        "d": np.array([70000], np.uint32),
    }
    manifest, text = pack(arrays)
    for name, array in unpacked(manifest, text).items():
        np.testing.assert_array_equal(array, arrays[name])


def test_numbers_lie_in_planes_of_bytes() -> None:
    _, text = pack({"n": np.array([0x0102, 0x0304], np.uint16)})
    assert inflated(text) == b"\x02\x04\x01\x03"


def test_short_numbers_keep_three_digits_and_missing_ones() -> None:
    values = np.concatenate([RNG.normal(size=1000) * 10.0 ** RNG.integers(-6, 6, 1000), [0, np.nan, np.inf]])
    kept = short(values)
    np.testing.assert_allclose(kept[:1001], values[:1001], rtol=2.0**-12)
    assert np.isnan(kept[1001])
    assert np.isinf(kept[1002])
    assert not (kept[:1000].view(np.uint32) & 0xFFF).any()


@pytest.mark.parametrize("width", [1, 8, 13])
def test_masks_come_back_by_adding_up_the_rows(width: int) -> None:
    masks = RNG.random((2, 3, 7, width)) < 0.5
    changed = np.unpackbits(pack_masks(masks), axis=-1, count=width)
    np.testing.assert_array_equal(np.bitwise_xor.accumulate(changed, axis=-2).astype(bool), masks)


def test_reduced_images_are_rounded_means_of_whole_blocks() -> None:
    images = RNG.integers(0, 256, (2, 11, 9, 3), dtype=np.uint8)
    small = reduced(images, 5)  # blocks of 3
    assert small.shape == (2, 3, 3, 3)
    expected = images[:, :9].reshape(2, 3, 3, 3, 3, 3).mean((2, 4))
    assert np.abs(small - expected).max() <= 0.5
    assert reduced(images, 11) is images


def test_thinned_masks_keep_the_middle_of_each_block() -> None:
    masks = np.zeros((1, 8, 8), bool)
    masks[0, 1, 4] = True  # blocks of 3
    assert np.argwhere(thinned(masks, 3)[0]).tolist() == [[0, 1]]
    np.testing.assert_array_equal(thinned(masks, 8), masks)


def test_a_sheet_shows_each_image_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.report.binary_packing.SHEET", 48)
    assert sheet_grid(8, 16) == (6, 3)
    assert sheet_grid(100, 100) == (1, 1)
    colours = RNG.integers(0, 256, (4, 1, 1, 3), dtype=np.uint8)
    file = base64.b64decode(sprite_sheet(np.broadcast_to(colours, (4, 16, 16, 3))))
    sheet = np.asarray(Image.open(io.BytesIO(file)), int)
    assert sheet.shape == (32, 48, 3)
    for place in range(4):
        tile = sheet[place // 3 * 16 :, place % 3 * 16 :][:16, :16]
        assert np.abs(tile - colours[place]).max() <= 4


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (1, 2000), (2000, 1), (2048, 2048)])
def test_noise_of_any_shape_is_encoded(shape: tuple[int, int]) -> None:
    noise = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for encode in (jpeg, png):
        assert Image.open(io.BytesIO(encode(noise))).size == shape[::-1]


def test_what_cannot_be_encoded_is_no_fault_of_the_study() -> None:
    with mistake("bad-file", "70000 x 1", "JPEG"):
        jpeg(np.zeros((1, 70000, 3), np.uint8))


def test_narrow_images_are_reduced_along_their_length_alone() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(1, 1, 12, 1).repeat(3, 3)
    assert reduced(images, 4)[0, 0, :, 0].tolist() == [1, 4, 7, 10]
    assert reduced(images.transpose(0, 2, 1, 3), 4)[0, :, 0, 0].tolist() == [1, 4, 7, 10]
    assert thinned(images[..., 0] > 3, 4)[0].tolist() == [[False, True, True, True]]
