"""Segmenters with a method `features`, such as the bundled one: ``bundled:scenes``, ``unet:FILE``."""

import torch

from ganatomy.core.errors import BadModel
from ganatomy.models.features.protocol import FeatureNetwork
from ganatomy.models.features.registry import FEATURES
from ganatomy.models.segmenters import SEGMENTERS, Segmenter


@FEATURES.register("bundled")
def open_bundled(name: str, /, *, device: torch.device, **options: str) -> FeatureNetwork:
    """Open a bundled segmenter, which takes the options: 256 numbers an image (``bundled:scenes``)."""
    return as_features(SEGMENTERS.make("bundled", name, options, device=device), f"bundled:{name}")


@FEATURES.register("unet")
def open_unet(path: str, /, *, device: torch.device, **options: str) -> FeatureNetwork:
    """Open the network of a segmenter that ``recipes/train_segmenter.py`` made, which takes the options."""
    return as_features(SEGMENTERS.make("unet", path, options, device=device), f"unet:{path}")


def as_features(opened: Segmenter, spec: str) -> FeatureNetwork:
    """Return a segmenter as a feature network."""
    if not isinstance(opened, FeatureNetwork):
        raise BadModel(f"{spec} labels images but does not describe them by features; give bundled:scenes")
    return opened
