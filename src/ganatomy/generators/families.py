"""The built-in families: importing this registers them."""

from ganatomy.generators import (
    basis,
    bundled,
    classifier,
    diffusers,
    discriminator,
    exported,
    flow,
    module,
    planted,
    progan,
    repaired,
    stylegan,
    torchscript,
    vae,
)

__all__ = [
    "basis",
    "bundled",
    "classifier",
    "diffusers",
    "discriminator",
    "exported",
    "flow",
    "module",
    "planted",
    "progan",
    "repaired",
    "stylegan",
    "torchscript",
    "vae",
]
