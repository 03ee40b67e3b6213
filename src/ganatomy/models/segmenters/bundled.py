"""The bundled segmenters."""

import torch

from ganatomy.core.errors import UnknownName
from ganatomy.models.segmenters.protocol import Segmenter
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.weights import bundled, bundled_names, card


@SEGMENTERS.register("bundled", data=True)
def open_bundled(name: str, /, *, device: torch.device, **options: str) -> Segmenter:
    """Open bundled weights by name; their card says which family reads them, and that family takes the options."""
    known = bundled_names("segmenter")
    if name not in known:
        raise UnknownName("bundled segmenter", name, known)
    return SEGMENTERS.make(card(name)["family"], str(bundled(name)), options, device=device)
