"""The generators that come with the package."""

import torch

from ganatomy.core.errors import UnknownName
from ganatomy.models.generators.protocol import Subject
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import bundled, bundled_names, card


@GENERATORS.register("bundled", argument="name", data=True)
def open_bundled(name: str, /, *, device: torch.device, **options: str) -> Subject:
    """Open bundled weights by name; their card says which family reads them, and that family takes the options.

    Raises:
        UnknownName: no such bundled generator.
        BadFile: the file is not the one that its card describes.
    """
    known = bundled_names("generator", "discriminator")
    if name not in known:
        raise UnknownName("bundled generator", name, known)
    own = card(name)
    return GENERATORS.make(own["family"], str(bundled(name)), {**own.get("options", {}), **options}, device=device)
