"""The built-in families: importing this registers them."""

from ganatomy.generators import progan

__all__ = ["progan"]
