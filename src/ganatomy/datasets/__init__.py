"""Datasets of images, with their classes and their labels of pixels."""

from ganatomy.datasets.protocol import CropSpec, ImageDataset, ImageRefs
from ganatomy.datasets.sets import open_images

__all__ = ["CropSpec", "ImageDataset", "ImageRefs", "open_images"]
