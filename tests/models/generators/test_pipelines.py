"""Pipelines of diffusers: the images are those of the pipelines' own call on the same noise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_pipelines import made_scheduler
from diffusers_transformers import PROMPTS, STABLE
from torch import Tensor

from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.forecast import forecast
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.diffusers.checkpoint import library, quiet
from ganatomy.models.generators.diffusers.families import PipelineOptions
from ganatomy.models.generators.diffusers.pipeline import PipelineSampler, open_pipeline
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.segmenters.planted import PlantedSegmenter

CPU = torch.device("cpu")
SD, XL, LCM = "StableDiffusionPipeline", "StableDiffusionXLPipeline", "LatentConsistencyModelPipeline"
V, SAMPLE = {"prediction_type": "v_prediction"}, {"prediction_type": "sample"}
NEAR = 1e-4
"""How far images in [0, 1] may differ."""

CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (SD, "DDIMScheduler", {}, {}),
    (SD, "DDIMScheduler", V, {"guidance": 1.0}),
    (SD, "DDIMScheduler", SAMPLE, {"guidance": 3.0}),
    (SD, "DDIMScheduler", {**V, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, {}),
    (SD, "EulerDiscreteScheduler", {}, {"guidance": 5.0}),
    (SD, "EulerDiscreteScheduler", {**V, "timestep_spacing": "trailing"}, {"guidance": 0.0}),
    (SD, "EulerDiscreteScheduler", SAMPLE, {}),
    (SD, "EulerAncestralDiscreteScheduler", {}, {}),
    (SD, "EulerAncestralDiscreteScheduler", {**V, "timestep_spacing": "trailing"}, {"steps": 1, "guidance": 0.0}),
    (SD, "DPMSolverMultistepScheduler", {}, {}),
    (SD, "DPMSolverMultistepScheduler", {**V, "use_karras_sigmas": True}, {"guidance": 1.0, "steps": 16}),
    (SD, "DPMSolverMultistepScheduler", SAMPLE, {}),
    (SD, "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, {}),
    (SD, "DPMSolverSinglestepScheduler", {}, {"negative": "a door"}),
    (SD, "UniPCMultistepScheduler", {}, {}),
    (SD, "PNDMScheduler", {"skip_prk_steps": True}, {}),
    (SD, "PNDMScheduler", {"skip_prk_steps": True, **V}, {"guidance": 1.0}),
    (SD, "HeunDiscreteScheduler", {}, {}),
    (SD, "LMSDiscreteScheduler", {}, {}),
    (SD, "DDPMScheduler", {}, {}),
    (SD, "LCMScheduler", {}, {"steps": 4, "guidance": 1.0}),
    (XL, "EulerDiscreteScheduler", {}, {}),
    (XL, "EulerDiscreteScheduler", {}, {"guidance": 1.0}),
    (XL, "EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}, {"steps": 1, "guidance": 0.0}),  # turbo
    (XL, "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, {"negative": "a door"}),
    (XL, "DDIMScheduler", V, {"guidance": 8.0}),
    (LCM, "LCMScheduler", {}, {"steps": 4}),
    (LCM, "LCMScheduler", V, {"steps": 1, "guidance": 2.0}),
]


@pytest.fixture
def with_scheduler(saved_pipeline: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Return a copy of a pipeline with another scheduler."""

    def copied(kind: str, name: str, **config: Any) -> Path:
        directory = Path(shutil.copytree(saved_pipeline(kind) / "model", tmp_path / "model"))
        made_scheduler(name, **(STABLE | config)).save_pretrained(directory / "scheduler")
        index = json.loads((directory / "model_index.json").read_text())
        (directory / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", name]}))
        return directory

    return copied


def theirs(directory: Path, scheduler: str = "", dtype: torch.dtype = torch.float32, **call: Any) -> Tensor:
    """Return images in [0, 1] of the pipeline's own call."""
    with quiet(library()):
        pipe = library().DiffusionPipeline.from_pretrained(directory, torch_dtype=dtype)
        pipe.set_progress_bar_config(disable=True)
        if scheduler:
            pipe.scheduler = getattr(library(), scheduler).from_config(pipe.scheduler.config)
        found = pipe(**({"output_type": "pt"} | call)).images
    return found.float() if isinstance(found, Tensor) else torch.from_numpy(found).permute(0, 3, 1, 2)


def draws(sampler: PipelineSampler, seeds: range, channels: int) -> tuple[Tensor, list[torch.Generator]]:
    """Return noise with what generators will draw after the first of it, and these generators."""
    shape = (1, channels, *sampler.shape[1:])
    sources = [torch.Generator().manual_seed(seed) for seed in seeds]
    rows = [
        torch.cat([torch.randn(shape, generator=each) for _ in range(sampler.shape[0] // channels)], 1)
        for each in sources
    ]
    again = [torch.Generator().manual_seed(seed) for seed in seeds]
    for each in again:
        torch.randn(shape, generator=each)
    return torch.cat(rows), again


@torch.no_grad()
def ours(sampler: PipelineSampler, noise: Tensor) -> Tensor:
    """Return images in [0, 1]."""
    state = sampler.start(noise, torch.arange(len(noise)) % len(sampler.prompts))
    for number in range(1, sampler.steps + 1):
        state = sampler.step(state, number)
        estimate = sampler.estimate(state)
        assert estimate.shape[:2] == (len(noise), 3)
        assert float(estimate.abs().max()) <= 1
    assert sampler.image(state).shape == estimate.shape
    return sampler.image(state) / 2 + 0.5


@pytest.mark.parametrize(("kind", "name", "config", "call"), CASES, ids=lambda value: str(value)[:50])
def test_images_are_those_of_the_pipeline(
    with_scheduler: Callable[..., Path], kind: str, name: str, config: dict[str, Any], call: dict[str, Any]
) -> None:
    directory, pipe_call = with_scheduler(kind, name, **config), dict(call)
    call = {"steps": 5} | call
    sampler = open_pipeline(str(directory), PipelineOptions(PROMPTS, **call), CPU)
    noise, sources = draws(sampler, range(len(PROMPTS)), 4)
    if negative := pipe_call.get("negative"):
        pipe_call["negative_prompt"] = [negative] * len(PROMPTS)
    if "guidance" in pipe_call:
        pipe_call["guidance_scale"] = pipe_call["guidance"]
    extra = {key: value for key, value in pipe_call.items() if key in ("negative_prompt", "guidance_scale")}
    expected = theirs(
        directory,
        prompt=list(PROMPTS),
        latents=noise[:, :4],
        generator=sources,
        num_inference_steps=call["steps"],
        **extra,
    )
    found = ours(sampler, noise)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= NEAR
    assert float(expected.std()) > 0.05, "there is something to see"
    other = ours(open_pipeline(str(directory), PipelineOptions(PROMPTS[::-1], **call), CPU), noise)
    assert float((other - found).abs().amax((1, 2, 3))[0]) > NEAR, "the prompt counts"


@pytest.mark.parametrize("kind", ["DDPMPipeline", "DDIMPipeline", "LDMPipeline"])
def test_unconditional_images_are_those_of_the_pipeline(
    with_scheduler: Callable[..., Path], saved_pipeline: Callable[[str], Path], kind: str
) -> None:
    directory = with_scheduler(kind, "DDPMScheduler" if kind == "DDPMPipeline" else "DDIMScheduler", clip_sample=True)
    sampler = open_pipeline(str(directory), PipelineOptions(steps=5), CPU)
    channels = 4 if kind == "LDMPipeline" else 3
    noise, _ = draws(sampler, range(3), channels)
    sources = [torch.Generator().manual_seed(seed) for seed in range(3)]
    expected = theirs(directory, batch_size=3, generator=sources, num_inference_steps=5, output_type="numpy")
    assert sampler.prompts == ("",)
    assert float((ours(sampler, noise) - expected).abs().max()) <= NEAR


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", [SD, XL])
def test_half_precision_is_that_of_the_pipeline(
    saved_pipeline: Callable[[str], Path], kind: str, dtype: torch.dtype
) -> None:
    directory = saved_pipeline(kind) / "model"
    sampler = open_pipeline(str(directory), PipelineOptions(PROMPTS, steps=5, dtype=dtype), CPU)
    noise, _ = draws(sampler, range(3), 4)
    expected = theirs(directory, dtype=dtype, prompt=list(PROMPTS), latents=noise.to(dtype), num_inference_steps=5)
    exact = ours(open_pipeline(str(directory), PipelineOptions(PROMPTS, steps=5), CPU), noise)
    found = ours(sampler, noise)
    off = float((expected - exact).abs().mean())  # what half precision costs
    assert float((found - expected).abs().mean()) <= max(off, NEAR)
    assert 0 < float((found - exact).abs().mean()) <= 2 * off


def test_settings_of_2022_are_mended_as_by_the_pipeline(saved_pipeline: Callable[[str], Path], tmp_path: Path) -> None:
    directory = Path(shutil.copytree(saved_pipeline(SD) / "model", tmp_path / "model"))
    file = directory / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text())
    del config["steps_offset"]
    file.write_text(json.dumps(config | {"clip_sample": True}))
    sampler = open_pipeline(str(directory), PipelineOptions(PROMPTS, steps=5), CPU)
    noise, _ = draws(sampler, range(3), 4)
    expected = theirs(directory, prompt=list(PROMPTS), latents=noise, num_inference_steps=5)
    assert float((ours(sampler, noise) - expected).abs().max()) <= NEAR


def test_another_scheduler_takes_the_settings_of_the_first(saved_pipeline: Callable[[str], Path]) -> None:
    directory = saved_pipeline(SD) / "model"
    asked = PipelineOptions(PROMPTS, steps=5, scheduler="EulerDiscreteScheduler")
    sampler = open_pipeline(str(directory), asked, CPU)
    noise, _ = draws(sampler, range(3), 4)
    call = {"prompt": list(PROMPTS), "latents": noise, "num_inference_steps": 5}
    expected = theirs(directory, "EulerDiscreteScheduler", **call)
    assert float((ours(sampler, noise) - expected).abs().max()) <= NEAR


def test_another_size(saved_pipeline: Callable[[str], Path]) -> None:
    directory = saved_pipeline(XL) / "model"
    sampler = open_pipeline(str(directory), PipelineOptions(PROMPTS, steps=2, size=32), CPU)
    assert sampler.shape == (4, 16, 16)
    noise, _ = draws(sampler, range(3), 4)
    call = {"height": 32, "width": 32, "num_inference_steps": 2}
    expected = theirs(directory, prompt=list(PROMPTS), latents=noise, **call)
    assert float((ours(sampler, noise) - expected).abs().max()) <= NEAR


def opened(folder: Path, **options: object) -> SampledGenerator:
    query = "&".join(f"{key}={value}" for key, value in options.items())
    generator = open_generator(f"diffusers:{folder / 'model'}?prompts={folder / 'prompts.txt'}&{query}")
    assert isinstance(generator, SampledGenerator)
    return generator


@pytest.mark.parametrize("kind", [SD, XL, LCM])
def test_images_depend_on_seed_and_number_alone(saved_pipeline: Callable[[str], Path], kind: str) -> None:
    generator = opened(saved_pipeline(kind), steps=3, step="1,3")
    assert next(iter(generator.listed)).endswith("@1")
    together = generator.observe(generator.latents(range(5), 7), []).images
    alone = generator.observe(generator.latents(range(3, 4), 7), []).images
    assert torch.allclose(together[3:4], alone, atol=1e-5)
    again = opened(saved_pipeline(kind), steps=3, step="1,3")
    assert again.fingerprint == generator.fingerprint
    assert torch.equal(again.observe(again.latents(range(5), 7), []).images, together)


def test_whatever_changes_images_changes_the_fingerprint(saved_pipeline: Callable[[str], Path], tmp_path: Path) -> None:
    folder = saved_pipeline(SD)
    options: list[dict[str, object]] = [
        {"steps": 3},
        {"steps": 4},
        {"steps": 3, "guidance": 4},
        {"steps": 3, "guidance": 1},
        {"steps": 3, "negative": "a door"},
        {"steps": 3, "scheduler": "EulerDiscreteScheduler"},
        {"steps": 3, "size": 32},
        {"steps": 3, "dtype": "bfloat16"},
    ]
    assert len({opened(folder, **each).fingerprint for each in options}) == len(options)
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / "prompts.txt").write_text("a tower\n\na tree\n")
    other = opened(tmp_path / "other", steps=3)
    assert other.prompts == ("a tower", "a tree")
    assert other.fingerprint != opened(folder, steps=3).fingerprint


def test_a_forecast_counts_what_opening_took(
    saved_pipeline: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = opened(saved_pipeline(SD), steps=1)
    weights = sum(each.nbytes for each in generator.network.state_dict().values())
    assert generator.opening_bytes > weights
    segmenter = PlantedSegmenter(CPU)
    models, spec = ModelPair(generator, segmenter, "cpu"), DissectSpec("g", "s", images=4, layers=("up_blocks.1@1",))
    before = forecast(spec, models).memory_bytes
    monkeypatch.setattr(generator.sampler, "opening_bytes", 1 << 42)
    assert forecast(spec, models).memory_bytes == 1 << 42 > before
