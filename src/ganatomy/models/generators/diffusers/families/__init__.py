"""Families of pipelines of diffusers: what each has of its own, by the class of its denoiser."""

from ganatomy.models.generators.diffusers.families.dit import DiT
from ganatomy.models.generators.diffusers.families.family import Family, PipelineOptions
from ganatomy.models.generators.diffusers.families.flux import Flux
from ganatomy.models.generators.diffusers.families.flux2 import Flux2
from ganatomy.models.generators.diffusers.families.pixart import PixArt
from ganatomy.models.generators.diffusers.families.sd3 import SD3
from ganatomy.models.generators.diffusers.families.unet import ClassUNet, WordUNet

__all__ = ["FAMILIES", "Family", "PipelineOptions"]

FAMILIES: dict[str, type[Family]] = {
    "UNet2DModel": ClassUNet,
    "UNet2DConditionModel": WordUNet,
    "SD3Transformer2DModel": SD3,
    "FluxTransformer2DModel": Flux,
    "Flux2Transformer2DModel": Flux2,
    "PixArtTransformer2DModel": PixArt,
    "DiTTransformer2DModel": DiT,
}
"""Every denoiser that `pipeline_index.PIPELINES` names."""
