"""Sets of images that somebody else made, with what is known of them: labels of pixels, and classes."""

from ganatomy.pictures.protocol import Frame, PictureSet, Shown
from ganatomy.pictures.sets import open_pictures

__all__ = ["Frame", "PictureSet", "Shown", "open_pictures"]
