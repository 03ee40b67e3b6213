"""Ablations of pipelines run without this package: what diffusers alone draws is what is drawn here."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganatomy.core.layer_steps import at_step
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.diffusers.checkpoint import library, quiet
from ganatomy.models.generators.diffusers.erase_script import switch_off
from ganatomy.models.generators.diffusers.erasure import PROGRAM, RECORD, Erasure, export_erasure
from ganatomy.models.generators.sampling import SampledGenerator

SD, XL, LCM = "StableDiffusionPipeline", "StableDiffusionXLPipeline", "LatentConsistencyModelPipeline"
SD3, FLUX, DIT = "StableDiffusion3Pipeline", "FluxPipeline", "DiTPipeline"
PROMPTS = ("a tree", "a door")
LINEAR = "up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0"
NEAR = 1e-4


def opened(directory: Path, **options: object) -> SampledGenerator:
    said = "&".join(f"{key}={value}" for key, value in {"steps": 3, "prompts": ";".join(PROMPTS), **options}.items())
    generator = open_generator(f"diffusers:{directory}?{said}")
    assert isinstance(generator, SampledGenerator)
    return generator


def off(generator: SampledGenerator, block: str, steps: range, units: int = 5) -> list[Intervention]:
    layers = [at_step(block, step) for step in steps]
    return [Intervention.ablate(layer, generator.layers[layer], range(units)) for layer in layers]


def pipeline(directory: Path, **parts: object) -> object:
    with quiet(library()):
        found = library().DiffusionPipeline.from_pretrained(directory, **parts)
    found.set_progress_bar_config(disable=True)
    return found


def theirs(directory: Path, generator: SampledGenerator, z: Tensor, erasure: Erasure) -> Tensor:
    """Return images in [-1, 1] of the pipeline's own call, with what was written."""
    assert erasure.file is not None
    latents = z[:, :-1].reshape(-1, *generator.sampler.shape)
    if erasure.file.name == PROGRAM:
        edit = json.loads(erasure.file.with_name(RECORD).read_text())
        made = pipeline(directory)
        call = {**edit["call"], "callback_on_step_end": switch_off(made, edit)}
    else:
        part = erasure.file.name
        kind = type(generator.sampler.network)
        made = pipeline(directory, **{part: kind.from_pretrained(erasure.file)})
        call = getattr(generator.sampler, "pipeline_call")  # noqa: B009
    if hasattr(made, "_pack_latents"):
        latents = made._pack_latents(latents, *latents.shape)
    prompts = generator.prompt_of(z)
    if "negative_prompt" in call:
        call |= {"negative_prompt": [call["negative_prompt"]] * len(prompts)}
    found = [made(prompts, latents=latents, output_type="pt", **call).images for _ in range(2)]
    assert torch.equal(*found), "a second call begins with the first step"
    return found[1].float() * 2 - 1


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of a scheduler of diffusers
@pytest.mark.parametrize(
    ("kind", "options", "block", "steps"),
    [
        (SD, {"guidance": 4}, "up_blocks.0.attentions.0", range(1, 4)),
        (SD, {"guidance": 4, "half": "both", "negative": "a bush"}, "mid_block", range(2, 3)),
        (SD, {"guidance": 4, "half": "uncond", "scheduler": "EulerDiscreteScheduler"}, "up_blocks.1", range(1, 3)),
        (SD, {"guidance": 1}, LINEAR, range(2, 4)),
        (XL, {"guidance": 4}, "up_blocks.0.attentions.0.transformer_blocks.0", range(1, 4)),
        (LCM, {"scheduler": "LCMScheduler", "steps": 1}, "up_blocks.0", range(1, 2)),
    ],
)
def test_a_program_of_few_lines_draws_what_is_drawn_here(
    saved_pipeline: Callable[[str], Path],
    tmp_path: Path,
    kind: str,
    options: dict[str, object],
    block: str,
    steps: range,
) -> None:
    check_program(saved_pipeline(kind) / "model", tmp_path, options, block, steps)


@pytest.mark.parametrize(
    ("kind", "options", "block"),
    [(SD3, {"guidance": 4}, "transformer_blocks.0"), (FLUX, {}, "single_transformer_blocks.0")],
)
def test_tokens_of_the_image_alone_are_switched_off(
    saved_transformer: Callable[[str], Path], tmp_path: Path, kind: str, options: dict[str, object], block: str
) -> None:
    check_program(saved_transformer(kind) / "model", tmp_path, options, block, range(1, 3))


def check_program(directory: Path, out: Path, options: dict[str, object], block: str, steps: range) -> None:
    generator = opened(directory, **options)
    edits, z = off(generator, block, steps), generator.latents(range(2), 3)
    erasure = export_erasure(out, generator, edits)
    assert erasure.file == out / PROGRAM
    expected = generator.edited(z, edits)
    assert float((expected - generator.observe(z, ()).images).abs().max()) > 10 * NEAR
    found = theirs(directory, generator, z, erasure)
    assert float((found - expected).abs().max()) < 2 * NEAR


@pytest.mark.parametrize("options", [{"guidance": 1}, {"guidance": 4, "half": "both"}])
def test_rows_of_weights_are_0_where_that_draws_the_same(
    saved_pipeline: Callable[[str], Path], tmp_path: Path, options: dict[str, object]
) -> None:
    directory = saved_pipeline(SD) / "model"
    generator = opened(directory, **options)
    edits, z = off(generator, LINEAR, range(1, 4)), generator.latents(range(2), 3)
    before, fingerprint = generator.observe(z, ()).images, generator.fingerprint
    erasure = export_erasure(tmp_path, generator, edits)
    assert erasure.file == tmp_path / "unet"
    assert torch.equal(generator.observe(z, ()).images, before)
    assert opened(directory, **options).fingerprint == fingerprint
    found = theirs(directory, generator, z, erasure)
    assert float((found - generator.edited(z, edits)).abs().max()) < 2 * NEAR


def test_why_nothing_was_written_is_said(
    saved_pipeline: Callable[[str], Path], saved_transformer: Callable[[str], Path], tmp_path: Path
) -> None:
    generator = opened(saved_pipeline(SD) / "model", words="yes")
    block = "up_blocks.0.attentions.0"
    shape = generator.layers[f"{block}@1"]
    somewhere = Intervention.ablate(f"{block}@1", shape, [0], where=place(shape[1:], 0, 0))
    word = f"{block}.transformer_blocks.0.attn2@1:words"
    for edit, reason in (
        (somewhere, "more than switch units off everywhere"),
        (Intervention.ablate(word, generator.layers[word], [0]), "no output of a module"),
    ):
        assert reason in export_erasure(tmp_path, generator, [edit]).how
    dit = opened(saved_transformer(DIT) / "model", prompts="1")
    erasure = export_erasure(tmp_path, dit, off(dit, "transformer_blocks.0", range(1, 3)))
    assert "does not say which step" in erasure.how
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_program_runs_by_itself(saved_pipeline: Callable[[str], Path], tmp_path: Path) -> None:
    directory = saved_pipeline(SD) / "model"
    generator = opened(directory)
    export_erasure(tmp_path, generator, off(generator, "mid_block", range(1, 3)))
    command = [sys.executable, PROGRAM, str(directory), "a tree", "image.png"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300, capture_output=True)
    assert (tmp_path / "image.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / PROGRAM).read_text()
    assert "ganatomy" not in text
