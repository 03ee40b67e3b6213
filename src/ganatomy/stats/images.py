"""What the images of a sample show: how much of each concept, and whether they differ and are more than one colour."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, add, concat, require_equal
from ganatomy.stats.combinations import Combinations, index_labels

ONE_COLOUR = 0.01
"""An image is plain if no channel deviates by more, as a share of the range from black to white. Of 400 images of each
bundled generator, the least does by 0.098."""
ALIKE = 0.02
"""Images are alike if, averaged to 16 × 16, they differ by less (root mean square, as a share of the range). The least
difference within 400 images of a bundled generator is 0.059."""
THUMB, COMPARED = 16, 500


class ImageSample(Accumulator):
    """How many images are of one colour, how many values are black and white, and small copies of some images.

    Args:
        size: height and width of the images.
        count: how many images there will be; at most `COMPARED` copies are kept.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        **dict.fromkeys(("images", "plain", "plain_total", "values", "black", "white"), add),
        "step": require_equal,
        "thumbs": concat,
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
        """Return the number of images, the share that is of one colour (plain) and their mean value in [0, 1], the
        shares of values that are black and white, and the share of images to which another one is alike.
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
    if len(thumbs) < 2:
        return 0.0
    distance = torch.cdist(thumbs, thumbs) / thumbs.shape[1] ** 0.5
    distance.fill_diagonal_(torch.inf)
    return float((distance.amin(1) < ALIKE).double().mean())


class Presence(Accumulator):
    """How many images and pixels show each concept, and how many there were.

    Attributes:
        images: int64 [concepts]; entry 0, the place of "nothing", counts every image.
        pixels: int64 [concepts]; entry 0 counts every pixel.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"images": add, "pixels": add}

    def __init__(self, concepts: int, device: torch.device | str = "cpu") -> None:
        self.images = torch.zeros(concepts, dtype=torch.long, device=device)
        self.pixels = torch.zeros_like(self.images)

    def update(self, *batch: Tensor) -> None:
        """Take in (labels [b, plane, H, W])."""
        (labels,) = batch
        self.update_combined(labels, index_labels(labels, 1))

    def update_combined(self, labels: Tensor, numbered: Combinations) -> None:
        """Take in the labels [b, plane, H, W] of some images, which are numbered already."""
        seen = torch.zeros(len(labels), len(self.images), dtype=torch.bool, device=labels.device)
        seen.scatter_(1, labels.flatten(1).long(), value=True)
        seen[:, 0] = True
        self.images += seen.sum(0)
        self.pixels[numbered.concepts] += numbered.shown
