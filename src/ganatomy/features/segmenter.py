"""Segmenters that describe images, too, as the bundled one does: ``bundled:scenes``, ``unet:FILE``."""

import torch

from ganatomy.errors import BadModel
from ganatomy.features.protocol import FeatureNetwork
from ganatomy.features.registry import FEATURES
from ganatomy.segmenters import SEGMENTERS, Segmenter, open_segmenter

USUAL = "bundled:scenes"


@FEATURES.register("bundled")
def open_bundled(name: str, /, *, device: torch.device, **options: str) -> FeatureNetwork:
    """Open a bundled segmenter, which takes the options: 256 numbers an image (``bundled:scenes``)."""
    return _describing(SEGMENTERS.make("bundled", name, options, device=device), f"bundled:{name}")


@FEATURES.register("unet")
def open_unet(path: str, /, *, device: torch.device, **options: str) -> FeatureNetwork:
    """Open the network of a segmenter that ``recipes/train_segmenter.py`` made, which takes the options."""
    return _describing(SEGMENTERS.make("unet", path, options, device=device), f"unet:{path}")


def labels_pictures(family: str) -> bool:
    """Return whether there is such a family of segmenters."""
    return family in SEGMENTERS.names()


def describing_segmenter(spec: str, device: torch.device) -> FeatureNetwork:
    """Open a segmenter that describes images, too.

    Raises:
        BadModel: it does not.
    """
    return _describing(open_segmenter(spec, device), spec)


def _describing(opened: Segmenter, spec: str) -> FeatureNetwork:
    if not isinstance(opened, FeatureNetwork):
        raise BadModel(f"{spec} labels images but does not describe them by features; give {USUAL}")
    return opened
