"""FLUX.1: a transformer of two streams, then of one with the text before the image, on packed latents."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.diffusers.encoding import CLIP, T5
from ganatomy.models.generators.diffusers.families.transformer import Transformer, linear_shift, packed, unpacked
from ganatomy.models.generators.diffusers.word_attention import with_words

WHOLE_CLIP = replace(CLIP, classes=CLIP.classes[:1], layers=())
WORDS = 512
"""Tokens of a prompt."""
SIDE = 128
"""Height and width of latents; the config does not say them."""


class Flux(Transformer):
    """A transformer whose tokens are patches of 2 × 2 places, packed before its call.

    A network that was distilled under guidance takes that as an input; others know none.
    """

    is_flow = True
    attention = "attn"
    texts_first = True
    blocks = ("transformer_blocks", "single_transformer_blocks")

    @property
    def patch(self) -> int:
        """Places of x along each side of a token."""
        return 2

    @property
    def side(self) -> int:
        """Height and width of x unless asked otherwise."""
        return SIDE

    @property
    def channels(self) -> int:
        """Channels of x, whose patches are what the network sees."""
        return super().channels // self.patch**2

    @property
    def returned(self) -> int:
        """Channels that the network returns, as those of x."""
        return super().returned // self.patch**2

    def times(self, settings: Mapping[str, Any], count: int) -> dict[str, Any]:
        """Return where the times are, and their shift where it depends on the size."""
        found: dict[str, Any] = {}
        if not settings.get("use_flow_sigmas"):
            found["sigmas"] = torch.linspace(1, 1 / count, count, dtype=torch.float64).tolist()
        if settings.get("use_dynamic_shifting"):
            found["mu"] = self._shift(settings, count)
        return found

    def conditions(self) -> Conditions:
        """Encode the prompts: their words by T5, the whole of each by CLIP."""
        if self.options.negative is not None:
            raise BadValue(f"negative=: a {self.index.pipeline} leads away from nothing; leave it out")
        guidance = self._embedded()
        texts, (clip, t5) = self._texts(guided=False), self.index.kind.encoders
        whole = self._encode(clip, WHOLE_CLIP, texts.texts)
        words = self._encode(t5, replace(T5, limit=WORDS), texts.texts)
        given = {"words": words.last}
        if whole.pooled is not None:
            given["pooled"] = whole.pooled
        if guidance is not None:
            given["guidance"] = torch.full((len(texts.texts),), guidance)
        facts = (texts.texts, whole.facts, words.facts)
        kept = 1.0 if guidance is None else guidance
        found = Conditions(self.options.prompts, texts.rows, given, {}, kept, facts)
        return with_words(found, [self._words(t5, T5, texts.texts, WORDS)]) if self.options.words else found

    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts; see `Family`."""
        self._tokens.now = given.get("tokens")
        more = {"pooled_projections": given["pooled"]} if "pooled" in given else {}
        texts, images = self._positions(given["words"].shape[1], x.shape[-1] // self.patch)
        predicted: Tensor = network(
            hidden_states=packed(x),
            timestep=time.to(x.device).expand(len(x)).to(x.dtype) / 1000,
            guidance=given.get("guidance"),
            encoder_hidden_states=given["words"],
            txt_ids=texts.to(x.device),
            img_ids=images.to(x.device),
            return_dict=False,
            **more,
        )[0]
        return unpacked(predicted, x)

    def _embedded(self) -> float | None:
        """Return the guidance that is an input of the network; None where it has no such input.

        Raises:
            BadValue: guidance is asked for, and it has none.
        """
        guidance = self._guidance()
        if self.config.get("guidance_embeds"):
            return guidance
        if self.options.guidance is not None and guidance > 1:
            raise BadValue(f"guidance={guidance}: the network of {self.index.name} takes none; leave it out")
        return None

    def _positions(self, texts: int, side: int) -> tuple[Tensor, Tensor]:
        """Return where the tokens of texts and of an image are: their rows and columns, [tokens, 3]."""
        places = torch.cartesian_prod(torch.zeros(1), torch.arange(float(side)), torch.arange(float(side)))
        return torch.zeros(texts, 3), places

    def _shift(self, settings: Mapping[str, Any], count: int) -> float:  # noqa: ARG002  for FLUX.2
        """Return how far a scheduler with these settings shifts so many times."""
        return linear_shift((self.size // self.patch) ** 2, settings)
