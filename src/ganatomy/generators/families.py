"""The built-in families: importing this registers them."""

from ganatomy.generators import bundled, module, progan

__all__ = ["bundled", "module", "progan"]
