"""The built-in families: importing this registers them."""

from ganatomy.segmenters import bundled, colors, module, parts, planted, unet

__all__ = ["bundled", "colors", "module", "parts", "planted", "unet"]
