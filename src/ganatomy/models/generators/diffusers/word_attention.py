"""Cross-attention of diffusers to the words of a prompt, as a layer of each attention; see `WordMaps`."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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


class WordAttention:
    """A processor of an `Attention` of diffusers: as its own one to rounding, and a hook edits the map of each word.

    Args:
        tokens: of the call that runs now.
    """

    def __init__(self, tokens: PromptTokens) -> None:
        self._tokens = tokens

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,  # noqa: ARG002  of attentions with a spatial norm, which have no words
        **_: Any,
    ) -> Tensor:
        """Return what the places attend to, [b, places, units]."""
        x, words = hidden_states, encoder_hidden_states
        if words is None or x.ndim != 3 or self._tokens.now is None:
            raise BadModel("this attention is not to the words of a prompt; leave words=yes out")
        if attn.norm_cross:
            words = attn.norm_encoder_hidden_states(words)
        own = x if attn.group_norm is None else attn.group_norm(x.transpose(1, 2)).transpose(1, 2)
        parts = (attn.to_q(own), attn.to_k(words), attn.to_v(words))
        query, key, value = (each.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for each in parts)
        query = query if attn.norm_q is None else attn.norm_q(query)
        key = key if attn.norm_k is None else attn.norm_k(key)
        if attention_mask is not None:
            attention_mask = attn.prepare_attention_mask(attention_mask, key.shape[2], len(x))
            attention_mask = attention_mask.unflatten(0, (-1, attn.heads))
        mixed = attend(query, key, value, attn.words, self._tokens.now, attention_mask)
        out: Tensor = attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))
        return (out + x if attn.residual_connection else out) / float(attn.rescale_output_factor)


def add_word_maps(network: nn.Module, tokens: PromptTokens, name: str) -> None:
    """Make the attention to words a layer of every cross-attention of a network: ``…attn2:words``.

    Raises:
        BadModel: it has none, or not of the kind that this can take the place of.
    """
    found: list[Any] = [part for path, part in network.named_modules() if path.endswith("attn2")]
    for part in found:
        kind = type(getattr(part, "processor", None)).__name__
        if kind not in ("AttnProcessor2_0", "AttnProcessor") or getattr(part, "spatial_norm", None) is not None:
            raise BadModel(f"{name}: its attention to words is computed by a {kind}; leave words=yes out")
        part.add_module(SUFFIX[1:], WordMaps())
        part.processor = WordAttention(tokens)
    if not found:
        raise BadModel(f"{name}: its network has no cross-attention to words; leave words=yes out")


def words_of(prompts: Sequence[str]) -> dict[str, str]:
    """Return the word of each part of the prompts that spaces divide: its name without punctuation.

    >>> words_of(["A tree, a door", "tree"])
    {'A': 'a', 'tree,': 'tree', 'a': 'a', 'door': 'door', 'tree': 'tree'}
    """
    parts = dict.fromkeys(part for prompt in prompts for part in prompt.split())
    named = {part: re.sub(r"^\W+|\W+$", "", part).lower() for part in parts}
    return {part: name for part, name in named.items() if name}


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
    named = words_of(prompts)
    numbers = {name: i for i, name in enumerate(dict.fromkeys(named.values()))}
    if len(numbers) > MOST_WORDS:
        raise BadValue(f"words=yes: the prompts have {len(numbers):,} words, of which {MOST_WORDS} can have maps")
    tokens = torch.zeros(len(texts), limit, len(numbers))
    for row, text in enumerate(texts):
        with quiet():
            ids = tokenizer(text).input_ids
            parts = [(named.get(part), tokenizer(part, add_special_tokens=False).input_ids) for part in text.split()]
        own = [token for _, part in parts for token in part]
        first = next((i for i in range(3) if ids[i : i + len(own)] == own), None)
        if first is None:
            raise BadModel(f"{text[:40]!r}: its tokenizer does not say which tokens are of which word")
        for name, part in parts:
            if name is not None:
                tokens[row, first : first + len(part), numbers[name]] = 1
            first += len(part)
    return WordTokens(tuple(numbers), tokens)


def with_words(conditions: Conditions, tokenizer: Any, prompts: Sequence[str], texts: Sequence[str]) -> Conditions:
    """Return conditions that say which tokens are of which word; what guidance leads away from has no words.

    Args:
        conditions: of the texts.
        tokenizer: of the text encoder.
        prompts: as they are encoded.
        texts: that are encoded.

    Raises:
        BadModel, BadValue: see `word_tokens`.
    """
    words, tokens = word_tokens(tokenizer, prompts, texts, conditions.texts)
    without = {**conditions.without, "tokens": torch.zeros_like(tokens[:1])} if conditions.without else {}
    given, facts = {**conditions.given, "tokens": tokens}, (*conditions.facts, "word maps")
    return replace(conditions, given=given, without=without, facts=facts, words=words)
