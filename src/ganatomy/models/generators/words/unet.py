"""A small UNet for a rectified flow from noise to images, conditioned on words: said, denied or left unsaid."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.core.errors import BadValue
from ganatomy.models.generators.words.attention import Attention
from ganatomy.models.generators.words.conditions import WordNetwork, patch_side


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


class MapAttention(Attention):
    """Attention of positions to themselves, or to the words where these are given."""

    def __init__(self, channels: int, context: int) -> None:
        super().__init__(channels, context, nn.GroupNorm(8, channels))

    def forward(
        self, x: Float[Tensor, "b c h w"], words: Float[Tensor, "b n d"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Return the features with what was attended to added."""
        own = self.norm(x).flatten(2).transpose(1, 2)
        out: Tensor = x + self.mixed(own, own if words is None else words).transpose(1, 2).reshape(x.shape)
        return out


class Stage(nn.Module):
    """A residual block and, where asked for, attention to positions and to words."""

    def __init__(self, channels: int, out: int, embedding: int, context: int = 0) -> None:
        super().__init__()
        self.block = Residual(channels, out, embedding)
        self.attn1 = MapAttention(out, out) if context else None
        self.attn2 = MapAttention(out, context) if context else None

    def forward(self, x: Tensor, embedding: Tensor, words: Tensor) -> Tensor:
        """Return the features after the stage."""
        x = self.block(x, embedding)
        if self.attn1 is not None and self.attn2 is not None:
            x = self.attn2(self.attn1(x), words)
        return x


class WordUNet(WordNetwork):
    """Velocity of a rectified flow x_t = (1 - t) image + t noise, at three scales of a grid of patches.

    Args:
        words: how many words there are.
        channels: units at the three scales, the finest first; multiples of 8.
        patch: pixels a side of one cell of the finest grid.
    """

    stages = ("down1", "down2", "down3", "middle", "up3", "up2", "up1", "up0")
    listed = ("up3", "up2", "up0")  # the last at each scale

    def __init__(self, words: int, channels: Sequence[int] = (96, 128, 160), patch: int = 4, context: int = 64) -> None:
        a, b, c = channels
        embedding = 2 * a
        super().__init__(words, context, embedding, patch)
        self.input = nn.Conv2d(3 * patch**2, a, 3, padding=1)
        self.down1, self.down2 = Stage(a, a, embedding), Stage(a, b, embedding, context)
        self.down3, self.middle = Stage(b, c, embedding, context), Stage(c, c, embedding)
        self.up3, self.up2 = Stage(2 * c, c, embedding, context), Stage(c + b, b, embedding, context)
        self.up1, self.up0 = Stage(b + a, a, embedding), Stage(a, a, embedding)
        self.output = nn.Sequential(nn.GroupNorm(8, a), nn.SiLU(), nn.Conv2d(a, 3 * patch**2, 3, padding=1))

    @classmethod
    def like(cls, words: int, state: Mapping[str, Tensor], size: int) -> "WordUNet":
        """Return a network of the sizes that weights have, see `WordNetwork.like`."""
        patch, context = patch_side(state), state["words.weight"].shape[1]
        widths = [
            len(state["input.weight"]),
            *(len(state[f"{stage}.block.conv2.weight"]) for stage in ("down2", "down3")),
        ]
        if size % (4 * patch):
            raise BadValue(f"images of {size} pixels, which must be four patches of {patch} or a multiple")
        if any(width % 8 for width in widths):
            raise BadValue(f"its widths are {', '.join(map(str, widths))}; they must be multiples of 8")
        return cls(words, widths, patch, context)

    def forward(
        self, x: Float[Tensor, "b 3 H W"], t: Float[Tensor, " b"], states: Int64[Tensor, "b words"]
    ) -> Float[Tensor, "b 3 H W"]:
        """Return noise - image, as expected at (x, t) given what is known of each word."""
        words, emb = self.conditions(t, states)
        h1 = self.down1(self.input(F.pixel_unshuffle(x, self.patch)), emb, words)
        h2 = self.down2(F.avg_pool2d(h1, 2), emb, words)
        h3 = self.down3(F.avg_pool2d(h2, 2), emb, words)
        h = self.up3(torch.cat([self.middle(h3, emb, words), h3], 1), emb, words)
        h = self.up2(torch.cat([F.interpolate(h, scale_factor=2), h2], 1), emb, words)
        h = self.up1(torch.cat([F.interpolate(h, scale_factor=2), h1], 1), emb, words)
        return F.pixel_shuffle(self.output(self.up0(h, emb, words)), self.patch)
