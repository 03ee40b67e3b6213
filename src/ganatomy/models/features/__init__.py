"""Feature networks, which describe an image by a vector: what Fréchet distances are computed from."""

from ganatomy.models.features.protocol import FeatureNetwork, checked_vectors
from ganatomy.models.features.registry import FEATURES, open_features

__all__ = ["FEATURES", "FeatureNetwork", "checked_vectors", "open_features"]
