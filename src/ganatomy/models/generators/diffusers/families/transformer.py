"""What families of transformers have in common: a token is a patch of x, and there may be tokens of a text."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ganatomy.core.errors import BadValue
from ganatomy.models.generators.diffusers.families.family import Family
from ganatomy.models.generators.hooks import TokenGrid


class Transformer(Family):
    """A transformer of which a token is a square patch of x.

    Attributes:
        has_variance: whether the network may return a variance beside its prediction, in as many channels more.
    """

    blocks: tuple[str, ...] = ("transformer_blocks",)
    has_variance = False

    @property
    def patch(self) -> int:
        """Places of x along each side of a token."""
        return int(self.config["patch_size"])

    @property
    def multiple(self) -> int:
        """What height and width of x are multiples of."""
        return self.patch

    @property
    def returned(self) -> int:
        """Channels that the network returns, without those of a variance."""
        found = super().returned
        return self.channels if self.has_variance and found == 2 * self.channels else found

    def check_texts(self, texts: int) -> None:
        """Refuse prompts of as many tokens as an image: a layer's tokens could be either."""
        if texts == (self.size // self.patch) ** 2:
            raise BadValue(f"{self.index.name}: an image has {texts} tokens, and so has a prompt; give another size=")

    def token_grid(self, shape: Sequence[int], texts: int) -> TokenGrid | None:
        """Return where a row has the places of an image: of so many tokens, alone or after those of the text."""
        height = self.size // self.patch
        if len(shape) == 3:
            return TokenGrid(*shape[1:]) if tuple(shape[1:]) in ((height, height), (self.size, self.size)) else None
        firsts = {height**2 + texts: texts, height**2: 0}
        return TokenGrid(height, height, firsts[shape[0]]) if shape[0] in firsts else None


def packed(x: Tensor) -> Tensor:
    """Return x [b, c, h, w] as tokens of 2 × 2 places, [b, h · w / 4, 4 · c]."""
    return nn.functional.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2)


def unpacked(tokens: Tensor, like: Tensor) -> Tensor:
    """Return tokens of 2 × 2 places as x, of the height and width of another, [b, c, h, w].

    >>> import torch
    >>> x = torch.arange(48.0).view(1, 3, 4, 4)
    >>> packed(x).shape, torch.equal(unpacked(packed(x), x), x)
    (torch.Size([1, 4, 12]), True)
    """
    height, width = (side // 2 for side in like.shape[2:])
    return nn.functional.pixel_shuffle(tokens.transpose(1, 2).reshape(len(tokens), -1, height, width), 2)


def linear_shift(tokens: int, settings: Mapping[str, Any]) -> float:
    """Return how far a scheduler shifts times for images of so many tokens, by its settings.

    >>> linear_shift(256, {}), linear_shift(4096, {"max_shift": 1.5})
    (0.5, 1.5)
    """
    few, many = settings.get("base_image_seq_len", 256), settings.get("max_image_seq_len", 4096)
    low, high = settings.get("base_shift", 0.5), settings.get("max_shift", 1.15)
    return float(low + (high - low) * (tokens - few) / (many - few))
