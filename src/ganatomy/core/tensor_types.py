"""The shapes of the tensors that cross package boundaries, by name.

Axes: ``b`` images of a batch, ``u`` units (feature-map channels), ``h w`` a layer's grid, ``H W`` the image's grid,
``plane`` kinds of label. The test run checks every annotated signature (jaxtyping with beartype); a normal run pays
nothing.
"""

from typing import TypeAlias

from jaxtyping import Float, Integer
from torch import Tensor

Images: TypeAlias = Float[Tensor, "b 3 H W"]
"""RGB images in [-1, 1]."""
Features: TypeAlias = Float[Tensor, "b u h w"]
"""Output of one layer."""
Labels: TypeAlias = Integer[Tensor, "b plane H W"]
"""Concept indices, one plane per kind of label; 0 is nothing."""
Latents: TypeAlias = Float[Tensor, "b *latent"]
"""All that the generator needs to draw the images, one row an image."""
Scores: TypeAlias = Float[Tensor, "b H W"]
"""How much each pixel shows one concept, in [0, 1]."""
PerUnit: TypeAlias = Float[Tensor, " u"]
"""One number for each unit of a layer."""
PerPlace: TypeAlias = Float[Tensor, "u h w"]
"""One number for each unit at each place of a layer's grid."""
Constant: TypeAlias = PerUnit | PerPlace
"""What units are set to, one value for each, or one for each at each place."""
Where: TypeAlias = Float[Tensor, "p h w"]
"""Places of a layer's grid, from 0 (not at all) to 1: one map for all images (p = 1), or one for each."""
