"""The built-in families: importing this registers them."""

from ganatomy.features import inception, module
from ganatomy.features.segmenter import describing_segmenter, labels_pictures

__all__ = ["describing_segmenter", "inception", "labels_pictures", "module"]
