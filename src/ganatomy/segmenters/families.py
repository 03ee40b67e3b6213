"""The built-in families: importing this registers them."""

from ganatomy.segmenters import (  # noqa: F401
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
