"""Images that do not hold 8 bits of red, green and blue, lie on a side, or are partly transparent; with label maps."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from mutations import Tree
from PIL import Image
from seed_files import index_map

BRIEF = 80
SIDE = 24


def seeds() -> list[Tree]:
    """Return one image of each kind, each with a label map beside it."""
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65535, (SIDE, SIDE)).astype(np.uint16)
    colours = rng.integers(0, 255, (SIDE, SIDE, 4), np.uint8)
    seen, grey = Image.fromarray(colours[..., :3]), Image.fromarray(colours[..., 0])
    palette = seen.quantize(8)
    turned = Image.Exif()
    turned[274] = 6
    files = [
        ("tif", _saved(Image.fromarray(rng.random((SIDE, SIDE), np.float32)), "TIFF")),
        ("tif", _saved(Image.fromarray(deep.astype(np.int32)), "TIFF")),
        ("tif", _saved(Image.fromarray(deep), "TIFF")),
        ("tif", _twelve_bits(deep >> 4)),
        ("tif", _saved(seen, "TIFF", exif=turned, compression="tiff_lzw")),
        ("png", _saved(Image.fromarray(deep), "PNG")),
        ("png", _saved(Image.fromarray(deep >> 4), "PNG")),
        ("png", _saved(Image.fromarray(colours), "PNG", exif=turned)),
        ("png", _saved(palette, "PNG", transparency=bytes(range(8)))),
        ("png", _saved(grey.convert("LA"), "PNG")),
        ("jpg", _saved(seen, "JPEG", exif=turned)),
        ("jpg", _saved(seen.convert("CMYK"), "JPEG")),
        ("webp", _saved(Image.fromarray(colours), "WEBP", exif=turned)),
        ("gif", _saved(palette, "GIF", transparency=1)),
    ]
    beside = {
        "set/vocabulary.json": b'[["nothing", "nothing"], ["sky", "object"]]',
        "set/labels/object/a.png": index_map(),
    }
    return [{f"set/images/a.{end}": content, **beside} for end, content in files]


def read(root: Path) -> None:
    """Look at the image and its labels, in two frames."""
    from ganatomy.datasets import open_images
    from ganatomy.datasets.protocol import CropSpec

    found = open_images(str(root / "set"))
    for frame in (CropSpec(16, 1.0), CropSpec((8, 24))):
        images = found.images([0], frame)
        assert images.isfinite().all()
        assert images.abs().max() <= 1
        found.labels([0], frame)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _twelve_bits(values: np.ndarray) -> bytes:
    """Return a TIFF of 12 bits a pixel, two pixels in three bytes, as scanners of film write it."""
    import struct

    pairs = values.reshape(-1, 2).astype(np.int64)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    content = packed.astype(np.uint8).tobytes()
    tags = {256: SIDE, 257: SIDE, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: SIDE, 279: len(content)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + content
