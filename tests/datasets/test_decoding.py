"""Images of every kind show what a viewer shows: upright, opaque, at the right brightness; or they are refused."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistakes import mistake
from PIL import Image, features

from ganatomy.datasets import CropSpec, open_images
from ganatomy.datasets.decoding import TURNS
from ganatomy.datasets.files import decode_image

SHOWN = np.zeros((16, 24, 3), np.uint8)
SHOWN[:8, :8], SHOWN[:8, 8:], SHOWN[8:, :16], SHOWN[8:, 16:] = (200, 30, 30), (30, 200, 30), (30, 30, 200), (220,) * 3
STORED = {1: lambda image: image, **{n: lambda image, turn=turn: image.transpose(turn) for n, turn in TURNS.items()}}
BACK = {6: 8, 8: 6}
"""The orientation that undoes another, where it is not its own."""


def seen(content: bytes, height: int, width: int) -> np.ndarray:
    """What is read of an image at its own size, as uint8 [h, w, 3]."""
    image = decode_image(content, "it", CropSpec((height, width)))
    return ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(content: bytes) -> list[int]:
    """What is read of an image of one row and four columns, its three channels being equal."""
    found = seen(content, 1, 4)[0]
    assert (found == found[:, :1]).all()
    return list(map(int, found[:, 0]))


def png(depth: int, colour: int, row: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG file of one row and four columns."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, depth, colour, 0, 0, 0))
    body = b"".join(chunk(*each) for each in (*more, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + head + body


def tiff(bits: int, values: bytes, *more: tuple[int, int, int], photometric: int = 1) -> bytes:
    """A TIFF file of one row and four columns of grey; more are (tag, type, value)."""
    tags = [(256, 3, 4), (257, 3, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (277, 3, 1), (278, 3, 1)]
    tags = sorted([*tags, (279, 4, len(values)), *more])
    first = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags = sorted([*tags, (273, 4, first)])
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + values


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_images_are_turned_as_their_orientation_says(kind: str, orientation: int) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    exif = Image.Exif()
    exif[274] = orientation
    stored = STORED[BACK.get(orientation, orientation)](Image.fromarray(SHOWN))
    options: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100, "subsampling": 0},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    found = seen(saved(stored, kind, exif=exif, **options.get(kind, {})), 16, 24)
    assert int(np.abs(found.astype(int) - SHOWN).max()) <= (8 if kind in ("JPEG", "AVIF") else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_label_map_lies_over_its_image_as_that_is_seen(tmp_path: Path, orientation: int) -> None:
    """The map is upright, whatever the orientation of the image; or has an orientation of its own."""
    exif = Image.Exif()
    exif[274] = orientation
    turn = STORED[BACK.get(orientation, orientation)]
    labels = Image.fromarray((SHOWN[..., 0] // 100).astype(np.uint8))  # 2 where it is red or white
    for folder in ("images", "labels/object"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "vocabulary.json").write_text('[["background", "object"], ["a", "object"], ["b", "object"]]')
    turn(Image.fromarray(SHOWN)).save(tmp_path / "images" / "a.png", exif=exif)
    for own, options in ((labels, {}), (turn(labels), {"exif": exif})):
        own.save(tmp_path / "labels" / "object" / "a.png", **options)
        dataset = open_images(str(tmp_path))
        frame = CropSpec((16, 16), 1.0)  # the middle
        image, found = dataset.images([0], frame)[0], dataset.labels([0], frame)[0, 0]
        assert torch.equal(found == 2, image[0] > 0.4)
    if orientation > 4:
        turn(labels).save(tmp_path / "labels" / "object" / "a.png")
        with mistake("bad-file", "24 × 16", "EXIF", "16 × 24"):
            dataset.labels([0], frame)


def test_a_damaged_exif_block_is_none() -> None:
    assert seen(saved(Image.fromarray(SHOWN), "JPEG", exif=b"Exif\0\0nonsense"), 16, 24).shape == (16, 24, 3)


DEEP = np.array([0, 20_000, 40_000, 65_535], np.uint16)
SHALLOW = [0, 78, 156, 255]


@pytest.mark.parametrize(
    "content",
    [
        png(16, 0, DEEP.astype(">u2").tobytes()),
        png(16, 2, DEEP.repeat(3).astype(">u2").tobytes()),
        png(16, 4, np.stack([DEEP, DEEP * 0 + 65535], 1).astype(">u2").tobytes()),
        tiff(16, DEEP.tobytes()),
        tiff(16, (65_535 - DEEP).tobytes(), photometric=0),
        tiff(12, b"\x00\x04\xe2\x9c\x4f\xff"),  # 0, 1250, 2500, 4095
        tiff(8, bytes(SHALLOW)),
        tiff(8, bytes(255 - value for value in SHALLOW), photometric=0),
        b"P5 4 1 65535 " + DEEP.astype(">u2").tobytes(),
        b"P5 4 1 4095 " + np.array([0, 1250, 2500, 4095]).astype(">u2").tobytes(),
        b"P2 4 1 1000 0 305 610 1000",
    ],
)
def test_values_are_on_the_scale_of_the_file(content: bytes) -> None:
    assert np.abs(np.array(grey(content)) - SHALLOW).max() <= 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(1, 0, b"\x50"), [0, 255, 0, 255]),
        (png(2, 0, b"\x1b"), [0, 85, 170, 255]),
        (png(4, 0, b"\x03\x8f"), [0, 51, 136, 255]),
        (png(2, 3, b"\x1b", (b"PLTE", bytes([9, 9, 9, 7, 7, 7, 5, 5, 5, 3, 3, 3]))), [9, 7, 5, 3]),
        (png(16, 0, bytes(8)), [0, 0, 0, 0]),
    ],
)
def test_few_bits_and_palettes(content: bytes, expected: list[int]) -> None:
    assert grey(content) == expected


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (png(16, 0, (DEEP // 16).astype(">u2").tobytes()), "4095"),
        (png(16, 2, (DEEP // 16).repeat(3).astype(">u2").tobytes()), "3840"),
        (tiff(16, (DEEP // 4).tobytes()), "16383"),
        (tiff(32, np.zeros(4, np.float32).tobytes(), (339, 3, 3)), "floating-point"),
        (tiff(32, np.zeros(4, np.int32).tobytes(), (339, 3, 2)), "signed"),
        (tiff(32, np.zeros(4, np.uint32).tobytes()), "32 bits"),
        (tiff(16, np.zeros(4, np.int16).tobytes(), (339, 3, 2)), "signed"),
        (tiff(8, bytes(4), (339, 3, 2)), "signed"),
        (saved(Image.new("LAB", (4, 1)), "TIFF"), "LAB"),
        (b"Pf 4 1 -1.0 " + bytes(16), "floating-point"),
        (png(16, 0, DEEP.astype(">u2").tobytes(), (b"tRNS", b"\0\0")), "16 bits"),
        (saved(Image.new("CMYK", (4, 1)), "JPEG").replace(b"Adobe", b"Other"), "ink"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 1\n", "whole image"),
    ],
)
def test_what_cannot_be_scaled_is_refused_in_a_line(content: bytes, fact: str) -> None:
    with mistake("bad-file", "it", fact):
        seen(content, 1, 4)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_without_a_profile(kind: str) -> None:
    for ink, expected in (((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0), ((255, 255, 255, 0), 0)):
        assert abs(grey(saved(Image.new("CMYK", (4, 1), ink), kind))[0] - expected) <= 3


HIDDEN = (10, 120, 240)


def half_hidden(mode: str) -> Image.Image:
    """Two columns of black, two of a colour that is transparent."""
    image = Image.new("RGBA", (4, 1), (*HIDDEN, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 1))
    return image if mode == "RGBA" else image.convert(mode)


def keyed(mode: str) -> Image.Image:
    image = Image.new(mode, (4, 1), 9 if mode != "RGB" else (9, 9, 9))
    image.paste(0 if mode != "RGB" else (0, 0, 0), (0, 0, 2, 1))
    if mode == "P":
        image.putpalette([0, 0, 0, *HIDDEN * 9])
    return image


@pytest.mark.parametrize(
    "make",
    [
        lambda: saved(half_hidden("RGBA"), "PNG"),
        lambda: saved(half_hidden("LA"), "PNG"),
        lambda: saved(half_hidden("RGBA"), "WEBP", lossless=True, exact=True),
        lambda: saved(half_hidden("RGBA"), "TIFF"),
        lambda: saved(half_hidden("LA"), "TIFF"),
        lambda: saved(half_hidden("RGBA"), "GIF"),
        lambda: saved(keyed("P"), "PNG", transparency=9),
        lambda: saved(keyed("P"), "GIF", transparency=9),
        lambda: saved(keyed("L"), "PNG", transparency=9),
        lambda: saved(keyed("RGB"), "PNG", transparency=(9, 9, 9)),
        lambda: png(16, 6, np.array([[0, 0, 0, 65535]] * 2 + [[65535, 9, 9, 0]] * 2, ">u2").tobytes()),
    ],
)
def test_what_is_transparent_is_white(make: Callable[[], bytes]) -> None:
    assert grey(make()) == [0, 0, 255, 255]


def test_what_is_half_transparent_is_half_white() -> None:
    assert grey(saved(Image.new("RGBA", (4, 1), (0, 0, 0, 128)), "PNG")) == [127] * 4


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_the_first_image_of_several_is_read(kind: str, options: dict[str, Any]) -> None:
    frames = [Image.new("RGB", (4, 1), (value,) * 3) for value in (0, 200)]
    assert grey(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)) == [0] * 4
