"""The page's arrays, read as its script reads them."""

import base64
import zlib
from typing import Any

import numpy as np


def inflated(text: str) -> bytes:
    """Return the bytes of a deflated piece."""
    return zlib.decompress(base64.b64decode(text))


def unpacked(manifest: dict[str, Any], text: str) -> dict[str, Any]:
    """Return the arrays of a manifest, as packs.js does."""
    raw, arrays = np.frombuffer(inflated(text), np.uint8), {}
    for name, (kind, shape, offset) in manifest.items():
        size = np.dtype(kind).itemsize
        planes = raw[offset : offset + int(np.prod(shape)) * size].reshape(size, -1)
        arrays[name] = np.ascontiguousarray(planes.T).reshape(-1).view(kind).reshape(shape)
    return arrays
