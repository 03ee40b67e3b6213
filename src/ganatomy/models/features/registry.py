"""Feature networks by name."""

import torch

from ganatomy.core.devices import find_device
from ganatomy.core.registry import Registry
from ganatomy.models.features.protocol import FeatureNetwork

FEATURES: Registry[FeatureNetwork] = Registry("feature network", "device")


def open_features(spec: str, device: str | torch.device = "cpu") -> FeatureNetwork:
    """Open a feature network by name: ``bundled:scenes``, ``inception``, ``torch:package.module:callable``.

    Raises:
        UnknownName: no such family, model or option.
        BadFile: the weights are not what they should be, or not fetched yet.
        BadModel: it does not describe images.

    >>> open_features("bundled:scenes?size=64").features(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 256])
    """
    from ganatomy.models.features.segmenter import as_features
    from ganatomy.models.segmenters import SEGMENTERS, open_segmenter

    family, device = spec.partition("?")[0].partition(":")[0], find_device(device)
    if family not in FEATURES.names() and family in SEGMENTERS.names():
        return as_features(open_segmenter(spec, device), spec)
    return FEATURES.open(spec, device=device)
