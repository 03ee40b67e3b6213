"""Attention to the words of a prompt as a layer: a unit a word, read and edited by hooks like any other."""

from jaxtyping import Float
from torch import Tensor, nn

SUFFIX = ":words"
"""Of the name of such a layer, behind that of its attention: ``up2.attn2:words``, at a step ``up2.attn2@4:words``."""


class WordMaps(nn.Module):
    """Passes on how much of its attention each place pays to each word; it has no weights and changes nothing."""

    def forward(self, maps: Float[Tensor, "b places words"]) -> Float[Tensor, "b places words"]:
        """Return the maps; a hook may return others."""
        return maps


def attend(
    query: Float[Tensor, "b heads places d"],
    key: Float[Tensor, "b heads tokens d"],
    value: Float[Tensor, "b heads tokens d"],
    maps: WordMaps,
    tokens: Float[Tensor, "b tokens words"] | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> Float[Tensor, "b heads places d"]:
    """Return what the places attend to, with the attention to each word as a hook of `maps` leaves it.

    A word's map is its share of the attention, the mean over heads. What an edit makes of it, each head gets in
    proportion; the other words keep theirs, so that a word that is ablated leaves a gap (nothing takes its place).

    Args:
        query: of the places.
        key: of the tokens.
        value: of the tokens.
        maps: the layer.
        tokens: 1 where a token is of a word; each token is of one word at most. None where tokens are words.
        mask: added before the softmax.
        scale: of the products; else 1 / √d.
    """
    products = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    shares = (products if mask is None else products + mask).softmax(-1)
    mean = shares.mean(1)
    own = mean if tokens is None else mean @ tokens.to(mean.dtype)
    edited = maps(own)
    if edited is not own:
        times = (edited / own.clamp(min=1e-30)).where(own > 0, own.new_ones(()))
        if tokens is not None:
            times = 1 + (times - 1) @ tokens.to(mean.dtype).transpose(1, 2)
        shares = shares * times[:, None]
    return shares @ value


def name_of(path: str, part: nn.Module) -> str:
    """Return the name of a submodule as a layer.

    >>> name_of("up2.attn2.words", WordMaps()), name_of("up2", nn.Identity())
    ('up2.attn2:words', 'up2')
    """
    return f"{path.rpartition('.')[0]}{SUFFIX}" if isinstance(part, WordMaps) else path


def path_of(name: str) -> str:
    """Return the path of the submodule that a layer names.

    >>> path_of("up2.attn2:words"), path_of("up2")
    ('up2.attn2.words', 'up2')
    """
    return f"{name.removesuffix(SUFFIX)}.{SUFFIX[1:]}" if name.endswith(SUFFIX) else name
