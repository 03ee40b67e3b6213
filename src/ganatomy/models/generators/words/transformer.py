"""A small transformer for a rectified flow from noise to images: patches are tokens, words are attended to."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.core.errors import BadValue
from ganatomy.models.generators.words.attention import HEADS, Attention
from ganatomy.models.generators.words.conditions import WordNetwork, patch_side

WIDER = 4
"""Units within a block for each of its outputs."""
SOONEST = 0.05
"""Least time that what is left of the noise is divided by."""


class TokenAttention(Attention):
    """Attention in plain products: PyTorch's own takes half of a training step in bfloat16 on a processor."""

    def attended(
        self,
        query: Float[Tensor, "b heads n d"],
        key: Float[Tensor, "b heads m d"],
        value: Float[Tensor, "b heads m d"],
    ) -> Float[Tensor, "b heads n d"]:
        """Return the values by how much of its attention each query pays to each key."""
        shares: Tensor = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        return shares @ value


class Block(nn.Module):
    """Attention of tokens to each other and to words, then two linear layers, each added to the tokens.

    The embedding of time and words says how to scale and shift what is normed, and how much of a result to add
    (adaptive layer norm); all blocks share the layer that reads it, and each has an offset of its own.
    """

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.attn1 = TokenAttention(width, width, nn.LayerNorm(width, elementwise_affine=False))
        self.attn2 = TokenAttention(width, context, nn.LayerNorm(width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.hidden, self.out = nn.Linear(width, WIDER * width), nn.Linear(WIDER * width, width)
        self.offset = nn.Parameter(torch.zeros(6, width))
        nn.init.zeros_(self.out.weight)

    def forward(
        self, x: Float[Tensor, "b n c"], modulation: Float[Tensor, "b 6 c"], words: Float[Tensor, "b words d"]
    ) -> Float[Tensor, "b n c"]:
        """Return the tokens after the block."""
        scale1, shift1, gate1, scale2, shift2, gate2 = (modulation + self.offset).unsqueeze(2).unbind(1)
        own = self.attn1.norm(x) * (1 + scale1) + shift1
        x = x + (1 + gate1) * self.attn1.mixed(own, own)
        x = x + self.attn2.mixed(self.attn2.norm(x), words)
        hidden = self.hidden(self.norm(x) * (1 + scale2) + shift2)
        out: Tensor = x + (1 + gate2) * self.out(F.gelu(hidden, approximate="tanh"))
        return out


class WordTransformer(WordNetwork):
    """Velocity of a rectified flow x_t = (1 - t) image + t noise, from tokens alone: there is one scale.

    The last layer predicts the image, from which the velocity follows. A token has no more units than its patch has
    numbers: were the velocity predicted, the tokens would have to carry all the noise, and images would lack detail
    (Li and He 2025, arXiv 2511.13720).

    Args:
        words: how many words there are.
        width: units of each token; a multiple of 4.
        depth: blocks.
        patch: pixels a side of one token.
        size: pixels a side of the images, which says how many tokens there are.
    """

    def __init__(
        self, words: int, width: int = 192, depth: int = 6, patch: int = 8, context: int = 64, size: int = 64
    ) -> None:
        super().__init__(words, context, width, patch)
        self.input, self.output = nn.Linear(3 * patch**2, width), nn.Linear(width, 3 * patch**2)
        self.places = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(width, context) for _ in range(depth))
        self.norm, self.last = nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, 2 * width)
        for zero in (self.modulation, self.last, self.output):
            nn.init.zeros_(zero.weight)

    @classmethod
    def like(cls, words: int, state: Mapping[str, Tensor], size: int) -> "WordTransformer":
        """Return a network of the sizes that weights have, see `WordNetwork.like`."""
        patch, context = patch_side(state), state["words.weight"].shape[1]
        width = len(state["input.weight"])
        depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
        if size % patch:
            raise BadValue(f"images of {size} pixels, which must be a multiple of its patches of {patch}")
        if width % HEADS or not depth:
            raise BadValue(f"{depth} blocks of {width} units, which must be a multiple of {HEADS}")
        return cls(words, width, depth, patch, context, size)

    @property
    def stages(self) -> tuple[str, ...]:
        """The blocks."""
        return tuple(f"blocks.{i}" for i in range(len(self.blocks)))

    @property
    def listed(self) -> tuple[str, ...]:
        """The blocks a third, two thirds and the whole way through."""
        depth = len(self.blocks)
        return tuple(dict.fromkeys(f"blocks.{-(-depth * part // 3) - 1}" for part in (1, 2, 3)))

    def forward(
        self, x: Float[Tensor, "b 3 H W"], t: Float[Tensor, " b"], states: Int64[Tensor, "b words"]
    ) -> Float[Tensor, "b 3 H W"]:
        """Return noise - image, as expected at (x, t) given what is known of each word."""
        words, emb = self.conditions(t, states)
        patches = F.pixel_unshuffle(x, self.patch)
        h = self.input(patches.flatten(2).transpose(1, 2)) + self.places
        modulation = self.modulation(emb).unflatten(1, (6, -1))
        for block in self.blocks:
            h = block(h, modulation, words)
        scale, shift = self.last(emb).unsqueeze(1).chunk(2, 2)
        output = self.output(self.norm(h) * (1 + scale) + shift)
        image = F.pixel_shuffle(output.transpose(1, 2).reshape(patches.shape), self.patch)
        return (x - image) / t.clamp(min=SOONEST)[:, None, None, None]
