"""The images that a unit likes best."""

from collections.abc import Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge

T = TypeVar("T", bound="TopImages")


class TopImages(Accumulator):
    """For every unit the k images with the greatest value, greatest first, ties to the lower id.

    Attributes:
        values: float32 [u, k]; -inf where fewer than k images were seen.
        ids: int64 [u, k]; -1 there.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"values": torch.maximum, "ids": torch.maximum}  # `merge` joins the pair

    def __init__(self, units: int, k: int, device: torch.device | str = "cpu") -> None:
        self.values = torch.full((units, k), -torch.inf, device=device)
        self.ids = torch.full((units, k), -1, dtype=torch.long, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (values [b, u], ids [b])."""
        values, ids = batch
        self._take(values.T, ids.expand(values.shape[1], -1))

    def merge(self: T, other: T) -> T:
        """Return the best of both."""
        super().merge(other)  # checks that they fit
        merged = type(self).from_state(self.state_dict())
        merged._take(other.values, other.ids)
        return merged

    def _take(self, values: Tensor, ids: Tensor) -> None:
        k = self.values.shape[1]
        values, ids = torch.cat([self.values, values], 1), torch.cat([self.ids, ids], 1)
        by_id = ids.argsort(dim=1, stable=True)
        order = values.gather(1, by_id).argsort(dim=1, descending=True, stable=True)
        best = by_id.gather(1, order[:, :k])
        self.values, self.ids = values.gather(1, best), ids.gather(1, best)
