"""One model of diffusers as a generator: the decoder of latents, or an unconditional UNet at one of its steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.models.generators.diffusers.checkpoint import DECODERS, KINDS, find_checkpoint
from ganatomy.models.generators.diffusers.decoder import Decoder
from ganatomy.models.generators.diffusers.denoiser import Denoiser
from ganatomy.models.generators.hooked import HookedGenerator


@dataclass(frozen=True)
class PartOptions:
    """Options of one model; see `open_diffusers`."""

    part: str | None
    weights: str
    prefix: str
    size: int | None
    images: str | None
    step: int | None
    steps: int | None
    layers: Sequence[str]
    dtype: torch.dtype


def open_part(argument: str, options: PartOptions, device: torch.device) -> HookedGenerator:
    """Open a model, or the part of a pipeline that is asked for.

    Raises:
        BadFile: no such model, or its weights are not all there, or do not fit.
        BadModel: it is no generator of images.
        BadValue: an option that does not fit, or diffusers is not installed.
        UnknownName: no such part or layer.
    """
    checkpoint = find_checkpoint(argument, options.part)
    checkpoint = replace(checkpoint, weights=options.weights or checkpoint.weights, prefix=options.prefix)
    if checkpoint.kind not in KINDS:
        raise BadModel(f"{checkpoint.name}: holds a {checkpoint.kind}; what can be opened is {', '.join(KINDS)}")
    is_decoder = checkpoint.kind in DECODERS
    times = options.step, options.steps
    if is_decoder and times != (None, None):
        raise BadValue(
            f"{checkpoint.kind} has no steps; leave out step and steps, or give prompts=FILE for the whole pipeline"
        )
    decoder = next((part for part, kind in checkpoint.parts.items() if kind in DECODERS), None)
    if not is_decoder and decoder is not None:
        raise BadModel(
            f"{checkpoint.name}: its UNet2DModel draws latents, no images; open part={decoder}, or part=pipeline"
        )
    scheduler = None if is_decoder else checkpoint.scheduler()
    model = nn.Module.to(checkpoint.model(), device, options.dtype)  # theirs warns of what does not concern us
    drawing: Decoder | Denoiser = (
        Decoder(model, options.size, options.images)
        if is_decoder
        else Denoiser(model, scheduler, options.size, times, options.images)
    )
    generator = HookedGenerator(
        model,
        drawing.latents,
        bounds=(-1.0, 1.0),
        layers=options.layers,
        name=checkpoint.kind,
        forward=drawing.draw,
    )
    if isinstance(drawing, Decoder):
        generator.encode = drawing.encode
    generator.fingerprint = fingerprint({}, "diffusers", generator.fingerprint, *drawing.facts)
    return generator
