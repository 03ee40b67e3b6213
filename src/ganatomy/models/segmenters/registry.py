"""The names under which segmenters are opened."""

import torch

from ganatomy.core.devices import find_device
from ganatomy.core.registry import Registry
from ganatomy.models.segmenters.protocol import Segmenter

SEGMENTERS: Registry[Segmenter] = Registry("segmenter", "device")


def open_segmenter(spec: str, device: str | torch.device = "cpu") -> Segmenter:
    """Open a segmenter by name: ``bundled:scenes``, ``colors``, ``parts:colors``, ``torch:package.module:callable``.

    Raises:
        UnknownName: no such family, model or option.
        BadFile: the weights or the vocabulary are not what they should be.
        BadModel: the module is no segmenter.
    """
    return SEGMENTERS.open(spec, device=find_device(device))
