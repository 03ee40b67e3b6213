"""The effect of an edit by prompt, of a text-to-image model: the same pixels, the images of each prompt apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ganatomy.experiments.base import Tensors


@dataclass(frozen=True, eq=False)
class ByPrompt(Tensors):
    """Means over the images of each prompt, of the share of the edited pixels that shows the concept.

    Attributes:
        images: int64 [prompts].
        before: float64 [prompts].
        after: float64 [prompts, trials]: after the edit, then after that of each random set.
        error: float64 [prompts], standard error of the change by the edit, over images; NaN for one image.
    """

    images: Int64[Tensor, " prompts"]
    before: Float64[Tensor, " prompts"]
    after: Float64[Tensor, "prompts trials"]
    error: Float64[Tensor, " prompts"]

    @classmethod
    def of(cls, shares: Float64[Tensor, "images trials"], first: int, prompts: int) -> "ByPrompt":
        """Return the means of images numbered from `first` on, of which i has prompt ``i % prompts``.

        >>> shares = torch.tensor([[0.5, 0.25], [0.0, 0.0], [0.25, 0.0]], dtype=torch.float64)  # before, after
        >>> found = ByPrompt.of(shares, 0, 2)
        >>> found.images.tolist(), found.before.tolist(), found.after.tolist()
        ([2, 1], [0.375, 0.0], [[0.125], [0.0]])

        Args:
            shares: of each image, before, after the edit, and after that of each random set.
        """
        number = torch.arange(first, first + len(shares)) % prompts
        images = number.bincount(minlength=prompts)
        means = torch.zeros(prompts, shares.shape[1], dtype=torch.float64).index_add_(0, number, shares)
        means /= images[:, None]
        change = shares[:, 1] - shares[:, 0]
        apart = (change - (means[:, 1] - means[:, 0])[number]).square()
        squares = torch.zeros(prompts, dtype=torch.float64).index_add_(0, number, apart)
        error = (squares / (images - 1) / images).sqrt()
        return cls(images, means[:, 0], means[:, 1:], torch.where(images > 1, error, torch.nan))

    def table(self, prompts: Sequence[str]) -> pd.DataFrame:
        """Return one row a prompt that any image has."""
        change = self.after - self.before[:, None]
        sets = pd.DataFrame(change[:, 1:].numpy())
        table = pd.DataFrame(
            {
                "prompt": list(prompts),
                "images": self.images.numpy(),
                "before": self.before.numpy(),
                "after": self.after[:, 0].numpy(),
                "change": change[:, 0].numpy(),
                "change_error": self.error.numpy(),
                "random_change": sets.mean(axis=1),  # NaN where there are none
                "random_spread": sets.std(axis=1),
            }
        )
        return table[table.images > 0].reset_index(drop=True)
