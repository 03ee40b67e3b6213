"""Whole pipelines of diffusers as samplers: text to image in steps, and unconditional ones. `pipe()` is never called.

Parts are built from their configs and filled with all of their weights, one by one; none of the pipeline's code is run.
What its own call would draw is drawn here, from the same noise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.devices import held_memory, with_memory
from ganatomy.core.errors import BadModel, BadValue, UnknownName
from ganatomy.core.tensor_types import Images
from ganatomy.models.generators.diffusers.checkpoint import Checkpoint, build
from ganatomy.models.generators.diffusers.conditions import Classes, Conditions, EncodedPrompts
from ganatomy.models.generators.diffusers.decoder import modes, scale_and_shift, side
from ganatomy.models.generators.diffusers.encoding import TOKENIZERS, Encoded, encode
from ganatomy.models.generators.diffusers.pipeline_index import Index, read_index
from ganatomy.models.generators.diffusers.schedule import SCHEDULERS, Schedule
from ganatomy.models.generators.sampling import State
from ganatomy.models.wrapped import dtype_of, weights_fingerprint

LATENT_DECODERS = ("AutoencoderKL", "AutoencoderTiny", "VQModel")
ZEROS = "force_zeros_for_empty_prompt"
"""Setting of SDXL: guidance leads away from zeros where no negative prompt is given."""


@dataclass(frozen=True)
class PipelineOptions:
    """Options of a sampler; see `open_diffusers`."""

    prompts: Sequence[str] = ()
    negative: str | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    size: int | None = None
    dtype: torch.dtype = torch.float32
    weights: str = ""


class PipelineSampler:
    """A pipeline of diffusers as a `Sampler`.

    Args:
        network: its denoiser.
        schedule: its steps.
        decoder: of latents; None where x are images.
        conditions: its prompts.
        size: height and width of x.
        name: of the pipeline's class.

    Attributes:
        opening_bytes: memory of this process at most while it was opened.
    """

    opening_bytes = 0

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        decoder: nn.Module | None,
        conditions: Conditions,
        size: int,
        name: str,
    ) -> None:
        self.name = name
        self.network: nn.Module = network
        self._schedule, self._decoder, self._conditions = schedule, decoder, conditions
        self.steps, self.prompts, self.halves = schedule.steps, conditions.prompts, conditions.halves
        config: Mapping[str, Any] = network.config  # type: ignore[assignment]
        self.shape = (int(config["in_channels"]) * (1 + schedule.draws), size, size)
        self._scale, self._shift = torch.ones(()), torch.zeros(())
        drawn: tuple[object, ...] = ()
        if decoder is not None:
            self._scale, self._shift = scale_and_shift(decoder, size)
            drawn = (weights_fingerprint(decoder), self._scale.tolist(), self._shift.tolist(), str(dtype_of(decoder)))
        guided = (conditions.guidance, conditions.halves, conditions.facts)
        self.facts: tuple[object, ...] = (str(dtype_of(network)), schedule.facts, guided, drawn, name)

    def start(self, noise: Tensor, prompt: Tensor) -> State:
        """Return the state before the first step."""
        return self._schedule.start(noise, prompt, dtype_of(self.network))

    def step(self, state: State, number: int) -> State:
        """Return the state after a step, from 1: one call of the network."""
        device, dtype = state.x.device, dtype_of(self.network)
        arguments = self._conditions.arguments(state.prompt, device)

        def predict(seen: Tensor, time: Tensor) -> Tensor:
            rows = torch.cat([seen.to(dtype)] * self.halves)
            predicted: Tensor = self.network(rows, time.to(device), **arguments, return_dict=False)[0]
            if self.halves == 1:
                return predicted
            without, given = predicted.chunk(2)
            return without + self._conditions.guidance * (given - without)

        return self._schedule.step(state, number, predict)

    def estimate(self, state: State) -> Images:
        """Return the images of the estimate of x₀ after the last step done."""
        if state.clean is None:
            raise BadValue("there is no estimate before the first step")
        return self._decoded(state.clean)

    def image(self, state: State) -> Images:
        """Return the images of the state after the last step."""
        return self._decoded(state.x)

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
    kind = index.kind
    network = index.part("unet", ("UNet2DConditionModel",) if kind.encoders else ("UNet2DModel",))
    decoder = index.part(kind.decoder, LATENT_DECODERS) if kind.decoder else None
    _check_network(index, network.config, decoder)
    down = _enlargement(decoder)
    size = _size(options.size, network.config, down)
    steps = kind.steps if options.steps is None else options.steps
    schedule = Schedule(_scheduler(index, network, options.scheduler or ""), steps, int(network.config["in_channels"]))
    conditions: Conditions
    if kind.encoders:
        conditions = _words(index, options, network.config, size * down, device)
    else:
        conditions = _classes(options, network.config)
    return PipelineSampler(
        nn.Module.to(network.model(), device, options.dtype),
        schedule,
        None if decoder is None else nn.Module.to(decoder.model(), device, _decoder_dtype(decoder, options.dtype)),
        conditions,
        size,
        index.pipeline,
    )


def _check_network(index: Index, config: Mapping[str, Any], decoder: Checkpoint | None) -> None:
    """Refuse networks that want more than their pipeline gives."""
    taken = ("text_time" if len(index.kind.encoders) == 2 else None,)
    more = {
        "addition_embed_type": taken,
        "encoder_hid_dim_type": (None,),
        "class_embed_type": (None,),
    }
    for key, usable in more.items():
        if config.get(key) not in usable:
            raise BadModel(f"{index.name}: the unet of a {index.pipeline} with {key}={config.get(key)} cannot be used")
    channels, out = config.get("in_channels"), config.get("out_channels")
    latent = decoder.config.get("latent_channels", channels) if decoder else channels
    if channels != latent or out != channels or (decoder is None and channels not in (1, 3)):
        what = f"latents of {latent} channels" if decoder else "images of 3 channels or 1"
        raise BadModel(f"{index.name}: its unet maps {channels} channels to {out}, and must map {what} to as many")


def _enlargement(decoder: Checkpoint | None) -> int:
    """Return by how much images are larger than x."""
    if decoder is None:
        return 1
    blocks = decoder.config.get("block_out_channels") or decoder.config.get("decoder_block_out_channels") or (1,)
    return int(2 ** (len(blocks) - 1))


def _size(size: int | None, config: Mapping[str, Any], down: int) -> int:
    """Return height and width of x."""
    own = side(config.get("sample_size"))
    if size is None and own is None:
        raise BadValue(f"its config does not say how large its images are; give size={64 * down}")
    if size is not None and size % down:
        raise BadValue(f"size={size}: give a multiple of {down}, by which its decoder enlarges latents")
    return own or 1 if size is None else size // down


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


def _classes(options: PipelineOptions, config: Mapping[str, Any]) -> Classes:
    if options.guidance is not None or options.negative is not None:
        raise BadValue("guidance and negative are for text-to-image pipelines; leave them out")
    return Classes(int(config.get("num_class_embeds") or 0), options.prompts)


def _words(
    index: Index, options: PipelineOptions, config: Mapping[str, Any], size: int, device: torch.device
) -> EncodedPrompts:
    """Encode the prompts, and the one that guidance leads away from."""
    if not options.prompts:
        raise BadValue(f"{index.name}: a {index.pipeline} draws what a prompt says; give prompts=FILE, one a line")
    guidance = index.kind.guidance if options.guidance is None else options.guidance
    if not 0 <= guidance < math.inf:
        raise BadValue(f"guidance={guidance}: give a number from 0 on; 1 is no guidance, 5 is usual")
    embedded = int(config.get("time_cond_proj_dim") or 0)
    guided = guidance > 1 and not embedded
    if options.negative is not None and not guided:
        raise BadValue("negative= is for guidance above 1, which leads away from it; leave it out")
    last = options.negative or ""
    rows = {text: row for row, text in enumerate(dict.fromkeys([*options.prompts, *([last] if guided else [])]))}
    texts = list(rows)
    found = [_encoded(index, part, texts, device, options.dtype) for part in index.kind.encoders]
    words, pooled = found[0].last, None
    if len(found) > 1:
        words, pooled = torch.cat([each.earlier for each in found], -1), found[-1].pooled
        if pooled is None:
            raise BadModel(f"{index.name}: its {index.kind.encoders[-1]} must be a CLIPTextModelWithProjection")
    without: tuple[Tensor, Tensor | None] | None = None
    zeros = options.negative is None and pooled is not None and bool(index.settings.get(ZEROS, True))
    if guided:
        kept = 0.0 if zeros else 1.0
        without = (words[[rows[last]]] * kept, None if pooled is None else pooled[[rows[last]]] * kept)
    facts = (texts, size if pooled is not None else 0, zeros, *(each.facts for each in found))
    numbers = torch.tensor([rows[prompt] for prompt in options.prompts])
    return EncodedPrompts(options.prompts, numbers, words, pooled, without, guidance, embedded, size, facts)


def _encoded(index: Index, part: str, texts: Sequence[str], device: torch.device, dtype: torch.dtype) -> Encoded:
    tokenizer = part.replace("text_encoder", "tokenizer")
    if index.part_class(tokenizer) not in TOKENIZERS:
        raise BadModel(f"{index.name}: its {tokenizer} is a {index.part_class(tokenizer)}; it must be a CLIPTokenizer")
    return encode(index.name, (part, tokenizer, index.weights), index.part_class(part), texts, device, dtype)
