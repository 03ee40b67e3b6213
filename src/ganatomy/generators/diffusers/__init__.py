"""Models of the package diffusers as generators: decoders of latents, and unconditional UNets at one step."""

from dataclasses import replace

import torch
from torch import nn

from ganatomy.devices import find_dtype
from ganatomy.errors import BadModel, BadValue
from ganatomy.generators.diffusers.checkpoint import DECODERS, KINDS, Checkpoint, find_checkpoint
from ganatomy.generators.diffusers.decoder import Decoder
from ganatomy.generators.diffusers.denoiser import Denoiser
from ganatomy.generators.hooked import HookedGenerator
from ganatomy.generators.registry import GENERATORS
from ganatomy.weights import fingerprint

__all__ = ["Decoder", "Denoiser", "open_diffusers"]


@GENERATORS.register("diffusers", argument="file or hub", data=True, fixed="its weights are part of a directory, which is not copied")
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
        device: where it shall compute.
        part: of a pipeline, ``vae`` or ``unet``; else its decoder, or its UNet where it has none.
        weights: a file of weights in its folder or anywhere, such as the single file of a latent diffusion model; else
            those that are there.
        prefix: what the names of its tensors begin with in that file.
        size: height and width of the images; else as its config has it (a decoder: 256 at most).
        images: a set of images whose latents are taken, a folder or ``scenes:church``; else latents are drawn.
        step: of a UNet, at which step of training it estimates.
        steps: of a UNet, in how many calls it makes what it looks at from noise.
        layers: the layers to offer, ``a,b``; else all.
        dtype: the number format in which it shall compute.

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
    _check(checkpoint, step, steps)
    numbers = find_dtype(dtype)
    scheduler = None if checkpoint.kind in DECODERS else checkpoint.scheduler()
    model = nn.Module.to(checkpoint.model(), device, numbers)  # theirs warns of what does not concern us
    drawing: Decoder | Denoiser = (
        Decoder(model, size, images) if scheduler is None else Denoiser(model, scheduler, size, step, steps, images)
    )
    generator = HookedGenerator(
        model,
        drawing.latents,
        bounds=(-1.0, 1.0),
        layers=layers.split(",") if layers else (),
        name=checkpoint.kind,
        takes=torch.float32,
    )
    generator.fingerprint = fingerprint({}, "diffusers", generator.fingerprint, *drawing.facts)
    return generator


def _check(checkpoint: Checkpoint, step: int | None, steps: int | None) -> None:
    """Refuse what cannot be opened, or not with these options."""
    if checkpoint.kind not in KINDS:
        raise BadModel(f"{checkpoint.name}: holds a {checkpoint.kind}; what can be opened is {', '.join(KINDS)}")
    if checkpoint.kind in DECODERS:
        if step is not None or steps is not None:
            raise BadValue(f"{checkpoint.kind} has no steps; leave out step and steps (they are for a UNet2DModel)")
        return
    decoder = next((part for part, kind in checkpoint.parts.items() if kind in DECODERS), None)
    if decoder is not None:
        raise BadModel(f"{checkpoint.name}: its UNet2DModel draws latents, no images; open part={decoder}")
