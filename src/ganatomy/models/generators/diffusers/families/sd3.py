"""Stable Diffusion 3: a transformer with a stream of text beside that of the image (Esser et al. 2024)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.diffusers.encoding import PROJECTED_CLIP, T5
from ganatomy.models.generators.diffusers.families.family import chosen
from ganatomy.models.generators.diffusers.families.transformer import Transformer, linear_shift
from ganatomy.models.generators.diffusers.word_attention import WordTokens, with_words

WORDS = 256
"""Tokens of a prompt that T5 reads."""


class SD3(Transformer):
    """A transformer that is given the words of two CLIP encoders and then those of T5, zeros where there is no T5."""

    is_flow = True
    attention = "attn"

    def check(self, latents: int | None) -> None:
        """Refuse a size beyond the network's places."""
        most = int(self.config.get("pos_embed_max_size") or 0)
        if self.size // self.patch > most > 0:
            raise BadValue(f"{self.index.name}: draws latents of {most * self.patch} places a side, not {self.size}")
        super().check(latents)

    def times(self, settings: Mapping[str, Any], count: int) -> dict[str, Any]:  # noqa: ARG002  for families
        """Return the shift of times, where it depends on the size."""
        if not settings.get("use_dynamic_shifting"):
            return {}
        return {"mu": linear_shift((self.size // self.patch) ** 2, settings)}

    def conditions(self) -> Conditions:
        """Encode the prompts, and the one that guidance leads away from."""
        guidance, index = self._guidance(), self.index
        texts = self._texts(guidance > 1)
        *clips, t5 = index.kind.encoders
        both = [self._encode(part, PROJECTED_CLIP, texts.texts) for part in clips]
        found = both
        if t5 in index.parts:
            found = [*both, self._encode(t5, replace(T5, limit=WORDS), texts.texts)]
            last = found[-1].last
        else:
            last = torch.zeros(len(texts.texts), WORDS, int(self.config["joint_attention_dim"]))
        words = torch.cat([each.layers for each in both], -1)
        if words.shape[-1] > last.shape[-1]:
            own = f"{words.shape[-1]} numbers a word, those of T5 {last.shape[-1]}"
            raise BadModel(f"{index.name}: its CLIP encoders give {own}, which must be as many or more")
        words = nn.functional.pad(words, (0, last.shape[-1] - words.shape[-1]))
        pooled = torch.cat([each.pooled for each in both if each.pooled is not None], -1)
        given = {"words": torch.cat([words, last.to(words.dtype)], 1), "pooled": pooled}
        facts = (texts.texts, *(each.facts for each in found))
        without = chosen(given, texts.last)
        result = Conditions(self.options.prompts, texts.rows, given, without, guidance, facts)
        if not self.options.words:
            return result
        clip = self._words(clips[0], PROJECTED_CLIP, texts.texts, words.shape[1])
        rest = WordTokens(clip.words, clip.tokens.new_zeros(len(texts.texts), WORDS, len(clip.words)))
        if t5 in index.parts:
            rest = self._words(t5, T5, texts.texts, WORDS)
        return with_words(result, [clip, rest])

    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts; see `Family`."""
        self._tokens.now = given.get("tokens")
        predicted: Tensor = network(
            hidden_states=x,
            timestep=time.to(x.device).expand(len(x)),
            encoder_hidden_states=given["words"],
            pooled_projections=given["pooled"],
            return_dict=False,
        )[0]
        return predicted
