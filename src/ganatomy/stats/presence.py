"""How much of a sample each concept covers."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, add
from ganatomy.stats.combinations import Combinations, combine


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
        self.update_combined(labels, combine(labels, 1))

    def update_combined(self, labels: Tensor, numbered: Combinations) -> None:
        """Take in the labels [b, plane, H, W] of some images, which are numbered already."""
        seen = torch.zeros(len(labels), len(self.images), dtype=torch.bool, device=labels.device)
        seen.scatter_(1, labels.flatten(1).long(), value=True)
        seen[:, 0] = True
        self.images += seen.sum(0)
        self.pixels[numbered.concepts] += numbered.shown
