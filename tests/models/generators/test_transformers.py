"""Pipelines of transformers: the images are those of the pipelines' own call, and layers hold the image's tokens."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_pipelines import made_scheduler
from diffusers_transformers import FLOW, PROMPTS, STABLE, TRANSFORMERS, prompts_of, save_transformer
from torch import Tensor

from ganatomy.models.generators.diffusers.checkpoint import library, quiet
from ganatomy.models.generators.diffusers.families import PipelineOptions
from ganatomy.models.generators.diffusers.families.transformer import packed
from ganatomy.models.generators.diffusers.pipeline import PipelineSampler, open_pipeline

CPU = torch.device("cpu")
SD3, FLUX, FLUX2, DIT = "StableDiffusion3Pipeline", "FluxPipeline", "Flux2KleinPipeline", "DiTPipeline"
ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"
EULER = "FlowMatchEulerDiscreteScheduler"
NEAR = 1e-4
"""How far images in [0, 1] may differ."""


def theirs(directory: Path, kind: str, noise: Tensor, dtype: torch.dtype = torch.float32, **call: Any) -> Tensor:
    """Return images in [0, 1] of the pipeline's own call."""
    with quiet(library()):
        parts = json.loads((directory / "model_index.json").read_text())
        missing = {part: None for part, own in parts.items() if own == [None, None]}
        pipe = library().DiffusionPipeline.from_pretrained(directory, torch_dtype=dtype, **missing)
        pipe.set_progress_bar_config(disable=True)
        if kind == DIT:
            found = pipe([3, 5, 999], generator=sources(), output_type="pt", **call).images
        else:
            size = noise.shape[-1] * 2
            given: dict[str, Any] = {"prompt": list(PROMPTS), "height": size, "width": size}
            shapes = {FLUX: packed, FLUX2: lambda x: torch.nn.functional.pixel_unshuffle(x, 2)}
            given["latents"] = shapes.get(kind, lambda x: x)(noise).to(dtype)
            if kind in (ALPHA, SIGMA):
                given["use_resolution_binning"] = False
            found = pipe(**given, output_type="pt", **call).images
    images: Tensor = found.float()
    return images


def sources() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(3)]


def drawn(sampler: PipelineSampler, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.cat([torch.randn((1, *sampler.shape), generator=each, dtype=dtype) for each in sources()]).float()


@torch.no_grad()
def ours(sampler: PipelineSampler, noise: Tensor) -> Tensor:
    """Return images in [0, 1]."""
    state = sampler.start(noise, torch.arange(len(noise)))
    for number in range(1, sampler.steps + 1):
        state = sampler.step(state, number)
        assert sampler.estimate(state).shape == (len(noise), 3, 2 * noise.shape[2], 2 * noise.shape[3])
    return sampler.image(state) / 2 + 0.5


def flow(name: str = EULER, **config: Any) -> Any:
    return made_scheduler(name, **config)


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (SD3, {}, {}),
    (SD3, {"scheduler": flow(shift=3.0)}, {"guidance": 1.0}),
    (SD3, {"without": ("text_encoder_3", "tokenizer_3"), "qk_norm": None}, {"negative": "a door"}),
    (SD3, {"dual_attention_layers": ()}, {"size": 32}),
    (SD3, {"scheduler": flow("DPMSolverMultistepScheduler", use_flow_sigmas=True, flow_shift=3.0)}, {}),
    (FLUX, {}, {"guidance": 2.0}),
    (FLUX, {}, {"guidance": 1.0, "steps": 1}),
    (FLUX, {"guidance_embeds": False, "scheduler": flow(shift=1.0)}, {"steps": 4}),
    (FLUX, {"scheduler": flow(**FLOW, time_shift_type="linear")}, {"size": 32}),
    (FLUX2, {}, {}),
    (FLUX2, {"distilled": True}, {"steps": 4}),
    (FLUX2, {}, {"guidance": 1.0, "size": 32}),
    (ALPHA, {}, {}),
    (
        ALPHA,
        {"sample_size": 128, "num_attention_heads": 3, "cross_attention_dim": 24},
        {"size": 16, "negative": "A Door "},
    ),
    (ALPHA, {"out_channels": 4, "scheduler": flow("DPMSolverMultistepScheduler", **STABLE)}, {"guidance": 1.0}),
    (SIGMA, {}, {"size": 32}),
    (SIGMA, {"sample_size": 128, "use_additional_conditions": False}, {"size": 16, "guidance": 8.0}),
    (DIT, {}, {}),
    (DIT, {"out_channels": 4}, {"guidance": 1.0}),
    (DIT, {"scheduler": flow("DPMSolverMultistepScheduler", **STABLE)}, {"guidance": 6.0, "steps": 12}),
]


@pytest.mark.parametrize(("kind", "settings", "options"), CASES, ids=lambda value: str(value)[:50])
def test_images_are_those_of_the_pipeline(
    tmp_path: Path, kind: str, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    directory = save_transformer(kind, tmp_path, **settings)
    prompts = prompts_of(kind)
    asked = {"steps": 5, "size": None if kind in (ALPHA, SIGMA, SD3, DIT) else 16} | options
    sampler = open_pipeline(str(directory), PipelineOptions(prompts, **asked), CPU)
    noise = drawn(sampler)
    call = {"num_inference_steps": asked["steps"]}
    if "guidance" in options:
        call["guidance_scale"] = options["guidance"]
    if "negative" in options:
        call["negative_prompt"] = [options["negative"]] * 3
    expected, found = theirs(directory, kind, noise, **call), ours(sampler, noise)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= NEAR
    assert float(expected.std()) > 0.05, "there is something to see"
    assert not torch.equal(ours(sampler, noise.flip(0)).flip(0), found), "the prompt counts"


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_half_precision_is_that_of_the_pipeline(saved_transformer: Callable[[str], Path], kind: str) -> None:
    directory, low = saved_transformer(kind) / "model", torch.bfloat16
    options = PipelineOptions(prompts_of(kind), steps=5, size=16)
    exact = open_pipeline(str(directory), options, CPU)
    noise = drawn(exact, low)
    expected = theirs(directory, kind, noise, low, num_inference_steps=5)
    found, right = ours(open_pipeline(str(directory), replace(options, dtype=low), CPU), noise), ours(exact, noise)
    off = float((expected - right).abs().mean())  # what half precision costs
    assert float((found - expected).abs().mean()) <= max(off, NEAR)
    assert 0 < float((found - right).abs().mean()) <= 2 * off
