"""A model with features of a sparse autoencoder in place of a layer's units: ``sae:GENERATOR?layer=L&file=DIR``."""

import torch

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.models.generators.autoencoders import read_autoencoder
from ganatomy.models.generators.basis import BasisSubject, in_basis
from ganatomy.models.generators.protocol import layers_at
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import bundled, bundled_names


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
        layer: that the autoencoder was trained on; ``NAME~update`` for what a block adds to its input, ``NAME@1..8``
            for a block at these steps.
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
    units = subject.layers[layers_at(layer, subject.layers)[0]].units
    kind, _, name = file.partition(":")
    if kind == "bundled":
        if name not in (known := bundled_names("sae")):
            raise UnknownName("bundled autoencoder", name, known)
        file = str(bundled(name))
    directions = read_autoencoder(file, layer, units, activation)
    return in_basis(subject, layer, directions)
