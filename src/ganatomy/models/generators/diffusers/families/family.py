"""What a family of pipelines does its own way; everything else of sampling is the same for all."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions, Texts, texts_of
from ganatomy.models.generators.diffusers.decoder import side
from ganatomy.models.generators.diffusers.encoding import Encoded, Reader, encode, open_tokenizer
from ganatomy.models.generators.diffusers.pipeline_index import Index
from ganatomy.models.generators.diffusers.word_attention import PromptTokens, WordTokens, add_word_maps, word_tokens
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
    words: bool = False


class Family(ABC):
    """A family of pipelines: how it encodes prompts and calls its network, and where the places of an image are.

    Args:
        index: of a pipeline of the family.
        config: of its network.
        options: what is asked for.
        enlargement: by how much images are larger than x.
        device: where encoders compute.

    Attributes:
        size: height and width of x.
        pixels: height and width of the images.
        is_doubled: whether the pipeline's own guided call of the network has both halves, without the prompt first.
        is_flow: whether the network predicts a velocity from noise to image.
        is_single_file: whether the weights of all parts may be in a single file.
        attention: what the attention of places to the words of a prompt is called; empty where there is none.
        texts_first: whether tokens of the text come before those of the image, where both attend to both.
        blocks: the lists of modules of the network that are its blocks; empty where it is no sequence of them.
    """

    is_flow = False
    is_doubled = True
    is_single_file = False
    attention = ""
    texts_first = False
    blocks: tuple[str, ...] = ()

    def __init__(
        self,
        index: Index,
        config: Mapping[str, Any],
        options: PipelineOptions,
        enlargement: int,
        device: torch.device,
    ) -> None:
        self.index, self.config, self.options, self._device = index, config, options, device
        self._tokens = PromptTokens()
        if options.weights and not self.is_single_file:
            raise BadValue(f"weights={options.weights}: each part of a {index.pipeline} has its own; leave it out")
        self.size = self._size(enlargement)
        self.pixels = self.size * enlargement

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

    @property
    def count(self) -> int:
        """How many steps the scheduler is asked for."""
        return self.index.kind.steps if self.options.steps is None else self.options.steps

    def check(self, latents: int | None) -> None:
        """Refuse a network that does not fit its decoder, of so many channels; None where x are images.

        Raises:
            BadModel: names what is wrong.
            BadValue: it cannot draw x of that size.
        """
        channels = self.channels
        if latents not in (None, channels) or self.returned != channels or (latents is None and channels not in (1, 3)):
            what = "images of 3 channels or 1" if latents is None else f"latents of {latents} channels"
            raise BadModel(
                f"{self.index.name}: its {self.index.kind.part} maps {channels} channels to {self.returned}, "
                f"and must map {what} to as many"
            )

    def check_texts(self, texts: int) -> None:  # noqa: B027  most families need not look
        """Refuse prompts of so many tokens, if they could be taken for an image.

        Raises:
            BadValue: an image has as many tokens.
        """

    def times(self, settings: Mapping[str, Any], count: int) -> dict[str, Any]:  # noqa: ARG002  for families
        """Return what a scheduler with these settings gets to set so many times."""
        return {}

    @abstractmethod
    def conditions(self) -> Conditions:
        """Encode the prompts.

        Raises:
            BadFile: a part is missing, or its weights do not fit.
            BadModel: a part cannot be used.
            BadValue: options that do not fit.
        """

    def add_word_maps(self, network: nn.Module) -> None:
        """Make the attention to each word of the prompts a layer, wherever the network has such attention.

        Raises:
            BadModel: it has none.
        """
        if not self.attention:
            raise BadModel(f"{self.index.name}: words=yes is not for a {self.index.pipeline}; leave it out")
        add_word_maps(network, self._tokens, self.index.name, self.attention, self.texts_first)

    @abstractmethod
    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts of x at a time, [b, channels, h, w]: one call.

        Args:
            network: the denoiser.
            x: [b, channels, h, w], a row for each image and half.
            time: of the step, a scalar.
            given: of each row, see `Conditions.of`.
        """

    @abstractmethod
    def token_grid(self, shape: Sequence[int], texts: int) -> TokenGrid | None:
        """Return where a row of a tensor has the places of an image, if it has them; see `survey.GridOf`.

        Args:
            shape: [tokens, units] or [units, height, width].
            texts: tokens of a prompt.
        """

    def _guidance(self) -> float:
        """Return how far the prompt is followed.

        Raises:
            BadValue: it is no such number.
        """
        guidance = self.index.kind.guidance if self.options.guidance is None else self.options.guidance
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

    def _encode(self, part: str, reader: Reader, texts: Sequence[str]) -> Encoded:
        return encode(self.index, part, reader, texts, self._device, self.options.dtype)

    def _words(self, part: str, reader: Reader, texts: Sequence[str], limit: int) -> WordTokens:
        """Return which tokens that a text encoder reads are of which word of the prompts."""
        tokenizer = open_tokenizer(self.index, part, reader)
        return word_tokens(tokenizer, self.options.prompts, texts, limit)

    def _size(self, enlargement: int) -> int:
        """Return height and width of x."""
        size, own, whole = self.options.size, self.side, enlargement * self.multiple
        if size is None and own is None:
            raise BadValue(f"its config does not say how large its images are; give size={64 * whole}")
        if size is not None and size % whole:
            what = "by which its decoder enlarges latents" if whole == enlargement else "the side of a token in pixels"
            raise BadValue(f"size={size}: give a multiple of {whole}, {what}")
        return own or 1 if size is None else size // enlargement


def chosen(given: Mapping[str, Tensor], row: int | None) -> dict[str, Tensor]:
    """Return a row of what is given, [1, …]; nothing where there is no such row."""
    return {} if row is None else {name: tensor[[row]] for name, tensor in given.items()}
