"""Attention of diffusers to the words of a prompt, as a layer of each attention; see `WordMaps`."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.word_maps import SUFFIX, WordMaps, attend
from ganatomy.models.weights.pretrained import quiet

MOST_WORDS = 512
"""Different words of all prompts: maps of more take much memory."""


class WordTokens(NamedTuple):
    """Words, and 1 where a token of a text is of one of them, float32 [texts, tokens, words]."""

    words: tuple[str, ...]
    tokens: Tensor


class PromptTokens:
    """Which tokens are of which word, for the rows of the call that runs now: float32 [rows, tokens, words]."""

    now: Tensor | None = None


class WordAttention(TorchFunctionMode):
    """While it is on, attention to the tokens of a text goes through the maps of words; see `attend`.

    Args:
        maps: the layer.
        tokens: of the call that runs now, [b, tokens, words].
        texts_first: whether those of the text come before those of the image, where both attend to both.
    """

    def __init__(self, maps: WordMaps, tokens: Tensor, texts_first: bool) -> None:
        super().__init__()
        self._maps, self._tokens, self._texts_first = maps, tokens, texts_first
        self.met = False

    def __torch_function__(
        self, function: Any, _types: Any, given: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or compute the attention."""
        named = named or {}
        if function is not functional.scaled_dot_product_attention:
            return function(*given, **named)
        self.met = True
        return self._attended(*given, **named)

    def _attended(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,  # noqa: ARG002  networks only draw here
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        texts, (places, keys) = self._tokens.shape[1], (query.shape[2], key.shape[2])
        joint, mask = keys != texts, attn_mask
        if is_causal or enable_gqa or (joint and (mask is not None or places != keys or keys < texts)):
            raise BadModel("its attention to words is of an unknown kind; leave words=yes out")
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, -torch.inf)
        if not joint:
            return attend(query, key, value, self._maps, self._tokens, mask, scale)
        places -= texts
        if self._texts_first:
            (rest, own), beside = torch.split(query, [texts, places], 2), (0, places)
        else:
            (own, rest), beside = torch.split(query, [places, texts], 2), (places, 0)
        tokens = functional.pad(self._tokens, (0, 0, *beside))
        images = attend(own, key, value, self._maps, tokens, scale=scale)
        words = functional.scaled_dot_product_attention(rest, key, value, scale=scale)
        return torch.cat([words, images] if self._texts_first else [images, words], 2)


def add_word_maps(network: nn.Module, tokens: PromptTokens, name: str, attention: str, texts_first: bool) -> None:
    """Make the attention to words a layer of every attention to them: ``…attn2:words``.

    Args:
        network: of a pipeline.
        tokens: of the call that runs now.
        name: of the pipeline.
        attention: what such parts are called.
        texts_first: see `WordAttention`.

    Raises:
        BadModel: it has none.
    """
    found = [part for path, part in network.named_modules() if path.rpartition(".")[2] == attention]
    for part in found:
        part.add_module(SUFFIX[1:], WordMaps())
        part.forward = _through_maps(part, tokens, texts_first)
    if not found:
        raise BadModel(f"{name}: its network has no attention to words; leave words=yes out")


def _through_maps(part: Any, tokens: PromptTokens, texts_first: bool) -> Callable[..., Any]:
    """Return the call of an attention, in which the maps of words can be read and edited."""
    own = part.forward

    @functools.wraps(own)
    def forward(*given: Any, **named: Any) -> Any:
        if tokens.now is None:
            raise BadModel("this attention is not to the words of a prompt; leave words=yes out")
        with WordAttention(part.words, tokens.now, texts_first) as mode:
            out = own(*given, **named)
        if not mode.met:
            kind = type(getattr(part, "processor", None)).__name__
            raise BadModel(f"its attention to words is computed by a {kind}; leave words=yes out")
        return out

    return forward


def word_of(part: str) -> str:
    """Return the word of a part of a prompt that spaces divide: without punctuation, in lower case.

    >>> word_of("Tree,"), word_of("&")
    ('tree', '')
    """
    return re.sub(r"^\W+|\W+$", "", part).lower()


def word_tokens(tokenizer: Any, prompts: Sequence[str], texts: Sequence[str], limit: int) -> WordTokens:
    """Return the words of prompts, and which tokens of each text are of them.

    Args:
        tokenizer: of the text encoder.
        prompts: whose words are meant.
        texts: those that are encoded.
        limit: tokens of a text.

    Raises:
        BadModel: a text's tokens are not those of its words, one after the other.
        BadValue: there are too many words.
    """
    words = dict.fromkeys(filter(None, (word_of(part) for prompt in prompts for part in prompt.split())))
    numbers = {word: i for i, word in enumerate(words)}
    if len(numbers) > MOST_WORDS:
        raise BadValue(f"words=yes: the prompts have {len(numbers):,} words, of which {MOST_WORDS} can have maps")
    tokens = torch.zeros(len(texts), limit, len(numbers))
    for row, text in enumerate(texts):
        with quiet():
            ids = tokenizer(text).input_ids
            parts = [(word_of(part), tokenizer(part, add_special_tokens=False).input_ids) for part in text.split()]
        own = [token for _, part in parts for token in part]
        first = next((i for i in range(3) if ids[i : i + len(own)] == own), None)
        if first is None:
            raise BadModel(f"{text[:40]!r}: its tokenizer does not say which tokens are of which word")
        for word, part in parts:
            if word in numbers:
                tokens[row, first : first + len(part), numbers[word]] = 1
            first += len(part)
    return WordTokens(tuple(numbers), tokens)


def with_words(conditions: Conditions, found: Sequence[WordTokens]) -> Conditions:
    """Return conditions that say which tokens are of which word; what guidance leads away from has no words.

    Args:
        conditions: of the texts.
        found: of one encoder after the other, whose tokens follow each other.
    """
    tokens = torch.cat([each.tokens for each in found], 1)
    without = {**conditions.without, "tokens": torch.zeros_like(tokens[:1])} if conditions.without else {}
    given, facts = {**conditions.given, "tokens": tokens}, (*conditions.facts, "word maps")
    return replace(conditions, given=given, without=without, facts=facts, words=found[0].words)
