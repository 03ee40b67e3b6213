"""The built-in families: importing this registers them."""

from ganatomy.segmenters import bundled, clipseg, colors, huggingface, labels, module, parts, planted, unet

__all__ = ["bundled", "clipseg", "colors", "huggingface", "labels", "module", "parts", "planted", "unet"]
