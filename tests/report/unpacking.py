"""The page's arrays, read as its script reads them."""

import base64
import zlib
from typing import Any

import numpy as np


def unpacked(manifest: dict[str, Any], text: str) -> dict[str, Any]:
    """Return the arrays of a manifest, as data.js does."""
    raw = zlib.decompress(base64.b64decode(text))
    return {
        name: np.frombuffer(raw, kind, int(np.prod(shape)), offset).reshape(shape)
        for name, (kind, shape, offset) in manifest.items()
    }
