"""Any model with directions of one layer in the place of its units: ``basis:GENERATOR?layer=L&directions=rotation``."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganatomy.errors import BadValue, UnknownName
from ganatomy.generators.directions import DIRECTIONS, Directions
from ganatomy.generators.protocol import Edit, Generator, LayerShape, Observation, Subject
from ganatomy.generators.registry import GENERATORS
from ganatomy.types import Features, Images, Latents
from ganatomy.weights import fingerprint


class BasisSubject:
    """A model whose layer is read and edited by directions; all other layers are as they were.

    What is observed at the layer are coefficients [b, k, h, w]. Edits there act on coefficients, and the features
    change by what the directions write of that change. So the coefficients of other directions stay (of an autoencoder:
    what they write), and whatever the directions do not tell of the features.

    Attributes:
        subject: the model itself.
        layer: the one that is looked at by directions.
        directions: they themselves.
        layers: shape of every layer, in forward order; of this one, directions in the place of units.
        margins: as the model has them.
        turned: this layer, and those that were looked at by directions already.

    Raises:
        UnknownName: the model has no such layer.
        BadValue: the directions are of another number of units.
    """

    def __init__(self, subject: Subject, layer: str, directions: Directions) -> None:
        if layer not in subject.layers:
            raise UnknownName("layer", layer, subject.layers)
        shape, (k, units) = subject.layers[layer], directions.reads.shape
        if units != shape.units:
            raise BadValue(f"these are directions of {units} units; {layer} has {shape.units}")
        self.subject, self.layer, self.device = subject, layer, subject.device
        self.directions, self._orthogonal = directions.to(subject.device), directions.orthogonal
        self.layers: Mapping[str, LayerShape] = {**subject.layers, layer: shape._replace(units=k)}
        self.margins: Mapping[str, int] = getattr(subject, "margins", {})
        self.turned: tuple[str, ...] = (*getattr(subject, "turned", ()), layer)
        self.fingerprint = fingerprint({}, "basis", subject.fingerprint, layer, directions.fingerprint)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids."""
        return self.subject.latents(ids, seed)

    @torch.no_grad()
    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Show the images and read every asked layer in one forward pass, edits made on the way."""
        inside = self._inside(edits)
        seen = self.subject.observe(z, layers, inside)
        if self.layer not in layers:
            return seen
        edited = [edit.left for edit in inside if isinstance(edit, _Moved) and edit.layer == self.layer]
        coefficients = edited[0] if edited else self.directions.encode(seen.features[self.layer])
        return dataclasses.replace(seen, features={**seen.features, self.layer: coefficients})

    def _inside(self, edits: Sequence[Edit]) -> list[Edit]:
        """Return the edits as the model itself takes them: those of the layer as one, of its features."""
        own = [edit for edit in edits if edit.layer == self.layer]
        others = [edit for edit in edits if edit.layer != self.layer]
        return [*others, _Moved(self.layer, self.directions, own)] if own else others


class BasisGenerator(BasisSubject):
    """A generator whose layer is read and edited by directions."""

    subject: Generator

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Draw the images with the layer's output, or its coefficients, replaced by `r`. Differentiable in r.

        What the directions do not tell is that of the image as it is without edits; to know it takes a forward pass
        more. Orthogonal directions, as many as units, tell all.
        """
        if layer == self.layer:
            for edit in edits:
                r = edit(r) if edit.layer == layer else r
            r, edits = self._features(r, z), [edit for edit in edits if edit.layer != layer]
        inside = self._inside(edits)
        return self.subject.render(r, layer, z, inside) if inside else self.subject.render(r, layer, z)

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Draw the images with edits at any layers, in one forward pass without gradients."""
        return self.observe(z, (), edits).images

    def _features(self, c: Tensor, z: Latents) -> Features:
        """Return the features that have these coefficients."""
        if self._orthogonal:
            return self.directions.decode(c)
        r = self.subject.observe(z, [self.layer]).features[self.layer]
        return self.directions.moved(r, self.directions.encode(r), c)


class _Moved:
    """Edits of coefficients as one edit of features; it remembers the coefficients that it left."""

    def __init__(self, layer: str, directions: Directions, edits: Sequence[Edit]) -> None:
        self.layer, self._directions, self._edits = layer, directions, edits
        self.left: Tensor

    def __call__(self, r: Features) -> Features:
        before = self.left = self._directions.encode(r)
        for edit in self._edits:
            self.left = edit(self.left)
        return self._directions.moved(r, before, self.left)


def in_basis(subject: Subject, layer: str, directions: Directions) -> BasisSubject:
    """Return a model with directions of one layer in the place of its units; a generator, if it is one.

    >>> from ganatomy.generators import open_generator
    >>> sums = torch.tensor([[1.0, 1.0, *[0.0] * 10], [1.0, -1.0, *[0.0] * 10]])  # of the first two of twelve units
    >>> model = in_basis(open_generator("planted"), "layer1", Directions.linear(sums))
    >>> model.layers["layer1"]
    LayerShape(units=2, height=8, width=8)
    """
    if isinstance(subject, Generator):
        return BasisGenerator(subject, layer, directions)
    return BasisSubject(subject, layer, directions)


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
    pictures: str = "",
    tensor: str = "",
    activation: str = "",
    **options: str,
) -> BasisSubject:
    """Open a model by name, with directions of one layer in the place of its units.

    Args:
        argument: the model's name, without its options.
        device: where it shall compute.
        layer: which.
        directions: ``rotation``, ``pca``, or a file.
        seed, amount, count: of `rotation`.
        pictures: of `principal`, which takes `seed` and `count` too.
        tensor, activation: of `read_directions`.
        options: the model's.

    Raises:
        UnknownName: no such model, layer or option; or an option that these directions do not take.
        BadFile, BadValue, BadModel: the model, or the directions, are not what they should be.
    """
    if not argument or not layer or not directions:
        raise BadValue("basis takes a model, a layer and directions: basis:bundled:church?layer=layer4&directions=pca")
    family, _, inner = argument.partition(":")
    subject = GENERATORS.make(family, inner, options, device=device)
    if layer not in subject.layers:
        raise UnknownName("layer", layer, subject.layers)
    given = {"seed": seed, "amount": amount, "count": count}
    given |= {"pictures": pictures, "tensor": tensor, "activation": activation}
    asked = {name: text for name, text in given.items() if text}
    kind = directions if directions in DIRECTIONS.names() and directions != "file" else "file"
    return in_basis(subject, layer, DIRECTIONS.make(kind, directions, asked, subject=subject, layer=layer))
