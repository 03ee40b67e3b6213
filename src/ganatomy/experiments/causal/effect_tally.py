"""What is counted of edits: `PairedChange` of every concept, and the asked concept image by image."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ganatomy.stats.base import Merge, concat
from ganatomy.stats.paired import PairedChange


class EffectTally(PairedChange):
    """`PairedChange` of each way to read and each trial, in that order, and how much of the concept each image shows.

    Attributes:
        shown: int64 [images], pixels of the concept before any edit.
        edited: int64 [images, 1 + trials], pixels of the concept where the image is edited, before any edit and after
            that of each trial.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {**PairedChange.FIELDS, "shown": concat, "edited": concat}

    def __init__(self, ways: int, trials: int, concepts: int, device: torch.device | str = "cpu") -> None:
        super().__init__(ways * trials, concepts, device)
        self.shown = torch.zeros(0, dtype=torch.long, device=device)
        self.edited = torch.zeros(0, 1 + trials, dtype=torch.long, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (before [ways · trials, b, concepts], after, the same, shown [b], edited [b, 1 + trials])."""
        super().update(*batch[:2])
        self.shown = torch.cat([self.shown, batch[2]])
        self.edited = torch.cat([self.edited, batch[3]])
