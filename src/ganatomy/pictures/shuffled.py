"""The order in which a set's images are taken: shuffled by the seed."""

from collections.abc import Sequence

import torch

from ganatomy.errors import BadValue, UnknownName


class Shuffled:
    """Images in a fixed order, each of which belongs to a split.

    Args:
        name: what to call the set in messages.
        splits: the split of each; "" for none.
    """

    def __init__(self, name: str, splits: Sequence[str]) -> None:
        self.name = name
        self._splits = splits
        self._orders: dict[tuple[int, str], list[int]] = {}

    def numbers(self, ids: range, seed: int, split: str = "") -> list[int]:
        """Return which images a sample takes: the images of the split, shuffled by the seed."""
        order = self._order(seed, split)
        if ids and (ids.stop > len(order) or ids.start < 0):
            own = f" in its split {split}" if split else ""
            raise BadValue(
                f"the sample takes {ids.stop} images and {self.name} has {len(order)}{own}; ask for fewer images (a "
                "dissection takes twice as many as it is told; with validation=cross, just as many)"
            )
        return order[ids.start : ids.stop : ids.step]

    def _order(self, seed: int, split: str) -> list[int]:
        if split and split not in self._splits:
            raise UnknownName(f"split of {self.name}", split, dict.fromkeys(self._splits))
        if (seed, split) not in self._orders:
            own = [n for n, each in enumerate(self._splits) if split in ("", each)]
            shuffled = torch.randperm(len(own), generator=torch.Generator().manual_seed(seed))
            self._orders[seed, split] = [own[i] for i in shuffled.tolist()]
        return self._orders[seed, split]
