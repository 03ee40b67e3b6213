"""The built-in families: importing this registers them."""

from ganatomy.generators import bundled, classifier, diffusers, discriminator, module, planted, progan, stylegan

__all__ = ["bundled", "classifier", "diffusers", "discriminator", "module", "planted", "progan", "stylegan"]
