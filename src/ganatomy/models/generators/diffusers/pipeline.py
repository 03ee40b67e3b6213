"""Whole pipelines of diffusers as samplers: text to image in steps, and unconditional ones. `pipe()` is never called.

Parts are built from their configs and filled with all of their weights, one by one; none of the pipeline's code is run.
What its own call would draw is drawn here, from the same noise.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.devices import held_memory, with_memory
from ganatomy.core.errors import BadModel, BadValue, UnknownName
from ganatomy.core.tensor_types import Images
from ganatomy.models.generators.diffusers.checkpoint import Checkpoint, build
from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.diffusers.decoder import modes, scale_and_shift
from ganatomy.models.generators.diffusers.families import FAMILIES, Family, PipelineOptions
from ganatomy.models.generators.diffusers.pipeline_index import Index, read_index
from ganatomy.models.generators.diffusers.schedule import SCHEDULERS, Schedule, is_flow
from ganatomy.models.generators.hooks import TokenGrid
from ganatomy.models.generators.sampling import State
from ganatomy.models.wrapped import dtype_of, weights_fingerprint

FLOW = "FlowMatchEulerDiscreteScheduler"
MOST_STEPS = 10_000
LATENT_DECODERS = ("AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderTiny", "VQModel")


class PipelineSampler:
    """A pipeline of diffusers as a `Sampler`.

    Args:
        network: its denoiser.
        family: how that is called.
        schedule: its steps.
        decoder: of latents; None where x are images.
        conditions: its prompts.

    Attributes:
        name: of the pipeline's class.
        part: of the pipeline that is the denoiser.
        scheduler: the class that was asked for in place of the pipeline's own; empty for that.
        is_doubled: see `Family`.
        blocks: of the network, where it is a sequence of them; else empty.
        opening_bytes: memory of this process at most while it was opened.
    """

    opening_bytes = 0

    def __init__(
        self,
        network: nn.Module,
        family: Family,
        schedule: Schedule,
        decoder: nn.Module | None,
        conditions: Conditions,
    ) -> None:
        self.name, self.part = family.index.pipeline, family.index.kind.part
        self.scheduler, self.is_doubled = family.options.scheduler or "", family.is_doubled
        self.network: nn.Module = network
        self._family, self._schedule, self._decoder, self._conditions = family, schedule, decoder, conditions
        self.steps, self.prompts, self.halves = schedule.steps, conditions.prompts, conditions.halves
        self.words, self.attention = conditions.words, family.attention
        self.shape = (family.channels * (1 + schedule.draws), family.size, family.size)
        lists = {name: getattr(network, name) for name in family.blocks}
        self.blocks = [f"{name}.{i}" for name, own in lists.items() for i in range(len(own))]
        self._scale, self._shift = torch.ones(()), torch.zeros(())
        drawn: tuple[object, ...] = ()
        if decoder is not None:
            self._scale, self._shift = scale_and_shift(decoder, family.size)
            drawn = (weights_fingerprint(decoder), self._scale.tolist(), self._shift.tolist(), str(dtype_of(decoder)))
        guided = (conditions.guidance, conditions.halves, conditions.facts)
        self.facts: tuple[object, ...] = (str(dtype_of(network)), schedule.facts, guided, drawn, self.name)

    def start(self, noise: Tensor, prompt: Tensor) -> State:
        """Return the state before the first step."""
        return self._schedule.start(noise, prompt, dtype_of(self.network))

    def step(self, state: State, number: int) -> State:
        """Return the state after a step, from 1: one call of the network."""
        dtype, given = dtype_of(self.network), self._conditions.of(state.prompt, state.x.device)

        def predict(seen: Tensor, time: Tensor) -> Tensor:
            rows = torch.cat([seen.to(dtype)] * self.halves)
            predicted = self._family.call(self.network, rows, time, given)
            if self.halves == 1:
                return predicted
            without, guided = predicted.chunk(2)
            return without + self._conditions.guidance * (guided - without)

        return self._schedule.step(state, number, predict)

    def grid_of(self, shape: Sequence[int]) -> TokenGrid | None:
        """Return where a row of a tensor has the places of an image; see `Family.token_grid`."""
        return self._family.token_grid(shape, self._conditions.texts)

    def estimate(self, state: State) -> Images:
        """Return the images of the estimate of x₀ after the last step done."""
        if state.clean is None:
            raise BadValue("there is no estimate before the first step")
        return self._decoded(state.clean)

    def image(self, state: State) -> Images:
        """Return the images of the state after the last step."""
        return self._decoded(state.x)

    @property
    def pipeline_call(self) -> dict[str, Any]:
        """What the pipeline's own call is given to draw the same images of a prompt."""
        options = self._family.options
        given = {"negative_prompt": options.negative, "height": self._family.pixels, "width": self._family.pixels}
        guided = {"num_inference_steps": self._family.count, "guidance_scale": self._conditions.guidance}
        return guided | {name: value for name, value in given.items() if value is not None}

    def encode(self, images: Images) -> Tensor:
        """Return x after the last step, of images."""
        if self._decoder is None:
            return images if self.shape[0] == 3 else images.mean(1, keepdim=True)
        z = modes(self._decoder, images)
        return (z - self._shift.to(z.device)) / self._scale.to(z.device)

    def _decoded(self, x: Tensor) -> Images:
        images = x.float()
        if self._decoder is not None:
            z = images * self._scale.to(x.device) + self._shift.to(x.device)
            decode: Any = self._decoder.decode
            images = decode(z.to(dtype_of(self._decoder)), return_dict=False)[0].float()
        return images.clamp(-1, 1).expand(-1, 3, -1, -1)


def open_pipeline(name: str, options: PipelineOptions, device: torch.device) -> PipelineSampler:
    """Open a pipeline, and count the memory that this takes: text encoders may be larger than what is kept.

    Raises:
        BadFile, BadModel, BadValue, UnknownName: see `_open`.
    """
    held = held_memory()
    sampler, peak = with_memory(lambda: _open(name, options, device), torch.device("cpu"))
    sampler.opening_bytes = held + peak
    return sampler


def _open(name: str, options: PipelineOptions, device: torch.device) -> PipelineSampler:
    """Open a pipeline: a directory, or a repository of the Hugging Face hub.

    Raises:
        BadFile: it is none, or a part is missing, or weights do not fit.
        BadModel: its class, one of its parts or of its settings cannot be used.
        BadValue: an option that does not fit.
        UnknownName: no such scheduler.
    """
    index = read_index(name, options.weights)
    kind, network = index.kind, index.network()
    decoder = index.part(kind.decoder, LATENT_DECODERS) if kind.decoder else None
    family = FAMILIES[kind.network](index, network.config, options, _enlargement(decoder), device)
    family.check(None if decoder is None else decoder.config.get("latent_channels", family.channels))
    schedule = _schedule(family, network)
    conditions = family.conditions()
    family.check_texts(conditions.texts)
    denoiser = nn.Module.to(network.model(), device, options.dtype)
    if options.words:
        family.add_word_maps(denoiser)
    return PipelineSampler(
        denoiser,
        family,
        schedule,
        None if decoder is None else nn.Module.to(decoder.model(), device, _decoder_dtype(decoder, options.dtype)),
        conditions,
    )


def _enlargement(decoder: Checkpoint | None) -> int:
    """Return by how much images are larger than x."""
    if decoder is None:
        return 1
    blocks = decoder.config.get("block_out_channels") or decoder.config.get("decoder_block_out_channels") or (1,)
    return int(2 ** (len(blocks) - 1))


def _schedule(family: Family, network: Checkpoint) -> Schedule:
    """Return the steps: those of the pipeline's own scheduler, or of another with the same settings."""
    index, options = family.index, family.options
    scheduler = _scheduler(index, network, options.scheduler or "")
    if family.is_flow and not is_flow(scheduler):
        own = type(scheduler).__name__
        raise BadModel(f"{index.name}: its network predicts a velocity, and {own} is for others; give scheduler={FLOW}")
    taken = inspect.signature(scheduler.set_timesteps).parameters
    times = family.times(scheduler.config, min(max(family.count, 1), MOST_STEPS))  # others are refused by the schedule
    return Schedule(scheduler, family.count, family.channels, {key: times[key] for key in times if key in taken})


def _scheduler(index: Index, network: Checkpoint, name: str) -> Any:
    """Build the scheduler as the pipeline's own call has it, or another with the same settings."""
    config = dict(network.scheduler_config())
    if index.pipeline == "StableDiffusionPipeline":  # which mends settings of 2022
        config |= {"steps_offset": 1, "clip_sample": False}
    own = index.part_class("scheduler")  # which counts, whatever the name in its own file
    name = name or index.kind.scheduler or own
    if name not in SCHEDULERS and name != own:
        raise UnknownName("scheduler", name, SCHEDULERS)
    return build({**config, "_class_name": name}, "SchedulerMixin", f"{index.name}/scheduler")


def _decoder_dtype(decoder: Checkpoint, dtype: torch.dtype) -> torch.dtype:
    """Return the format of numbers of a decoder, as pipelines choose it: some overflow float16."""
    overflows = dtype == torch.float16 and bool(decoder.config.get("force_upcast", decoder.kind == "AutoencoderKL"))
    return torch.float32 if overflows else dtype
