"""Arrays and pictures as text, small enough to travel inside a page."""

import base64
import io
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
SHEET = 2048
"""Side of a sprite sheet in pixels; phones decode that much without trouble."""


def pack(arrays: Mapping[str, Array]) -> tuple[dict[str, Any], str]:
    """Return a manifest and the arrays behind it: little-endian, 4-byte aligned, deflated, base64.

    The manifest maps each name to ``[type, shape, offset in bytes]``; ``data.js`` reads it.
    """
    manifest, chunks, offset = {}, [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        manifest[name] = [array.dtype.name, list(array.shape), offset]
        raw += bytes(-len(raw) % 4)
        chunks.append(raw)
        offset += len(raw)
    return manifest, base64.b64encode(zlib.compress(b"".join(chunks), 6)).decode("ascii")


def short(values: Any) -> Array:
    """Return numbers as float32 with 11 bits of mantissa, which deflate well and keep 3 digits; NaN stays NaN."""
    floats = np.asarray(values, np.float32).copy()
    finite = np.isfinite(floats)
    bits = floats.view(np.uint32)
    bits[finite] = (bits[finite] + np.uint32(0x800)) & np.uint32(0xFFFFF000)
    return floats


def pack_masks(masks: Array) -> Array:
    """Return masks bool [..., h, w] as bits [..., h, ceil(w / 8)], each row as its difference from the row above.

    Regions are blobs, so most differences are nothing.
    """
    changed = masks.copy()
    changed[..., 1:, :] ^= masks[..., :-1, :]
    return np.packbits(changed, axis=-1)


def reduced(pictures: Array, side: int) -> Array:
    """Return pictures uint8 [k, h, w, 3] averaged over blocks of whole pixels so that no edge is longer than `side`."""
    block = -(-max(pictures.shape[1:3]) // side)
    if block == 1:
        return pictures
    height, width = (n - n % block for n in pictures.shape[1:3])
    parts = [pictures[:, y:height:block, x:width:block] for y in range(block) for x in range(block)]
    total = np.full(parts[0].shape, block * block // 2, np.uint32)
    for part in parts:
        total += part
    averages: Array = (total // (block * block)).astype(np.uint8)
    return averages


def thinned(masks: Array, side: int) -> Array:
    """Return masks [k, h, w] at the middle of each block of pixels, so that no edge is longer than `side`."""
    block = -(-max(masks.shape[1:3]) // side)
    return masks[:, block // 2 :: block, block // 2 :: block]


def sprite_sheets(pictures: Array) -> tuple[list[str], int]:
    """Return pictures uint8 [n, h, w, 3] as JPEG sheets (base64) in reading order, and how many a sheet holds."""
    n, height, width = pictures.shape[:3]
    columns, rows = max(1, SHEET // width), max(1, SHEET // height)
    capacity = columns * rows
    sheets = []
    for start in range(0, n, capacity):
        part = pictures[start : start + capacity]
        filled = -(-len(part) // columns)
        sheet = np.zeros((filled * columns, height, width, 3), np.uint8)
        sheet[: len(part)] = part
        grid = sheet.reshape(filled, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
        sheets.append(base64_text(jpeg(grid.reshape(filled * height, columns * width, 3))))
    return sheets, capacity


def jpeg(picture: Array) -> bytes:
    """Return a picture uint8 [h, w, 3] as a JPEG file, colours as sharp as the rest."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=88, subsampling=0, optimize=True)
    return buffer.getvalue()


def png(picture: Array) -> bytes:
    """Return a picture uint8 [h, w, 3], or [h, w, 4] where it lets through what is behind it, as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def base64_text(data: bytes) -> str:
    """Return bytes as text that a page can hold."""
    return base64.b64encode(data).decode("ascii")
