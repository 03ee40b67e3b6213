"""The built-in families: importing this registers them."""

from ganatomy.generators import bundled, module, planted, progan

__all__ = ["bundled", "module", "planted", "progan"]
