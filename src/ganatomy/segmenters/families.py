"""The built-in families: importing this registers them."""

from ganatomy.segmenters import (
    ade20k,
    bundled,
    clipseg,
    colors,
    huggingface,
    labels,
    module,
    parts,
    planted,
    unet,
    unified,
)

__all__ = [
    "ade20k",
    "bundled",
    "clipseg",
    "colors",
    "huggingface",
    "labels",
    "module",
    "parts",
    "planted",
    "unet",
    "unified",
]
