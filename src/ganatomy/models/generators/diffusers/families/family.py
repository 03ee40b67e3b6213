"""What a family of pipelines does its own way; everything else of sampling is the same for all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions, Texts, texts_of
from ganatomy.models.generators.diffusers.decoder import side
from ganatomy.models.generators.diffusers.encoding import Encoded, Reader, encode
from ganatomy.models.generators.diffusers.pipeline_index import Index
from ganatomy.models.generators.hooks import TokenGrid


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


class Family:
    """A family of pipelines: how it encodes prompts and calls its network, and where the places of an image are.

    Args:
        index: of a pipeline of the family.
        config: of its network.
        options: what is asked for.

    Attributes:
        is_flow: whether the network predicts a velocity from noise to image.
        is_single_file: whether the weights of all parts may be in a single file.
        blocks: the lists of modules of the network that are its blocks; empty where it is no sequence of them.
    """

    is_flow = False
    is_single_file = False
    blocks: tuple[str, ...] = ()

    def __init__(self, index: Index, config: Mapping[str, Any], options: PipelineOptions) -> None:
        self.index, self.config, self.options = index, config, options
        if options.weights and not self.is_single_file:
            raise BadValue(f"weights={options.weights}: each part of a {index.pipeline} has its own; leave it out")

    @property
    def channels(self) -> int:
        """Channels of x."""
        return int(self.config["in_channels"])

    @property
    def returned(self) -> int:
        """Channels that the network returns, in the units of `channels`."""
        return int(self.config.get("out_channels") or self.config["in_channels"])

    @property
    def side(self) -> int | None:
        """Height and width of x unless asked otherwise, if the config says it."""
        return side(self.config.get("sample_size"))

    @property
    def multiple(self) -> int:
        """What height and width of x are multiples of."""
        return 1

    def check(self, latents: int | None, size: int) -> None:
        """Refuse a network that does not fit its decoder, of so many channels; None where x are images.

        Raises:
            BadModel: names what is wrong.
            BadValue: it cannot draw x of that height and width.
        """
        channels = self.channels
        if latents not in (None, channels) or self.returned != channels or (latents is None and channels not in (1, 3)):
            what = "images of 3 channels or 1" if latents is None else f"latents of {latents} channels"
            raise BadModel(
                f"{self.index.name}: its {self.index.kind.part} maps {channels} channels to {self.returned}, "
                f"and must map {what} to as many"
            )

    def check_texts(self, texts: int, size: int) -> None:
        """Refuse prompts of so many tokens with x of that height and width, if the two could be mistaken.

        Raises:
            BadValue: an image has as many tokens.
        """

    def times(self, settings: Mapping[str, Any], count: int, size: int) -> dict[str, Any]:
        """Return what a scheduler with these settings is told of the times, for x of that height and width."""
        return {}

    def conditions(self, size: int, device: torch.device) -> Conditions:
        """Encode the prompts.

        Args:
            size: height and width of the images in pixels.
            device: where encoders compute.

        Raises:
            BadFile: a part is missing, or its weights do not fit.
            BadModel: a part cannot be used.
            BadValue: options that do not fit.
        """
        raise NotImplementedError

    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts of x at a time, [b, channels, h, w]: one call.

        Args:
            network: the denoiser.
            x: [b, channels, h, w], a row for each image and half.
            time: of the step, a scalar.
            given: of each row, see `Conditions.of`.
        """
        raise NotImplementedError

    def token_grid(self, shape: Sequence[int], size: int, texts: int) -> TokenGrid | None:
        """Return where a row of a tensor has the places of an image, if it has them; see `survey.GridOf`.

        Args:
            shape: [tokens, units] or [units, height, width].
            size: height and width of x.
            texts: tokens of a prompt.
        """
        raise NotImplementedError

    def _guidance(self) -> float:
        """Return how far the prompt is followed.

        Raises:
            BadValue: it is no such number.
        """
        asked = self.options.guidance
        guidance = self.index.kind.guidance if asked is None else asked
        if not 0 <= guidance < math.inf:
            raise BadValue(f"guidance={guidance}: give a number from 0 on; 1 is no guidance, 5 is usual")
        return guidance

    def _texts(self, guided: bool) -> Texts:
        """Return the texts to encode, with what guidance leads away from where it is `guided` by a second row.

        Raises:
            BadValue: there are no prompts, or a negative one without guidance.
        """
        index, options = self.index, self.options
        if not options.prompts:
            raise BadValue(f"{index.name}: a {index.pipeline} draws what a prompt says; give prompts=FILE, one a line")
        if options.negative is not None and not guided:
            raise BadValue("negative= is for guidance above 1, which leads away from it; leave it out")
        return texts_of(options.prompts, (options.negative or "") if guided else None)

    def _encode(self, part: str, reader: Reader, texts: Sequence[str], device: torch.device) -> Encoded:
        return encode(self.index, part, reader, texts, device, self.options.dtype)


def chosen(given: Mapping[str, Tensor], row: int | None) -> dict[str, Tensor]:
    """Return a row of what is given, [1, …]; nothing where there is no such row."""
    return {} if row is None else {name: tensor[[row]] for name, tensor in given.items()}
