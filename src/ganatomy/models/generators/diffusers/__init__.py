"""Models of the package diffusers as generators: pipelines, decoders of latents, unconditional UNets at one step."""

from collections.abc import Mapping

import torch

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadValue
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.models.generators.diffusers.decoder import Decoder
from ganatomy.models.generators.diffusers.denoiser import Denoiser
from ganatomy.models.generators.diffusers.families import PipelineOptions
from ganatomy.models.generators.diffusers.part import PartOptions, open_part
from ganatomy.models.generators.diffusers.pipeline import PipelineSampler, open_pipeline
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.generators.sampling import SampledGenerator, sampled_options
from ganatomy.models.generators.sampling.listing import spread
from ganatomy.models.generators.sampling.prompts import read_prompts
from ganatomy.models.generators.word_maps import SUFFIX

__all__ = ["Decoder", "Denoiser", "PipelineSampler", "open_diffusers"]

PIPELINE = "pipeline"
"""The part that is all of them."""


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
    step: str | None = None,
    steps: int | None = None,
    layers: str | None = None,
    dtype: str = "float32",
    prompts: str | None = None,
    negative: str | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    half: str | None = None,
    show: str | None = None,
    pairs: bool | None = None,
    words: bool = False,
) -> HookedGenerator | SampledGenerator:
    """Open a pipeline, a decoder of latents, or a UNet, from a directory or a repository of the Hugging Face hub.

    Args:
        argument: the directory of a model or pipeline, or ``ORG/MODEL``, ``ORG/MODEL@REVISION``; or a file of weights
            beside its ``config.json``.
        part: of a pipeline, ``vae`` or ``unet``, or ``pipeline`` for all of it, which prompts mean, too; else its
            decoder, or its UNet where it has none.
        weights: a file of weights in its folder or anywhere, such as the single file of a latent diffusion model, which
            has those of all parts of a pipeline; else those that are there.
        prefix: of the names of its tensors in that file.
        size: height and width of the images; else as in its config (a decoder: 256 at most).
        images: a set of images whose latents are taken, a folder or ``scenes:church``; else latents are drawn.
        step: of a pipeline, the steps whose layers are listed, ``1,5,10``, else a few; of a UNet, the step of training
            at which it estimates.
        steps: of a pipeline, how many its scheduler makes, else 20 (4 of a latent consistency model); of a UNet, the
            number of calls that make its input from noise.
        layers: the layers to offer, ``a,b``; else all.
        prompts: a file with a prompt on each line, or prompts separated by semicolons; ``{tree|door}`` is a slot,
            filled in with each of these. Image i has prompt i modulo their number. Of a network of classes, numbers, or
            names that the pipeline has for them.
        negative: the prompt that guidance leads away from; else an empty one.
        guidance: how far the prompt is followed, 1 for no guidance; else as the pipeline's own call has it.
        scheduler: the class of another scheduler, with the settings of the pipeline's own, else its own.
        half: which rows of a guided call are read and edited, ``cond``, ``uncond`` or ``both``; else ``cond``.
        show: ``final``, or ``estimate``, what is estimated after the last of the listed steps; else ``final``.
        pairs: draw the first prompt and the second from the same noise, the third and the fourth, …, which must differ
            in one word; else each image has a noise of its own.
        words: offer the attention to each word of the prompts as well, ``….attn2@10:words``, where words are the units;
            of UNets. Images stay the same to rounding.

    Raises:
        BadFile: no such model, or its weights are not all there, or do not fit.
        BadModel: it is no generator of images.
        BadValue: an option that does not fit, or diffusers is not installed.
        UnknownName: no such part, layer, scheduler, or number format.
    """
    if size is not None and size < 1:
        raise BadValue(f"size={size}: give the height and width of the images in pixels")
    numbers, listed = find_dtype(dtype), sampled_options(step or "", layers or "")
    of_guidance = {"negative": negative, "guidance": guidance, "half": half}
    of_pipelines = {**of_guidance, "scheduler": scheduler, "show": show, "pairs": pairs}
    if part == PIPELINE or (part is None and prompts is not None):
        _refuse({"prefix": prefix or None, "images": images}, "for one model")
        whole = PipelineOptions(
            () if prompts is None else read_prompts(prompts),
            negative,
            steps,
            guidance,
            scheduler,
            size,
            numbers,
            weights,
            words,
        )
        with foreign_errors(f"opening {argument}"):  # of whose configs anything may be odd
            sampler = open_pipeline(argument, whole, device)
            shown = (show or "final", half or "cond", listed.blocks, sampler.name)
            blocks = [sampler.blocks[number - 1] for number in spread(len(sampler.blocks))]
            maps = [f"{block}.{sampler.attention}{SUFFIX}" for block in blocks if words]
            few = () if listed.blocks else (*blocks, *maps)
            return SampledGenerator(sampler, listed.steps, *shown, few, pairs=bool(pairs))
    _refuse({"words": words or None, "prompts": prompts, **of_pipelines}, f"for whole pipelines; give part={PIPELINE}")
    if len(listed.steps) > 1:
        raise BadValue(f"step={step}: a UNet is opened at one step; give part={PIPELINE} for several")
    at = next(iter(listed.steps), None)
    options = PartOptions(part, weights, prefix, size, images, at, steps, listed.blocks, numbers)
    with foreign_errors(f"opening {argument}"):
        return open_part(argument, options, device)


def _refuse(options: Mapping[str, object], where: str) -> None:
    """Refuse options that are for something else."""
    for key, value in options.items():
        if value is not None:
            raise BadValue(f"{key}={value} is {where}; leave it out")
