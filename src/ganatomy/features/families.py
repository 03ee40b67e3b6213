"""The built-in families: importing this registers them."""

from ganatomy.features import inception, module, segmenter  # noqa: F401
