"""Models of the package diffusers as generators: decoders of latents, and unconditional UNets at one step."""

from dataclasses import replace

import torch
from torch import nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.models.generators.diffusers.checkpoint import DECODERS, KINDS, find_checkpoint
from ganatomy.models.generators.diffusers.decoder import Decoder
from ganatomy.models.generators.diffusers.denoiser import Denoiser
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.registry import GENERATORS

__all__ = ["Decoder", "Denoiser", "open_diffusers"]


@GENERATORS.register(
    "diffusers",
    argument="file or hub",
    data=True,
    fixed="its weights are part of a directory, which is not copied",
)
def open_diffusers(
    argument: str,
    /,
    *,
    device: torch.device,
    part: str | None = None,
    weights: str = "",
    prefix: str = "",
    size: int | None = None,
    images: str | None = None,
    step: int | None = None,
    steps: int | None = None,
    layers: str | None = None,
    dtype: str = "float32",
) -> HookedGenerator:
    """Open a decoder of latents, or an unconditional UNet, from a directory or a repository of the Hugging Face hub.

    Args:
        argument: the directory of a model or pipeline, or ``ORG/MODEL``, ``ORG/MODEL@REVISION``; or a file of weights
            beside its ``config.json``.
        part: of a pipeline, ``vae`` or ``unet``; else its decoder, or its UNet where it has none.
        weights: a file of weights in its folder or anywhere, such as the single file of a latent diffusion model; else
            those that are there.
        prefix: of the names of its tensors in that file.
        size: height and width of the images; else as in its config (a decoder: 256 at most).
        images: a set of images whose latents are taken, a folder or ``scenes:church``; else latents are drawn.
        step: of a UNet, the step of training at which it estimates.
        steps: of a UNet, the number of calls that make its input from noise.
        layers: the layers to offer, ``a,b``; else all.

    Raises:
        BadFile: no such model, or its weights are not all there, or do not fit.
        BadModel: it is no generator of images.
        BadValue: an option that does not fit, or diffusers is not installed.
        UnknownName: no such part, layer, or number format.
    """
    if size is not None and size < 1:
        raise BadValue(f"size={size}: give the height and width of the images in pixels")
    checkpoint = find_checkpoint(argument, part)
    checkpoint = replace(checkpoint, weights=weights or checkpoint.weights, prefix=prefix)
    if checkpoint.kind not in KINDS:
        raise BadModel(f"{checkpoint.name}: holds a {checkpoint.kind}; what can be opened is {', '.join(KINDS)}")
    is_decoder = checkpoint.kind in DECODERS
    if is_decoder and (step is not None or steps is not None):
        raise BadValue(f"{checkpoint.kind} has no steps; leave out step and steps (they are for a UNet2DModel)")
    decoder = next((part for part, kind in checkpoint.parts.items() if kind in DECODERS), None)
    if not is_decoder and decoder is not None:
        raise BadModel(f"{checkpoint.name}: its UNet2DModel draws latents, no images; open part={decoder}")
    numbers = find_dtype(dtype)
    scheduler = None if is_decoder else checkpoint.scheduler()
    model = nn.Module.to(checkpoint.model(), device, numbers)  # theirs warns of what does not concern us
    drawing: Decoder | Denoiser = (
        Decoder(model, size, images) if is_decoder else Denoiser(model, scheduler, size, (step, steps), images)
    )
    generator = HookedGenerator(
        model,
        drawing.latents,
        bounds=(-1.0, 1.0),
        layers=layers.split(",") if layers else (),
        name=checkpoint.kind,
        forward=drawing.draw,
    )
    generator.fingerprint = fingerprint({}, "diffusers", generator.fingerprint, *drawing.facts)
    return generator
