"""From pixel counts to scores: IoU, pixel accuracy, the information quality ratio, and the levels that they choose.

All functions are pure. Counts come as `Agreement.counts_of` returns them: unit × concept × bin, row 0 every pixel.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int, Integer
from torch import Tensor

from ganatomy.core.errors import BadValue

Counts = Integer[Tensor, "u c bins"]
Table = Float64[Tensor, "u c l"]
PerPair = Float64[Tensor, "u c"]
Level = Int[Tensor, "u c"]

NO_LEVEL = -1


class Rates(NamedTuple):
    """Shares of all pixels at each level, float64 [u, c, l]: they sum to 1."""

    on_and_shown: Table
    on_only: Table
    shown_only: Table
    neither: Table


def rates(counts: Counts) -> Rates:
    """Return how often a unit is on (activation > level) and a concept is shown, at every level.

    >>> shares = rates(torch.tensor([[[5, 5], [1, 3]]]))
    >>> shares.on_and_shown[0, 1].item(), shares.on_only[0, 1].item()
    (0.3, 0.2)
    """
    above = counts.double().flip(-1).cumsum(-1).flip(-1)
    pixels = above[:, :1, :1]
    both = above[..., 1:]
    on, shown = both[:, :1], above[..., :1]
    return Rates(*(x / pixels for x in (both, on - both, shown - both, pixels - on - shown + both)))


def iou(r: Rates) -> Table:
    """Return p11 / (p11 + p10 + p01), 0 where neither is ever there (Eqn 2)."""
    union = r.on_and_shown + r.on_only + r.shown_only
    return torch.where(union > 0, r.on_and_shown / union, torch.zeros_like(union))


def accuracy(r: Rates) -> Table:
    """Return the share of pixels where unit and concept agree, p11 + p00."""
    return r.on_and_shown + r.neither


def information_quality(r: Rates) -> Table:
    """Return the information quality ratio I/H of unit mask and concept mask, 0 where H = 0 (Eqn 2)."""
    on, shown = r.on_and_shown + r.on_only, r.on_and_shown + r.shown_only
    entropy, margins = _entropy(*r), _entropy(on, 1 - on, shown, 1 - shown)
    return torch.where(entropy > 0, (margins - entropy) / entropy, torch.zeros_like(entropy)).clamp(min=0)


def _entropy(*shares: Tensor) -> Tensor:
    total = torch.zeros_like(shares[0])
    for p in shares:
        p = p.clamp(min=0)
        total -= torch.xlogy(p, p)
    return total


def positive(r: Rates) -> Tensor:
    """Return where unit and concept go together more often than by chance, bool [u, c, l]."""
    on, shown = r.on_and_shown + r.on_only, r.on_and_shown + r.shown_only
    return r.on_and_shown > on * shown


def candidates(shares: Rates, levels: Float64[Tensor, "u l"], rule: str, rare: float = 0.0) -> Bool[Tensor, "u c l"]:
    """Return the levels of each pair that a rule may choose: those of positive association (SPEC 2).

    Args:
        levels: activations, ascending.
        rule: see `choose_levels`. ``unit`` also asks for accuracy > 0.8, an activation > 0 and a concept that covers at
            least the share `rare` of the pixels, as the published code does.
        rare: that share.
    """
    candidate = positive(shares)
    candidate[:, 0] = False
    if rule == "unit":
        common = shares.on_and_shown + shares.shown_only >= rare
        candidate &= (accuracy(shares) > 0.8) & (levels[:, None] > 0) & common
    return candidate


def choose_levels(counts: Counts, levels: Float64[Tensor, "u l"], rule: str, rare: float = 0.0) -> Level:
    """Choose the level of every unit and concept on the validation half (SPEC 2).

    Args:
        levels: activations, ascending.
        rule: ``pair``: greatest IQR for each pair. ``max-iou``: greatest IoU for each pair. ``unit``: one level a unit,
            that of its best concept by IQR (the published code's rule).
        rare: see `candidates`.

    Returns:
        Index into the levels, the lower of equal ones; -1 where no level is a candidate.
    """
    shares = rates(counts)
    candidate = candidates(shares, levels, rule, rare)
    if rule == "max-iou":
        return _best(iou(shares), candidate)
    quality = information_quality(shares)
    if rule == "pair":
        return _best(quality, candidate)
    if rule != "unit":
        raise BadValue(f"threshold rule {rule!r} chooses no level from counts")
    best = torch.where(candidate, quality, -1.0).amax(1, keepdim=True)
    chosen = _best(best, best >= 0)
    return chosen.expand(-1, counts.shape[1]).clone()


def _best(score: Tensor, candidate: Tensor) -> Tensor:
    score = torch.where(candidate, score, -1.0)
    return torch.where(candidate.any(-1), score.argmax(-1), NO_LEVEL)


def at_level(table: Table, level: Level) -> PerPair:
    """Read a table at one level for each pair; 0 where there is none."""
    picked = table.gather(-1, level.clamp(min=0)[..., None])[..., 0]
    return torch.where(level >= 0, picked, torch.zeros_like(picked))
