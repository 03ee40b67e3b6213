"""Models of whose layer it is known which features its places are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ganatomy.models.generators import LayerShape, Observation
from ganatomy.models.generators.latents import standard_normal


@dataclass
class SparseWorld:
    """A model whose places are sums of a few features, each with a strength of 0.5 to 1.5, and of a constant.

    Attributes:
        count: how many features there are.
        active: how many of them are at a place, on average.
        rare: all but the first quarter of the features are so many times as rare.
    """

    units: int = 24
    count: int = 40
    active: float = 2.0
    rare: float = 1.0
    fingerprint: str = "sparse"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self.layers = {"a": LayerShape(self.units, 8, 8)}
        drawn = torch.randn(self.count, self.units, generator=torch.Generator().manual_seed(5))
        self.features = functional.normalize(drawn, dim=1)
        odds = torch.ones(self.count)
        odds[self.count // 4 :] /= self.rare
        self.odds = self.active * odds / odds.sum()

    def latents(self, ids: range, seed: int) -> Tensor:
        return standard_normal(ids, seed, [2, self.count, 8, 8], self.device)

    def observe(self, z: Tensor, layers: Sequence[str], edits: Sequence[Any] = ()) -> Observation:
        chance, strength = torch.special.ndtr(z).unbind(1)
        c = (chance < self.odds[:, None, None]) * (0.5 + strength)
        r = torch.einsum("bkhw,ku->buhw", c, self.features) + 0.3
        return Observation(torch.zeros(len(z), 3, 8, 8), {"a": r})
