"""The generators that come with the package."""

import torch

from ganatomy.errors import UnknownName
from ganatomy.generators.protocol import Generator
from ganatomy.generators.registry import GENERATORS
from ganatomy.weights import bundled, bundled_names, card


@GENERATORS.register("bundled")
def open_bundled(name: str, /, *, device: torch.device, **options: str) -> Generator:
    """Open bundled weights by name; their card says which family reads them, and that family takes the options.

    Raises:
        UnknownName: no such bundled generator.
        BadFile: the file is not the one that its card describes.
    """
    known = [each for each in bundled_names() if card(each)["kind"] == "generator"]
    if name not in known:
        raise UnknownName("bundled generator", name, known)
    return GENERATORS.make(card(name)["family"], str(bundled(name)), options, device=device)
