"""What every generator can do: x = f(h(z)), opened at every layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from ganatomy.types import Features, Images, Latents


class LayerShape(NamedTuple):
    """Units (channels), height and width of a layer's output."""

    units: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Observation:
    """What one forward pass showed: the pictures, and the features of every asked layer."""

    images: Images
    features: Mapping[str, Features]


@runtime_checkable
class Generator(Protocol):
    """A generative image model whose layers can be read and replaced.

    Attributes:
        layers: shape of every spatial layer, in forward order.
        fingerprint: sha256 over the names and bytes of the weights; the same weights give the same fingerprint.
        device: where it computes; latents and images live there.
    """

    layers: Mapping[str, LayerShape]
    fingerprint: str
    device: torch.device

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids; row i depends on (seed, i) only."""
        ...

    def observe(self, z: Latents, layers: Sequence[str]) -> Observation:
        """Draw the pictures and read every asked layer in one forward pass, without gradients."""
        ...

    def render(self, r: Features, layer: str, z: Latents) -> Images:
        """Draw the pictures with the layer's output replaced by `r`: f, the rest of the network. Differentiable."""
        ...
