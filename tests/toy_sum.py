"""A statistic that is added up shard by shard, and whose bits depend on the order."""

import torch
from torch import Tensor


class Sum:
    def __init__(self, total: Tensor) -> None:
        self.total = total

    def merge(self, other: "Sum") -> "Sum":
        return Sum(self.total + other.total)

    def state_dict(self) -> dict[str, Tensor]:
        return {"total": self.total}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Sum":
        return cls(state["total"])


def add_up(shard: range) -> Sum:
    return Sum(torch.stack([torch.randn(50, generator=torch.Generator().manual_seed(i)).exp() for i in shard]).sum(0))
