"""Pipelines whose memory is saved: offloaded to the CPU, sliced, tiled. Layers and images are the same.

The images of `diffusers:` are those that such a pipeline draws itself; and a pipeline may be handed over as it is.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_transformers import PROMPTS
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.interventions import Intervention
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.diffusers.checkpoint import library, quiet
from ganatomy.models.generators.module import as_generator
from ganatomy.models.generators.sampling import SampledGenerator, State

SD, STEPS, NEAR = "StableDiffusionPipeline", 3, 1e-4
LAYER = "up_blocks.0@2"
accelerate = pytest.importorskip("accelerate", reason="offloading is done by accelerate, which is not installed")
pytestmark = pytest.mark.slow


def offload_parts(pipe: Any) -> None:
    """Do what `enable_sequential_cpu_offload` does, which on a machine without a GPU asks for a device cpu:0."""
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            accelerate.cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)


SAVED: Mapping[str, Callable[[Any], object]] = {
    "attention slicing": lambda pipe: pipe.enable_attention_slicing(1),
    "VAE slicing": lambda pipe: pipe.vae.enable_slicing(),
    "VAE tiling": lambda pipe: pipe.vae.enable_tiling(),
    "model offload": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential offload": offload_parts,
}


class OfPipe:
    """A pipeline of diffusers in memory as a `Sampler`, without guidance."""

    steps, halves, prompts, shape = STEPS, 1, PROMPTS, (4, 8, 8)
    facts: tuple[object, ...] = ()

    def __init__(self, pipe: Any) -> None:
        self.pipe, self.network = pipe, pipe.unet
        with torch.no_grad():
            self.words = pipe.encode_prompt(list(PROMPTS), pipe._execution_device, 1, False)[0]
        pipe.scheduler.set_timesteps(STEPS)

    def start(self, noise: Tensor, prompt: Tensor) -> State:
        return State(noise, prompt)

    def step(self, state: State, number: int) -> State:
        time = self.pipe.scheduler.timesteps[number - 1]
        noise = self.network(state.x, time, self.words[state.prompt]).sample
        done = self.pipe.scheduler.step(noise, time, state.x)
        return State(done.prev_sample, state.prompt, done.pred_original_sample)

    def estimate(self, state: State) -> Tensor:
        assert state.clean is not None
        return self._decoded(state.clean)

    def image(self, state: State) -> Tensor:
        return self._decoded(state.x)

    def _decoded(self, x: Tensor) -> Tensor:
        images: Tensor = self.pipe.vae.decode(x / self.pipe.vae.config.scaling_factor).sample
        return images.clamp(-1, 1)


@pytest.fixture(scope="module")
def pipe_of(saved_pipeline: Callable[[str], Path]) -> Callable[[str], Any]:
    """Return a pipeline in memory that saves memory in a way, or in none."""

    def made(way: str) -> Any:
        with quiet(library()):
            pipe = library().DiffusionPipeline.from_pretrained(saved_pipeline(SD) / "model")
            pipe.set_progress_bar_config(disable=True)
            if way:
                SAVED[way](pipe)
        return pipe

    return made


@pytest.fixture(scope="module")
def plain(pipe_of: Callable[[str], Any]) -> SampledGenerator:
    return SampledGenerator(OfPipe(pipe_of("")), name="pipe")


@pytest.fixture(scope="module")
def opened(saved_pipeline: Callable[[str], Path]) -> SampledGenerator:
    folder = saved_pipeline(SD)
    found = open_generator(f"diffusers:{folder / 'model'}?prompts={folder / 'prompts.txt'}&steps={STEPS}&guidance=1")
    assert isinstance(found, SampledGenerator)
    return found


@pytest.mark.parametrize("way", SAVED)
def test_images_and_layers_are_those_of_a_pipeline_that_saves_memory(
    pipe_of: Callable[[str], Any], plain: SampledGenerator, opened: SampledGenerator, way: str
) -> None:
    pipe = pipe_of(way)
    given = SampledGenerator(OfPipe(pipe), name="pipe")
    assert given.device == torch.device(pipe._execution_device.type)
    z, off = plain.latents(range(len(PROMPTS)), 0), Intervention.ablate(LAYER, plain.layers[LAYER], [0, 1])
    call = {"num_inference_steps": STEPS, "guidance_scale": 1.0, "output_type": "pt"}
    with quiet(library()):
        drawn = pipe(prompt=list(PROMPTS), latents=z[:, :-1].reshape(-1, *OfPipe.shape), **call).images
    expected = plain.observe(z, [LAYER])
    for generator in (opened, given):
        assert list(generator.layers) == list(plain.layers)
        seen = generator.observe(z, [LAYER])
        assert float((seen.images / 2 + 0.5 - drawn).abs().max()) <= NEAR
        assert torch.allclose(seen.features[LAYER], expected.features[LAYER], atol=NEAR)
        edited = generator.edited(z, [off])
        assert float((edited - plain.edited(z, [off])).abs().max()) <= 2 * NEAR
        assert float((edited - seen.images).abs().max()) > 2 * NEAR
    assert given.others == plain.others
    assert given.fingerprint == plain.fingerprint
    r = given.observe(z, [LAYER]).features[LAYER].requires_grad_()
    given.render(r, LAYER, z).sum().backward()
    assert r.grad is not None
    assert float(r.grad.abs().max()) > 0


@pytest.mark.parametrize("way", ["model offload", "sequential offload"])
def test_a_decoder_that_is_offloaded_has_the_same_layers(pipe_of: Callable[[str], Any], way: str) -> None:
    found, plain = (as_generator(pipe_of(each).vae.decoder, latent=(4, 8, 8)) for each in (way, ""))
    z = plain.latents(range(2), 0)
    layer = next(iter(plain.layers))
    seen, expected = found.observe(z, [layer]), plain.observe(z, [layer])
    assert list(found.layers) == list(plain.layers)
    assert torch.allclose(seen.images, expected.images, atol=NEAR)
    assert torch.allclose(seen.features[layer], expected.features[layer], atol=NEAR)
    assert found.fingerprint == plain.fingerprint


def test_offloaded_weights_that_are_not_numbers_are_refused(pipe_of: Callable[[str], Any]) -> None:
    pipe = pipe_of("")
    with torch.no_grad():
        pipe.unet.conv_in.weight[0] = torch.nan
    SAVED["sequential offload"](pipe)
    with mistake("bad-file", "conv_in.weight", "NaN"):
        SampledGenerator(OfPipe(pipe), name="pipe")
