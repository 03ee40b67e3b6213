"""The built-in families: importing this registers them."""

from ganatomy.generators import bundled, classifier, discriminator, module, planted, progan

__all__ = ["bundled", "classifier", "discriminator", "module", "planted", "progan"]
