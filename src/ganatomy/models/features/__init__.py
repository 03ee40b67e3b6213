"""Feature networks, which describe an image by a vector: what Fréchet distances are computed from."""

from ganatomy.models.features.protocol import (
    CaptionNetwork,
    FeatureNetwork,
    WordNetwork,
    checked_texts,
    checked_vectors,
)
from ganatomy.models.features.registry import FEATURES, open_features

__all__ = [
    "FEATURES",
    "CaptionNetwork",
    "FeatureNetwork",
    "WordNetwork",
    "checked_texts",
    "checked_vectors",
    "open_features",
]
