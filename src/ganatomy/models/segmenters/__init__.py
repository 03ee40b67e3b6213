"""Segmenters: one family a file, opened by name."""

from ganatomy.models.segmenters.protocol import Scorer, Segmenter
from ganatomy.models.segmenters.registry import SEGMENTERS, open_segmenter

__all__ = ["SEGMENTERS", "Scorer", "Segmenter", "open_segmenter"]
