"""Attention of places to each other, or to words, whose share of it can be a layer of its own."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.models.generators.word_maps import WordMaps, attend

HEADS = 4


class Attention(nn.Module):
    """Multi-head attention; what it adds is zero before it is trained.

    Args:
        channels: of the places.
        context: numbers of each thing that is attended to.
        norm: of the places, applied by the caller.
    """

    def __init__(self, channels: int, context: int, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.query, self.keys_values = nn.Linear(channels, channels), nn.Linear(context, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        self.words: WordMaps | None = None  # a layer, where it was asked for

    def mixed(self, own: Float[Tensor, "b n c"], others: Float[Tensor, "b m d"]) -> Float[Tensor, "b n c"]:
        """Return what each place takes from the others."""
        query, (key, value) = self.query(own), self.keys_values(others).chunk(2, -1)
        q, k, v = (each.unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (query, key, value))
        found = self.attended(q, k, v) if self.words is None else attend(q, k, v, self.words)
        out: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return out

    def attended(
        self,
        query: Float[Tensor, "b heads n d"],
        key: Float[Tensor, "b heads m d"],
        value: Float[Tensor, "b heads m d"],
    ) -> Float[Tensor, "b heads n d"]:
        """Return the values by how much of its attention each query pays to each key."""
        return F.scaled_dot_product_attention(query, key, value)
