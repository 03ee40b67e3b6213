"""Images that are given, to be encoded or covered with noise."""

from collections.abc import Callable
from typing import NamedTuple

from ganatomy.pictures import CropSpec, open_images
from ganatomy.pictures.rendered import RenderedScenes
from ganatomy.types import Features


class Given(NamedTuple):
    """A sample of images: image [1, channels, size, size] in [-1, 1] of an id and a seed; and their fingerprint."""

    picture: Callable[[int, int], Features]
    fingerprint: str


def pictures_of(name: str, size: int, channels: int) -> Given:
    """Open a set of images; what is looked at is the square in the middle of each.

    Raises:
        BadFile: no such set, or no images in it.
    """
    pictures = open_images(name)
    frame = CropSpec(size, crop=0.0 if isinstance(pictures, RenderedScenes) else 1.0)

    def picture(i: int, seed: int) -> Features:
        image = pictures.images(pictures.sample_indices(range(i, i + 1), seed), frame)
        return image.mean(1, keepdim=True) if channels == 1 else image

    return Given(picture, pictures.fingerprint)
