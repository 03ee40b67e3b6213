"""What every model that is dissected can do; and every generator: x = f(h(z)), opened at every layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from ganatomy.errors import BadValue, UnknownName
from ganatomy.pictures import ImageRefs
from ganatomy.types import Features, Images, Latents


class LayerShape(NamedTuple):
    """Units (channels), height and width of a layer's output."""

    units: int
    height: int
    width: int


@runtime_checkable
class Edit(Protocol):
    """What is done to a layer's output on the way; `ganatomy.edit.Intervention` is one."""

    @property
    def layer(self) -> str:
        """The name of the layer."""
        ...

    def __call__(self, r: Features) -> Features:
        """Return the edited features."""
        ...


@dataclass(frozen=True, eq=False)
class Observation:
    """What one forward pass showed.

    Attributes:
        images: the images.
        features: of every asked layer.
        shown: which images these are, where they were given and not drawn; their labels may be known.
    """

    images: Images
    features: Mapping[str, Features]
    shown: ImageRefs | None = None


@runtime_checkable
class Subject(Protocol):
    """A model that looks at images or draws them, and whose layers can be read: all that a dissection needs.

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

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Show the images and read every asked layer in one forward pass, without gradients.

        Edits are made at their layers, those of one layer in their order; what is read there is the edited output.
        """
        ...


@runtime_checkable
class Generator(Subject, Protocol):
    """A generative image model whose layers can be read and replaced."""

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Draw the images with the layer's output replaced by `r`: f, the rest of the network. Differentiable.

        Edits are made on the way: those of the layer itself to r, those of later layers there. An edit of an earlier
        layer would be lost, and is refused.
        """
        ...

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Draw the images with edits at any layers, in one forward pass without gradients."""
        ...


def onward_edits(edits: Sequence[Edit], layer: str, layers: Mapping[str, LayerShape]) -> dict[str, list[Edit]]:
    """Return the edits of each layer, in their order, where drawing begins at a layer.

    Raises:
        UnknownName: there is no such layer, or none that an edit names.
        BadValue: an edit is of an earlier layer.
    """
    names, planned = list(layers), edits_by_layer(edits)
    for name in (layer, *planned):
        if name not in layers:
            raise UnknownName("layer", name, layers)
    for name in planned:
        if names.index(name) < names.index(layer):
            raise BadValue(
                f"an edit of {name} would be lost: drawing begins at {layer}, which comes later; begin at {name}"
            )
    return planned


def edits_by_layer(edits: Sequence[Edit]) -> dict[str, list[Edit]]:
    """Return the edits of each layer, in their order."""
    by_layer: dict[str, list[Edit]] = {}
    for edit in edits:
        by_layer.setdefault(edit.layer, []).append(edit)
    return by_layer


def applied(edits: Sequence[Edit], r: Features) -> Features:
    """Return what a layer's edits make of its output, one after the other."""
    for edit in edits:
        r = edit(r)
    return r
