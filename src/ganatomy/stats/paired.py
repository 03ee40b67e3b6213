"""What edits do to the share of pixels that shows each concept, image by image: means, changes, errors."""

import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, add

SURE = 2.0
"""A number is clearly not zero where it is beyond so many standard errors."""


def holds_zero(value: float, error: float) -> bool:
    """Whether the interval of two standard errors around a value holds zero; not where the error is unknown.

    >>> holds_zero(0.03, 0.02), holds_zero(-0.05, 0.02), holds_zero(0.0, 0.0), holds_zero(0.03, float("nan"))
    (True, False, True, False)
    """
    return math.isfinite(value) and bool(abs(value) <= SURE * error)


class Change(NamedTuple):
    """Means over the images, each float64 [trials, concepts]: shares of pixels that show the concept, and changes.

    Errors are standard errors over images; `relative` is change / before (a ratio of means, its error to first order),
    NaN where `before` is not clearly above zero.
    """

    before: Tensor
    after: Tensor
    change: Tensor
    change_error: Tensor
    relative: Tensor
    relative_error: Tensor


class PairedChange(Accumulator):
    """Pixel counts of the same images before and after each of several trials: int64 sums, squares and products.

    All images of a trial are counted over equally many pixels.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = dict.fromkeys(
        ("images", "pixels", "before", "after", "before2", "after2", "product"), add
    )

    def __init__(self, trials: int, concepts: int, device: torch.device | str = "cpu") -> None:
        self.images = torch.zeros(1, dtype=torch.long, device=device)
        self.pixels = torch.zeros(trials, dtype=torch.long, device=device)
        for name in ("before", "after", "before2", "after2", "product"):
            setattr(self, name, torch.zeros(trials, concepts, dtype=torch.long, device=device))

    before: Tensor
    after: Tensor
    before2: Tensor
    after2: Tensor
    product: Tensor

    def update(self, *batch: Tensor) -> None:
        """Take in (before [trials, b, concepts], after [trials, b, concepts]), as `concept_counts` gives them."""
        before, after = batch
        self.images += before.shape[1]
        self.pixels += before[:, :, 0].sum(1)
        self.before += before.sum(1)
        self.after += after.sum(1)
        self.before2 += before.square().sum(1)
        self.after2 += after.square().sum(1)
        self.product += (before * after).sum(1)

    def read(self) -> Change:
        """Return means, changes and their errors."""
        n = self.images.double()
        area = (self.pixels.double() / n)[:, None]
        before, after = self.before.double() / n / area, self.after.double() / n / area
        known = before > SURE * self._error(torch.ones_like(before), after=0.0) / area
        relative = torch.where(known, (after - before) / before, torch.nan)
        return Change(
            before=before,
            after=after,
            change=after - before,
            change_error=self._error(torch.ones_like(before)) / area,
            relative=relative,
            relative_error=self._error(1 + relative) / area / before,
        )

    def _error(self, slope: Float64[Tensor, "t c"], after: float = 1.0) -> Float64[Tensor, "t c"]:
        """Return the standard error of the mean of after × after - slope × before, in pixels; NaN for one image."""
        n = self.images.double()
        mean = (after * self.after.double() - slope * self.before.double()) / n
        square = after**2 * self.after2.double() - 2 * after * slope * self.product.double()
        square += slope.square() * self.before2.double()
        variance = (square / n - mean.square()).clamp(min=0) * n / (n - 1)
        return torch.where(n > 1, variance / n, torch.nan).sqrt()
