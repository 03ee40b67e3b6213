"""What every model that is dissected can do; and every generator: x = f(h(z)), opened at every layer."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.layer_steps import at_step, each_step, split_layer, updated
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.datasets import ImageRefs


class LayerShape(NamedTuple):
    """Units (channels), height and width of a layer's output."""

    units: int
    height: int
    width: int


@runtime_checkable
class Edit(Protocol):
    """A function of a layer's output, applied in the forward pass, such as `ganatomy.interventions.Intervention`."""

    @property
    def layer(self) -> str:
        """The name of the layer."""
        ...

    def __call__(self, r: Features) -> Features:
        """Return the edited features."""
        ...


@dataclass(frozen=True, eq=False)
class Observation:
    """The images of one forward pass, and the features of every layer that was asked for.

    Attributes:
        shown: which images these are, where they were given and not generated; their labels may be known.
    """

    images: Images
    features: Mapping[str, Features]
    shown: ImageRefs | None = None


@runtime_checkable
class Subject(Protocol):
    """A model of images whose layers can be read: all that a dissection needs.

    Attributes:
        layers: shape of every spatial layer, in forward order.
        fingerprint: sha256 over the names and bytes of the weights; the same weights give the same fingerprint.
        device: where it computes; latents and images are there.
    """

    layers: Mapping[str, LayerShape]
    fingerprint: str
    device: torch.device

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids; row i depends on (seed, i) only."""
        ...

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the images and the features of layers, of one forward pass without gradients.

        Edits are applied at their layers, those of one layer in their order; the features are those after the edits.
        """
        ...


@runtime_checkable
class Generator(Subject, Protocol):
    """A generative image model whose layers can be read and replaced."""

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the images with the layer's output replaced by `r`: f, the rest of the network. Differentiable in r.

        Edits of the layer are applied to r, those of later layers there.

        Raises:
            UnknownName: no such layer.
            BadValue: an edit is of an earlier layer, where it would be lost.
        """
        ...

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits at any layers, of one forward pass without gradients."""
        ...


Visit = Callable[[str, Tensor], Tensor]
"""Is called with the name and output of every layer; what it returns is used instead."""


class StepwiseGenerator:
    """A generator that computes its layers one after the other and calls a function at each of them.

    A subclass gives the attributes of a `Subject`, `latents` and `draw`.
    """

    layers: Mapping[str, LayerShape]

    def draw(self, z: Latents, visit: Visit, start: str | None = None) -> Images:
        """Return the images; nothing before layer `start` need be computed, and its output is what `visit` returns."""
        raise NotImplementedError

    @torch.no_grad()
    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the images and the features of layers, of one forward pass without gradients; see `Subject`."""
        planned, features = edits_by_layer(edits), dict[str, Tensor]()
        check_layers((*layers, *planned), self.layers)

        def visit(name: str, x: Tensor) -> Tensor:
            r = applied(planned.get(name, ()), x)
            if name in layers:
                features[name] = r
            return r

        images = self.draw(z, visit)
        return Observation(images, {name: features[name] for name in layers})

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the images with the layer's output replaced by `r`; see `Generator`."""
        planned = onward_edits(edits, layer, self.layers)
        r = applied(planned.pop(layer, ()), r)
        return self.draw(z, lambda name, x: r if name == layer else applied(planned.get(name, ()), x), layer)

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits at any layers, of one forward pass without gradients."""
        return self.observe(z, (), edits).images

    def differentiable(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits; they are differentiable in z, and in the values of the edits."""
        planned = edits_by_layer(edits)
        check_layers(list(planned), self.layers)
        return self.draw(z, lambda name, x: applied(planned.get(name, ()), x))


def check_layers(names: Sequence[str], layers: Mapping[str, LayerShape]) -> None:
    """Refuse names that are not among the layers.

    Raises:
        UnknownName: names the first of them.
    """
    for name in names:
        if name not in layers:
            raise UnknownName("layer", name, layers)


def layers_at(layer: str, layers: Mapping[str, LayerShape]) -> list[str]:
    """Return the layers that a name stands for: itself, or of ``up1@1..8`` the block at each of these steps.

    Raises:
        UnknownName: one is not among the layers.
    """
    found = []
    for name in each_step(layer):
        check_layers([name], layers)
        found.append(name)
    return found


def onward_edits(edits: Sequence[Edit], layer: str, layers: Mapping[str, LayerShape]) -> dict[str, list[Edit]]:
    """Return the edits of each layer, in their order, for images that are rendered from `layer` on.

    Raises:
        UnknownName: there is no such layer, or none that an edit names.
        BadValue: an edit is of an earlier layer.
    """
    planned, order = edits_by_layer(edits), forward_order(layers)
    check_layers((layer, *planned), layers)
    for name in planned:
        if order(name) < order(layer):
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
    """Return features after edits, applied one after the other."""
    for edit in edits:
        r = edit(r)
    return r


class Layers(Mapping[str, LayerShape]):
    """The layers of a model in forward order, and their updates: those are there by name, and are not listed.

    >>> layers = Layers({"up1": LayerShape(8, 4, 4)}, {"up1~update": LayerShape(8, 4, 4)})
    >>> list(layers), "up1~update" in layers
    (['up1'], True)
    """

    def __init__(self, listed: Mapping[str, LayerShape], updates: Mapping[str, LayerShape]) -> None:
        self._listed, self._updates = listed, updates

    def __getitem__(self, layer: str) -> LayerShape:
        return self._listed[layer] if layer in self._listed else self._updates[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


def forward_order(layers: Mapping[str, LayerShape]) -> Callable[[str], float]:
    """Return a function to a number by which layers are in forward order; an update comes before its layer.

    A module that is no layer, since the block around it returns the same, comes where that does; the function refuses
    what is neither (UnknownName).

    >>> order = forward_order({"up1": LayerShape(8, 4, 4), "up2": LayerShape(8, 4, 4)})
    >>> sorted(["up2", "up2~update", "up2.conv~update", "up1"], key=order)
    ['up1', 'up2.conv~update', 'up2~update', 'up2']
    """
    numbers = {layer: float(number) for number, layer in enumerate(layers)}

    def place(layer: str) -> float:
        if layer in numbers:
            return numbers[layer]
        block, step = split_layer(updated(layer))
        names = [block.rsplit(".", depth)[0] for depth in range(block.count(".") + 1)]
        at = [at_step(name, step) for name in names]
        depth = next((depth for depth, name in enumerate(at) if name in numbers), None)
        if depth is None:
            raise UnknownName("layer", layer, layers)
        return numbers[at[depth]] - 0.5 - depth / 100

    return place


def listed_layers(generator: Subject) -> Mapping[str, LayerShape]:
    """Return the layers that are meant where none are named, in forward order: all, or those that it lists.

    A generator with very many layers, as those of every step, has an attribute ``listed``.
    """
    listed: Mapping[str, LayerShape] = getattr(generator, "listed", generator.layers)
    return listed


def prompts_of(generator: Subject) -> tuple[str, ...]:
    """Return the prompts of a text-to-image model, of which image i has number ``i % len(prompts)``; of others none."""
    return tuple(getattr(generator, "prompts", ()))


def in_pairs(generator: Subject) -> bool:
    """Return whether images i and i + 2 share their noise, i = 0, 1, 4, 5, 8 …: their prompts differ in one word."""
    return bool(getattr(generator, "pairs", False))


def layer_facts(subject: Subject) -> dict[str, dict[str, Any]]:
    """Return what a subject says of its layers beyond their shapes: a ``sentence`` each, and its numbers by name.

    Most say nothing. One that does has a method ``layer_facts``, which may look at images.
    """
    stated: dict[str, dict[str, Any]] = subject.layer_facts() if hasattr(subject, "layer_facts") else {}
    return stated


def margin(generator: Subject, layer: str) -> int:
    """Return how many places of a layer's grid lie beyond the image, on every side of it.

    A generator whose maps are wider than its images has an attribute ``margins``, by layer; whoever lays a grid over an
    image must ask for it.
    """
    margins: Mapping[str, int] = getattr(generator, "margins", {})
    return margins.get(layer, 0)


def opening_bytes(subject: Subject) -> int:
    """Return how much memory the process had at most while it opened a model; 0 where the model does not say.

    One that reads more than it keeps, such as text encoders, has an attribute ``opening_bytes``.
    """
    found: int = getattr(subject, "opening_bytes", 0)
    return found


def within_image(generator: Subject, seen: Observation) -> Observation:
    """Return an observation, its features without the places that lie beyond the image."""
    features = dict(seen.features)
    for layer, r in seen.features.items():
        if beyond := margin(generator, layer):
            features[layer] = r[..., beyond:-beyond, beyond:-beyond]
    return dataclasses.replace(seen, features=features)
