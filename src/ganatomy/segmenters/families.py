"""The built-in families: importing this registers them."""

from ganatomy.segmenters import bundled, colors, module, parts, unet

__all__ = ["bundled", "colors", "module", "parts", "unet"]
