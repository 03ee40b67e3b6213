"""Arrays and images as text, small enough to travel inside a page."""

import base64
import io
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganatomy.core.errors import BadFile

Array = NDArray[Any]
SHEET = 1024
"""Side of a sprite sheet in pixels: small, so that a browser shows the first cards before it has decoded the rest."""


def pack(arrays: Mapping[str, Array]) -> tuple[dict[str, Any], str]:
    """Return a manifest and the arrays behind it: little-endian, in planes of bytes, deflated, base64.

    The manifest maps each name to ``[type, shape, offset in bytes]``; ``packs.js`` reads it. An array of numbers of
    several bytes is laid as all their first bytes, then all their second ones, and so on: high bytes are much alike,
    and deflate to three quarters of what they take otherwise.
    """
    manifest, chunks, offset = {}, [], 0
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        raw = plain.reshape(-1).view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()
        manifest[name] = [array.dtype.name, list(array.shape), offset]
        chunks.append(raw)
        offset += len(raw)
    return manifest, deflated(b"".join(chunks))


def deflated(data: bytes) -> str:
    """Return bytes as text that a page can hold and ``packs.js`` reads."""
    return base64_text(zlib.compress(data, 6))


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


def reduced(images: Array, side: int) -> Array:
    """Return images uint8 [k, h, w, 3] averaged over blocks of whole pixels so that no edge is longer than `side`."""
    block = -(-max(images.shape[1:3]) // side)
    if block == 1:
        return images
    down, across = (min(block, n) for n in images.shape[1:3])  # of an edge shorter than a block, all of it
    height, width = (n - n % step for n, step in zip(images.shape[1:3], (down, across), strict=True))
    parts = [images[:, y:height:down, x:width:across] for y in range(down) for x in range(across)]
    total = np.full(parts[0].shape, len(parts) // 2, np.uint32)
    for part in parts:
        total += part
    averages: Array = (total // len(parts)).astype(np.uint8)
    return averages


def thinned(masks: Array, side: int) -> Array:
    """Return masks [k, h, w] at the middle of each block of pixels, so that no edge is longer than `side`."""
    block = -(-max(masks.shape[1:3]) // side)
    down, across = (min(block, n) for n in masks.shape[1:3])
    return masks[:, down // 2 :: down, across // 2 :: across]


def sheet_grid(height: int, width: int) -> tuple[int, int]:
    """Return how many images of that size a sheet holds in rows and columns."""
    return max(1, SHEET // height), max(1, SHEET // width)


def sprite_sheet(images: Array) -> str:
    """Return images uint8 [n, h, w, 3], no more than `sheet_grid` says, as a JPEG (base64) in reading order."""
    n, height, width = images.shape[:3]
    columns = sheet_grid(height, width)[1]
    filled = -(-n // columns)
    sheet = np.zeros((filled * columns, height, width, 3), np.uint8)
    sheet[:n] = images
    grid = sheet.reshape(filled, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    return base64_text(jpeg(grid.reshape(filled * height, columns * width, 3)))


def jpeg(image: Array) -> bytes:
    """Return an image uint8 [h, w, 3] as a JPEG file, colours as sharp as the rest.

    Not with optimised Huffman tables: for these Pillow makes one buffer of a byte a pixel, which noise does not fit
    into. Without them a file is 3 % larger.

    Raises:
        BadFile: see `_encoded`.
    """
    return _encoded(image, "JPEG", quality=88, subsampling=0)


def png(image: Array) -> bytes:
    """Return an image uint8 [h, w, 3], or [h, w, 4] where it lets through what is behind it, as a PNG file.

    Raises:
        BadFile: see `_encoded`.
    """
    return _encoded(image, "PNG")


def _encoded(image: Array, kind: str, **options: Any) -> bytes:
    """Return an image as a file.

    Raises:
        BadFile: the encoder fails, which is no fault of the study that the image is from.
    """
    buffer = io.BytesIO()
    try:
        Image.fromarray(image).save(buffer, kind, **options)
    except (OSError, ValueError, TypeError, MemoryError) as error:
        height, width = image.shape[:2]
        raise BadFile(
            f"an image of {width} x {height} pixels cannot be encoded as {kind} ({error or type(error).__name__}); the "
            "study itself is whole, and its numbers are in its tables"
        ) from error
    return buffer.getvalue()


def base64_text(data: bytes) -> str:
    """Return bytes as text that a page can hold."""
    return base64.b64encode(data).decode("ascii")
