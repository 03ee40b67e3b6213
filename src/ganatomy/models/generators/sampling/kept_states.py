"""States between the steps of batches that were sampled, so that an edit at a step begins there, to the same bits."""

import hashlib
from collections import OrderedDict

from torch import Tensor

from ganatomy.core.tensor_types import Latents
from ganatomy.models.generators.sampling.protocol import State

ROOM = 1 << 28
"""Bytes of states that are kept. Where those after every step of a batch take more than half, every second, third …
is."""
IMAGES = 256
"""Images whose states are kept: what is edited comes again soon, and long runs soon have what they ever hold."""


class KeptStates:
    """States without edits of the batches that were asked for last, as many as there is room for.

    A state is found again for the same latents in the same order only: rounding differs between batches, so rows of
    another batch would make what is drawn depend on what was drawn before.
    """

    def __init__(self, steps: int, room: int = ROOM) -> None:
        self._steps, self.room = steps, room
        self._batches: OrderedDict[bytes, dict[int, State]] = OrderedDict()

    def add(self, z: Latents, done: int, state: State) -> None:
        """Keep the state of a batch after so many steps, if there is room for it; forget the oldest batches."""
        apart = -(-self._steps * state.nbytes // (self.room // 2))  # rounded up
        if done % max(apart, 1) == 0:
            self._batches.setdefault(_key(z), {})[done] = state
        while len(self._batches) > 1 and (self.nbytes > self.room or self.images > IMAGES):
            self._batches.popitem(last=False)

    def find(self, z: Latents, done: int) -> tuple[int, State] | None:
        """Return the last state of a batch after no more than so many steps, and how many, if there is one."""
        own = self._batches.get(_key(z), {})
        known = [number for number in own if number <= done]
        if not known:
            return None
        self._batches.move_to_end(_key(z))
        return max(known), own[max(known)]

    @property
    def images(self) -> int:
        """Images of all batches."""
        return sum(len(next(iter(own.values()))) for own in self._batches.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(state.nbytes for own in self._batches.values() for state in own.values())


def unique_rows(z: Latents) -> tuple[Tensor, Tensor | None]:
    """Return the different latents in the order in which they first come, and the number of each row's among them.

    The numbers are None where all are different.

    >>> import torch
    >>> unique_rows(torch.tensor([[3.0], [1.0], [3.0]]))
    (tensor([[3.],
            [1.]]), tensor([0, 1, 0]))
    """
    numbers: dict[bytes, int] = {}
    rows = [numbers.setdefault(_key(row), len(numbers)) for row in z]
    if len(numbers) == len(z):
        return z, None
    first = [rows.index(number) for number in range(len(numbers))]
    return z[first], z.new_tensor(rows).long()


def _key(z: Tensor) -> bytes:
    return hashlib.sha256(z.detach().cpu().numpy().tobytes()).digest()
