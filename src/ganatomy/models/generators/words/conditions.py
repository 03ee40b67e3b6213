"""What every network of the words model is given: what is known of each word, and the time."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.models.generators.word_maps import WordMaps
from ganatomy.models.generators.words.attention import Attention

ABSENT, PRESENT, UNSAID = range(3)
"""What is known of a word: its object is not there, it is there, or nothing was said."""


class WordNetwork(nn.Module, ABC):
    """Velocity of a rectified flow x_t = (1 - t) image + t noise, given words: said, denied or left unsaid.

    Args:
        words: how many words there are.
        context: numbers of each word.
        embedding: numbers of time and words together.
        patch: pixels a side of one place of the finest grid.
    """

    def __init__(self, words: int, context: int, embedding: int, patch: int) -> None:
        super().__init__()
        self.patch, self.word_count, self.frequencies = patch, words, 32
        self.words = nn.Embedding(3 * words, context)  # one vector for each word and what is known of it
        self.said = nn.Linear(context, embedding)
        self.time = nn.Sequential(
            nn.Linear(2 * self.frequencies, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )

    @classmethod
    @abstractmethod
    def like(cls, words: int, state: Mapping[str, Tensor], size: int) -> "WordNetwork":
        """Return a network of the sizes that weights have.

        Args:
            words: how many words there are.
            state: the weights.
            size: pixels a side of the images.

        Raises:
            KeyError, ValueError: these are not the weights of such a network.
            BadValue: they are, and it cannot be built.
        """

    @property
    @abstractmethod
    def stages(self) -> tuple[str, ...]:
        """Names of the parts that are offered as layers, in forward order."""

    @property
    @abstractmethod
    def listed(self) -> tuple[str, ...]:
        """Those that are dissected where no layers are named."""

    @property
    def word_stages(self) -> tuple[str, ...]:
        """Those that have attention to words, ``attn2``."""
        return tuple(name for name in self.stages if getattr(self.get_submodule(name), "attn2", None) is not None)

    def conditions(
        self, t: Float[Tensor, " b"], states: Int64[Tensor, "b words"]
    ) -> tuple[Float[Tensor, "b words d"], Float[Tensor, "b e"]]:
        """Return the words, and the embedding of time and words."""
        words = self.words(states + 3 * torch.arange(self.word_count, device=states.device))
        return words, F.silu(self.time(self._waves(t)) + self.said(words.mean(1)))

    def add_word_maps(self) -> None:
        """Make the attention to words a layer of each stage that has it."""
        for name in self.word_stages:
            attention = self.get_submodule(f"{name}.attn2")
            assert isinstance(attention, Attention)
            attention.words = WordMaps()

    def _waves(self, t: Tensor) -> Tensor:
        octaves = torch.arange(self.frequencies, device=t.device) / (self.frequencies - 1)
        angles = 1000 * t[:, None] * torch.exp(-math.log(1000) * octaves)
        return torch.cat([angles.sin(), angles.cos()], 1)


def patch_side(state: Mapping[str, Tensor]) -> int:
    """Return the pixels a side of what the first layer reads.

    Raises:
        KeyError, ValueError: weights of no such layer.
    """
    inputs = state["input.weight"].shape[1]
    side = math.isqrt(inputs // 3)
    if not side or 3 * side**2 != inputs:
        raise ValueError(f"patches of {inputs} values")
    return side
