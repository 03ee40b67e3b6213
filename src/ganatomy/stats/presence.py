"""How much of a sample each concept covers."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, add


class Presence(Accumulator):
    """How many images contain each concept, and how many images there were.

    Attributes:
        images: int64 [concepts]; entry 0, the place of "nothing", counts every image.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"images": add}

    def __init__(self, concepts: int, device: torch.device | str = "cpu") -> None:
        self.images = torch.zeros(concepts, dtype=torch.long, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (labels [b, plane, H, W])."""
        (labels,) = batch
        seen = torch.zeros(len(labels), len(self.images), dtype=torch.bool, device=labels.device)
        seen.scatter_(1, labels.flatten(1).long(), value=True)
        seen[:, 0] = True
        self.images += seen.sum(0)
