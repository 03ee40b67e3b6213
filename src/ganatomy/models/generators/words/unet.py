"""A small UNet for a rectified flow from noise to images, conditioned on words: said, denied or left unsaid."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.models.generators.word_maps import WordMaps, attend

ABSENT, PRESENT, UNSAID = range(3)
"""What is known of a word: its object is not there, it is there, or nothing was said."""


class Residual(nn.Module):
    """Two convolutions with a skip; the embedding of time and words scales and shifts the second norm."""

    def __init__(self, channels: int, out: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, channels), nn.Conv2d(channels, out, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, out), nn.Conv2d(out, out, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * out)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Float[Tensor, "b c h w"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b d h w"]:
        """Return the features after the block."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        out: Tensor = self.skip(x) + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return out


class Attention(nn.Module):
    """Multi-head attention of positions to themselves, or to the words where these are given."""

    def __init__(self, channels: int, context: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.query, self.keys_values = nn.Linear(channels, channels), nn.Linear(context, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        self.words: WordMaps | None = None  # a layer, where it was asked for

    def forward(
        self, x: Float[Tensor, "b c h w"], words: Float[Tensor, "b n d"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Return the features with what was attended to added."""
        b, c, h, w = x.shape
        own = self.norm(x).flatten(2).transpose(1, 2)
        query, (key, value) = self.query(own), self.keys_values(own if words is None else words).chunk(2, -1)
        q, k, v = (each.unflatten(-1, (self.heads, c // self.heads)).transpose(1, 2) for each in (query, key, value))
        mixed = F.scaled_dot_product_attention(q, k, v) if self.words is None else attend(q, k, v, self.words)
        out: Tensor = x + self.out(mixed.transpose(1, 2).flatten(2)).transpose(1, 2).reshape(b, c, h, w)
        return out


class Stage(nn.Module):
    """A residual block and, where asked for, attention to positions and to words."""

    def __init__(self, channels: int, out: int, embedding: int, context: int = 0) -> None:
        super().__init__()
        self.block = Residual(channels, out, embedding)
        self.attn1 = Attention(out, out) if context else None
        self.attn2 = Attention(out, context) if context else None

    def forward(self, x: Tensor, embedding: Tensor, words: Tensor) -> Tensor:
        """Return the features after the stage."""
        x = self.block(x, embedding)
        if self.attn1 is not None and self.attn2 is not None:
            x = self.attn2(self.attn1(x), words)
        return x


class WordUNet(nn.Module):
    """Velocity of a rectified flow x_t = (1 - t) image + t noise, at three scales of a grid of patches.

    Args:
        words: how many words there are.
        channels: units at the three scales, the finest first; multiples of 8.
        patch: pixels a side of one cell of the finest grid.
    """

    def __init__(self, words: int, channels: Sequence[int] = (96, 128, 160), patch: int = 4, context: int = 64) -> None:
        super().__init__()
        a, b, c = channels
        embedding = 2 * a
        self.patch, self.word_count, self.frequencies = patch, words, 32
        self.words = nn.Embedding(3 * words, context)  # one vector for each word and what is known of it
        self.said = nn.Linear(context, embedding)
        self.time = nn.Sequential(
            nn.Linear(2 * self.frequencies, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.input = nn.Conv2d(3 * patch**2, a, 3, padding=1)
        self.down1, self.down2 = Stage(a, a, embedding), Stage(a, b, embedding, context)
        self.down3, self.middle = Stage(b, c, embedding, context), Stage(c, c, embedding)
        self.up3, self.up2 = Stage(2 * c, c, embedding, context), Stage(c + b, b, embedding, context)
        self.up1, self.up0 = Stage(b + a, a, embedding), Stage(a, a, embedding)
        self.output = nn.Sequential(nn.GroupNorm(8, a), nn.SiLU(), nn.Conv2d(a, 3 * patch**2, 3, padding=1))

    def forward(
        self, x: Float[Tensor, "b 3 H W"], t: Float[Tensor, " b"], states: Int64[Tensor, "b words"]
    ) -> Float[Tensor, "b 3 H W"]:
        """Return noise - image, as expected at (x, t) given what is known of each word."""
        words = self.words(states + 3 * torch.arange(self.word_count, device=states.device))
        emb = F.silu(self.time(self._waves(t)) + self.said(words.mean(1)))
        h1 = self.down1(self.input(F.pixel_unshuffle(x, self.patch)), emb, words)
        h2 = self.down2(F.avg_pool2d(h1, 2), emb, words)
        h3 = self.down3(F.avg_pool2d(h2, 2), emb, words)
        h = self.up3(torch.cat([self.middle(h3, emb, words), h3], 1), emb, words)
        h = self.up2(torch.cat([F.interpolate(h, scale_factor=2), h2], 1), emb, words)
        h = self.up1(torch.cat([F.interpolate(h, scale_factor=2), h1], 1), emb, words)
        return F.pixel_shuffle(self.output(self.up0(h, emb, words)), self.patch)

    def add_word_maps(self) -> None:
        """Make the attention to words a layer of each stage that has it."""
        for part in self.modules():
            if isinstance(part, Stage) and part.attn2 is not None:
                part.attn2.words = WordMaps()

    def _waves(self, t: Tensor) -> Tensor:
        octaves = torch.arange(self.frequencies, device=t.device) / (self.frequencies - 1)
        angles = 1000 * t[:, None] * torch.exp(-math.log(1000) * octaves)
        return torch.cat([angles.sin(), angles.cos()], 1)
