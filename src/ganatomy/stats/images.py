"""What tells the images of a sample from garbage: that there is something in them, and that they differ."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, add, join, same

ONE_COLOUR = 0.01
"""An image is plain if no channel deviates by more, as a share of the range from black to white. Of 400 images of each
bundled generator, the least does by 0.098."""
ALIKE = 0.02
"""Images are alike if, averaged to 16 × 16, they differ by less (root mean square, as a share of the range). The least
difference within 400 images of a bundled generator is 0.059."""
THUMB, COMPARED = 16, 500


class ImageSample(Accumulator):
    """How many images are plain, black and white, and small copies of some, to tell how different they are.

    Args:
        size: height and width of the images.
        count: how many images there will be; at most `COMPARED` copies are kept.

    Attributes:
        images: int64 [1].
        plain: int64 [1], how many images are of one colour.
        plain_total: int64 [1], Σ of the values of these, each from 0 to 255.
        values, black, white: int64 [1], how many values there are in all images, and how many are 0 and 255.
        step: int64 [1], of the ids of the images of which a copy is kept.
        thumbs: uint8 [kept, 3, h, w].
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **dict.fromkeys(("images", "plain", "plain_total", "values", "black", "white"), add),
        "step": same,
        "thumbs": join,
    }

    def __init__(self, size: tuple[int, int], count: int, device: torch.device | str = "cpu") -> None:
        for name in ("images", "plain", "plain_total", "values", "black", "white"):
            setattr(self, name, torch.zeros(1, dtype=torch.long, device=device))
        self.step = torch.tensor([max(1, -(-count // COMPARED))], device=device)
        height, width = (min(THUMB, side) for side in size)
        self.thumbs = torch.zeros(0, 3, height, width, dtype=torch.uint8, device=device)

    images: Tensor
    plain: Tensor
    plain_total: Tensor
    values: Tensor
    black: Tensor
    white: Tensor

    def update(self, *batch: Tensor) -> None:
        """Take in (images [b, 3, H, W] in [-1, 1], ids [b])."""
        images, ids = batch
        shown = ((images.float() + 1) * 127.5).round().clamp(0, 255)
        plain = shown.flatten(2).std(2, correction=0).amax(1) < 255 * ONE_COLOUR
        self.images += len(images)
        self.plain += plain.sum()
        self.plain_total += shown[plain].sum(dtype=torch.float64).long()
        self.values += shown.numel()
        self.black += (shown == 0).sum()
        self.white += (shown == 255).sum()
        height, width = self.thumbs.shape[2:]
        small = F.adaptive_avg_pool2d(shown[ids % self.step == 0], (height, width))
        self.thumbs = torch.cat([self.thumbs, small.round().to(torch.uint8)])

    def read(self) -> dict[str, float]:
        """Return what there is to say.

        Returns:
            images: how many. plain: the share that is of one colour. mean: the mean value of these, from 0 (black) to
            1. black, white: the share of values that are black and white. alike: the share of images to which another
            is alike.
        """
        images, plain, total, values, black, white = (
            float(getattr(self, name)) for name in ("images", "plain", "plain_total", "values", "black", "white")
        )
        return {
            "images": int(images),
            "plain": plain / max(images, 1),
            "mean": total * images / max(255 * values * plain, 1),
            "black": black / max(values, 1),
            "white": white / max(values, 1),
            "alike": _alike(self.thumbs.flatten(1).double() / 255),
        }


def _alike(thumbs: Tensor) -> float:
    """Return the share of rows to which another row is alike."""
    if len(thumbs) < 2:
        return 0.0
    distance = torch.cdist(thumbs, thumbs) / thumbs.shape[1] ** 0.5
    distance.fill_diagonal_(torch.inf)
    return float((distance.amin(1) < ALIKE).double().mean())
