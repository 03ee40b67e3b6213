"""A model with features of a sparse autoencoder in place of a layer's units: ``sae:GENERATOR?layer=L&file=DIR``."""

from dataclasses import dataclass

import torch

from ganatomy.core.errors import BadModel, BadValue, UnknownName
from ganatomy.models.generators.autoencoders import read_autoencoder
from ganatomy.models.generators.basis import BasisSubject, in_basis
from ganatomy.models.generators.directions import SAMPLE
from ganatomy.models.generators.protocol import check_layers
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import bundled, bundled_names

IMAGES = 8


@GENERATORS.register("sae", argument="model", fixed="its units are features of an autoencoder, which has its own file")
def open_sae(
    argument: str,
    /,
    *,
    device: torch.device,
    layer: str = "",
    file: str = "",
    activation: str = "",
    **options: str,
) -> BasisSubject:
    """Open a model by name, with the features of an autoencoder in place of the units of one layer.

    Args:
        argument: the model's name, without its options.
        device: to run on.
        layer: that the autoencoder was trained on; ``NAME~update`` for what a block adds to its input.
        file: a file or directory, see `read_autoencoder`; or ``bundled:NAME``.
        activation: instead of what the file says.
        options: the model's.

    Raises:
        UnknownName: no such model, layer, option or activation.
        BadFile, BadValue, BadModel: the model, or the autoencoder, are not what they should be.
    """
    if not argument or not layer or not file:
        raise BadValue("sae takes a model, a layer and a file: sae:bundled:church?layer=layer5&file=DIR")
    family, _, inner = argument.partition(":")
    subject = GENERATORS.make(family, inner, options, device=device)
    check_layers([layer], subject.layers)
    kind, _, name = file.partition(":")
    if kind == "bundled":
        if name not in (known := bundled_names("sae")):
            raise UnknownName("bundled autoencoder", name, known)
        file = str(bundled(name))
    directions = read_autoencoder(file, layer, subject.layers[layer].units, activation)
    return in_basis(subject, layer, directions)


@dataclass(frozen=True)
class Reconstruction:
    """How well an autoencoder rebuilds a layer, over a sample of images that no dissection looks at.

    Attributes:
        explained: the part of the features' variance; less than 0 if their mean alone would do better.
        active: features that are not 0 at a place, on average (L0).
        dead: the part of the features that are 0 everywhere.
        images: how many.
    """

    explained: float
    active: float
    dead: float
    images: int

    def __str__(self) -> str:
        """Say it in a line, with a warning where the autoencoder is of no use."""
        found = (
            f"explains {100 * self.explained:.1f} % of the variance, {self.active:.1f} features active at a place, "
            f"{100 * self.dead:.1f} % never, over {self.images} images"
        )
        return found + ("" if self.explained >= 0 else "; worse than the mean: is it of this model and layer?")


@torch.no_grad()
def reconstruction(model: BasisSubject, images: int = IMAGES, seed: int = 0) -> Reconstruction:
    """Return how well the autoencoder of a model rebuilds its layer.

    Raises:
        BadModel: the layer is NaN or Inf, or the same everywhere.
    """
    inner, layer = model.subject, model.layer
    r = inner.observe(inner.latents(range(images), seed + SAMPLE), [layer]).features[layer].float()
    c = model.directions.encode(r)
    error = (r - model.directions.rebuilt(r, c)).double().square().sum()
    x = r.double()
    variance = (x - x.mean((0, 2, 3), keepdim=True)).square().sum()
    explained = 1 - float(error / variance)
    if not abs(explained) < float("inf"):
        raise BadModel(f"layer {layer} has no variance to explain: it is NaN, Inf or the same everywhere")
    used = c != 0
    dead = float((~used.movedim(1, 0).flatten(1).any(1)).double().mean())
    return Reconstruction(explained, float(used.sum(1).double().mean()), dead, images)
