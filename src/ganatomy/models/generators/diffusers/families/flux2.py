"""FLUX.2 klein: FLUX with one language model for the words, and statistics of latents among the decoder's weights."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.diffusers.encoding import QWEN3
from ganatomy.models.generators.diffusers.families.family import chosen
from ganatomy.models.generators.diffusers.families.flux import WORDS, Flux

READER = replace(QWEN3, limit=WORDS, layers=(9, 18, 27))
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
"""A prompt as Qwen3 was trained to be asked, without thinking: what the template of its tokenizer makes of it."""
LARGE = 4300
"""Tokens of an image from which on the shift of times does not depend on the number of steps."""


class Flux2(Flux):
    """A transformer as FLUX.1, guided by a second row unless it was distilled."""

    attention = ""  # whose prompts are within a chat
    is_doubled = False  # the pipeline calls its network twice

    def conditions(self) -> Conditions:
        """Encode the prompts, and the one that guidance leads away from."""
        guidance, distilled = self._guidance(), bool(self.index.settings.get("is_distilled"))
        if distilled and self.options.guidance is not None and guidance > 1:
            raise BadValue(f"guidance={guidance}: {self.index.name} was distilled, and takes none; leave it out")
        texts = self._texts(guidance > 1 and not distilled)
        chats = [CHAT.format(text) for text in texts.texts]
        found = self._encode(self.index.kind.encoders[0], READER, chats)
        given, kept = {"words": found.layers}, 1.0 if distilled else guidance
        without = chosen(given, texts.last)
        return Conditions(self.options.prompts, texts.rows, given, without, kept, (texts.texts, found.facts))

    def _positions(self, texts: int, side: int) -> tuple[Tensor, Tensor]:
        """Return where tokens are: image, row, column and place in the text, [tokens, 4]."""
        one, many = torch.zeros(1), torch.arange(float(side))
        words = torch.arange(float(texts))
        return torch.cartesian_prod(one, one, one, words), torch.cartesian_prod(one, many, many, one)

    def _shift(self, settings: Mapping[str, Any], count: int) -> float:  # noqa: ARG002  as in FLUX.1
        """Return how far times are shifted: lines in the tokens for 10 and 200 steps, and between them one in steps."""
        tokens = (self.size // self.patch) ** 2
        at_200 = 0.00016927 * tokens + 0.45666666
        if tokens > LARGE:
            return at_200
        at_10 = 8.73809524e-05 * tokens + 1.89833333
        return at_200 + (at_200 - at_10) / 190 * (count - 200)
