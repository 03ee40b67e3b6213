"""Any model with directions of one layer in place of its units: ``basis:GENERATOR?layer=L&directions=rotation``."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadValue, GanatomyError
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators.directions import DIRECTIONS, Directions
from ganatomy.models.generators.protocol import (
    Edit,
    Generator,
    Layers,
    LayerShape,
    Observation,
    Subject,
    applied,
    forward_order,
    in_pairs,
    layer_facts,
    layers_at,
    listed_layers,
    prompts_of,
)
from ganatomy.models.generators.reconstruction import reconstructions
from ganatomy.models.generators.registry import GENERATORS


class BasisSubject:
    """A model whose layer is read and edited by directions; all other layers are as they were.

    Of a model that makes an image in steps, the layer may be a block at several steps, ``up2@1..8``: each of these
    layers is read by the same directions.

    The features of the layer are coefficients [b, k, h, w]. Edits there act on coefficients, and the features of the
    model change by what the directions write of that change. So the coefficients of other directions stay (of an
    autoencoder: what they write), and the part of the features that no direction reads.

    Attributes:
        subject: the model itself.
        layer: what was asked for; `at` are the layers that it stands for, and `middle` the one in their middle.
        layers: shape of every layer, in forward order; of this one, directions in place of units.
        listed: those that are meant where none are named.
        rotated: the layers that are read by directions, these and those of the model, with `Directions.numbers`.

    Raises:
        UnknownName: the model has no such layer.
        BadValue: the directions are of another number of units.
    """

    def __init__(self, subject: Subject, layer: str, directions: Directions) -> None:
        self.at = layers_at(layer, subject.layers)
        self.middle = self.at[(len(self.at) - 1) // 2]
        shapes, (k, units) = {name: subject.layers[name] for name in self.at}, directions.reads.shape
        for shape in shapes.values():
            if units != shape.units:
                raise BadValue(f"these are directions of {units} units; {layer} has {shape.units}")
        self.subject, self.layer, self.device = subject, layer, subject.device
        self.directions, self._orthogonal = directions.to(subject.device), directions.orthogonal
        names = sorted({*subject.layers, *self.at}, key=forward_order(subject.layers))  # an update was not among them
        own = {name: subject.layers[name] for name in names}
        own |= {name: shape._replace(units=k) for name, shape in shapes.items()}
        self.layers: Mapping[str, LayerShape] = Layers(own, subject.layers)
        listed = {*listed_layers(subject)}
        if listed.isdisjoint(self.at):
            listed.add(self.middle)
        self.listed: Mapping[str, LayerShape] = {name: own[name] for name in names if name in listed}
        self.margins: Mapping[str, int] = getattr(subject, "margins", {})
        self.prompts, self.pairs = prompts_of(subject), in_pairs(subject)
        self.rotated: dict[str, str] = {
            **getattr(subject, "rotated", {}),
            **dict.fromkeys(self.at, directions.numbers),
        }
        self.fingerprint = fingerprint({}, "basis", subject.fingerprint, layer, directions.fingerprint)

    def layer_facts(self) -> dict[str, dict[str, Any]]:
        """Return how well an autoencoder rebuilds its layers, or why that cannot be said; see `layer_facts`."""
        stated = layer_facts(self.subject)
        if self.directions.activation == "none":
            return stated
        try:
            found = reconstructions(self)
        except GanatomyError as error:
            unknown = {"sentence": f"How well the autoencoder rebuilds cannot be said: {error}."}
            return stated | dict.fromkeys(self.at, unknown)
        return stated | {
            name: {"sentence": f"The autoencoder of {name} {own}", **vars(own)} for name, own in found.items()
        }

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids."""
        return self.subject.latents(ids, seed)

    @torch.no_grad()
    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the images and the features of layers, of one forward pass without gradients; see `Subject`."""
        edits = self._model_edits(edits)
        seen = self.subject.observe(z, layers, edits)
        edited = {edit.layer: edit.after for edit in edits if isinstance(edit, _DirectionEdit)}
        own = {
            name: edited[name] if name in edited else self.directions.encode(seen.features[name])
            for name in self.at
            if name in layers
        }
        return dataclasses.replace(seen, features={**seen.features, **own}) if own else seen

    def _model_edits(self, edits: Sequence[Edit]) -> list[Edit]:
        """Return edits of the model itself: those of each layer of the directions as one edit of its features."""
        others = [edit for edit in edits if edit.layer not in self.at]
        own = {name: [edit for edit in edits if edit.layer == name] for name in self.at}
        return [*others, *(_DirectionEdit(name, self.directions, each) for name, each in own.items() if each)]


class BasisGenerator(BasisSubject):
    """A generator whose layer is read and edited by directions."""

    subject: Generator

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the images with the layer's output, or its coefficients, replaced by `r`; see `Generator`.

        What no direction reads is that of the image without edits, which takes another forward pass. Orthogonal
        directions, as many as units, read all.
        """
        if layer in self.at:
            c = applied([edit for edit in edits if edit.layer == layer], r)
            edits = [edit for edit in edits if edit.layer != layer]
            if self._orthogonal:
                r = self.directions.decode(c)
            else:
                r = self.subject.observe(z, [layer]).features[layer]
                r = self.directions.moved(r, self.directions.encode(r), c)
        edits = self._model_edits(edits)
        return self.subject.render(r, layer, z, edits) if edits else self.subject.render(r, layer, z)

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits at any layers, of one forward pass without gradients."""
        return self.observe(z, (), edits).images


class _DirectionEdit:
    """Edits of coefficients as one edit of features; it keeps the coefficients `after` it."""

    def __init__(self, layer: str, directions: Directions, edits: Sequence[Edit]) -> None:
        self.layer, self._directions, self._edits = layer, directions, edits
        self.after: Tensor

    def __call__(self, r: Features) -> Features:
        before = self._directions.encode(r)
        self.after = applied(self._edits, before)
        return self._directions.moved(r, before, self.after)


def in_basis(subject: Subject, layer: str, directions: Directions) -> BasisSubject:
    """Return a model with directions of one layer in place of its units; a generator, if it is one.

    >>> from ganatomy.models.generators import open_generator
    >>> sums = torch.tensor([[1.0, 1.0, *[0.0] * 10], [1.0, -1.0, *[0.0] * 10]])  # of the first two of twelve units
    >>> model = in_basis(open_generator("planted"), "layer1", Directions.linear(sums))
    >>> model.layers["layer1"]
    LayerShape(units=2, height=8, width=8)
    """
    if isinstance(subject, Generator):
        return BasisGenerator(subject, layer, directions)
    return BasisSubject(subject, layer, directions)


def without_basis(subject: Subject) -> Subject:
    """Return the model in whose layers directions stand for units, which has the same latents; others themselves."""
    while isinstance(subject, BasisSubject):
        subject = subject.subject
    return subject


@GENERATORS.register("basis", argument="model", fixed="its units are directions, which no weights of one unit make")
def open_basis(
    argument: str,
    /,
    *,
    device: torch.device,
    layer: str = "",
    directions: str = "",
    seed: str = "",
    amount: str = "",
    count: str = "",
    images: str = "",
    tensor: str = "",
    activation: str = "",
    **options: str,
) -> BasisSubject:
    """Open a model by name, with directions of one layer in place of its units.

    Args:
        argument: the model's name, without its options.
        directions: ``rotation``, ``pca``, or a file.
        seed, amount, count: of `rotation`.
        images: of `principal`, which takes `seed` and `count` too.
        tensor: of `read_directions`.
        activation: none has one; it is that of autoencoders, whose family is ``sae``.
        options: the model's.

    Raises:
        UnknownName: no such model, layer or option; or an option that these directions do not take.
        BadFile, BadValue, BadModel: the model, or the directions, are not what they should be.
    """
    if not argument or not layer or not directions:
        raise BadValue("basis takes a model, a layer and directions: basis:bundled:church?layer=layer4&directions=pca")
    if activation:
        raise BadValue(
            f"activation={activation} is of an autoencoder; open that as sae:{argument}?layer={layer}&file=FILE"
        )
    family, _, inner = argument.partition(":")
    subject = GENERATORS.make(family, inner, options, device=device)
    layers_at(layer, subject.layers)
    given = {"seed": seed, "amount": amount, "count": count}
    given |= {"images": images, "tensor": tensor}
    options = {name: text for name, text in given.items() if text}
    kind = directions if directions in DIRECTIONS.names() and directions != "file" else "file"
    return in_basis(subject, layer, DIRECTIONS.make(kind, directions, options, subject=subject, layer=layer))
