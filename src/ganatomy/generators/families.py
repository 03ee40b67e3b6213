"""The built-in families: importing this registers them."""

from ganatomy.generators import (
    bundled,
    classifier,
    diffusers,
    discriminator,
    exported,
    flow,
    module,
    planted,
    progan,
    stylegan,
    torchscript,
    vae,
)

__all__ = [
    "bundled",
    "classifier",
    "diffusers",
    "discriminator",
    "exported",
    "flow",
    "module",
    "planted",
    "progan",
    "stylegan",
    "torchscript",
    "vae",
]
