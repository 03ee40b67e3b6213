"""PixArt-α and PixArt-Σ: a transformer that attends to the words of a prompt."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.diffusers.encoding import T5
from ganatomy.models.generators.diffusers.families.family import chosen
from ganatomy.models.generators.diffusers.families.transformer import Transformer
from ganatomy.models.generators.diffusers.word_attention import with_words

WORDS = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}
"""Tokens of a prompt."""
SIZED = 128
"""The ``sample_size`` of networks that are given the size of the image, unless their config says whether they are."""


class PixArt(Transformer):
    """A transformer with cross-attention to the words that T5 read, in lower case; some are given the image's size."""

    has_variance = True
    attention = "attn2"

    def conditions(self) -> Conditions:
        """Encode the prompts, and the one that guidance leads away from."""
        guidance = self._guidance()
        texts = self._texts(guidance > 1)
        reader = replace(T5, limit=WORDS[self.index.pipeline], masked=True)
        part, read = self.index.kind.encoders[0], [text.lower().strip() for text in texts.texts]
        encoded = self._encode(part, reader, read)
        given = {"words": encoded.last, "mask": encoded.mask}
        if self._sized:
            numbers = torch.tensor([self.pixels, self.pixels, 1.0]).to(encoded.last.dtype)
            given["size"] = numbers.expand(len(texts.texts), -1)
        facts = (texts.texts, self.pixels if self._sized else 0, encoded.facts)
        without = chosen(given, texts.last)
        found = Conditions(self.options.prompts, texts.rows, given, without, guidance, facts)
        if not self.options.words:
            return found
        return with_words(found, [self._words(part, reader, read, reader.limit)])

    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts; see `Family`."""
        self._tokens.now = given.get("tokens")
        more: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
        if "size" in given:
            more = {"resolution": given["size"][:, :2], "aspect_ratio": given["size"][:, 2:]}
        predicted: Tensor = network(
            x,
            encoder_hidden_states=given["words"],
            encoder_attention_mask=given["mask"],
            timestep=time.to(x.device).expand(len(x)),
            added_cond_kwargs=more,
            return_dict=False,
        )[0]
        return predicted[:, : self.channels]

    @property
    def _sized(self) -> bool:
        own = self.config.get("use_additional_conditions")
        return self.side == SIZED if own is None else bool(own)
