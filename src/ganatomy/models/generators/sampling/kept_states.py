"""States between the steps of the batch that was sampled last, so that an edit at a step begins there."""

import torch

from ganatomy.core.tensor_types import Latents
from ganatomy.models.generators.sampling.protocol import State

ROOM = 1 << 28
"""Bytes of states that are kept; where those after every step take more, only every second, third … is."""


class KeptStates:
    """States of one batch, by how many steps were done; they are found again by latents, of some of its images too."""

    def __init__(self, steps: int, room: int = ROOM) -> None:
        self._steps, self._room = steps, room
        self._rows: dict[bytes, int] = {}
        self._states: dict[int, State] = {}

    def begin(self, z: Latents) -> None:
        """Forget the batch before this one."""
        self._rows = {row: i for i, row in enumerate(_rows(z))}
        self._states = {}

    def add(self, done: int, state: State) -> None:
        """Keep a state of the whole batch after so many steps, if there is room for it."""
        apart = -(-self._steps * state.nbytes // self._room)  # rounded up
        if done % max(apart, 1) == 0:
            self._states[done] = state

    def find(self, z: Latents, done: int) -> tuple[int, State, bool] | None:
        """Return the last state after no more than so many steps, how many, and whether it is of the whole batch.

        None where some of the latents are of another batch, or no state is kept.
        """
        rows = [self._rows.get(row, -1) for row in _rows(z)]
        known = [number for number in self._states if number <= done]
        if not known or -1 in rows:
            return None
        state = self._states[max(known)]
        if rows == list(range(len(state))):
            return max(known), state, True
        return max(known), state[torch.tensor(rows, device=state.x.device)], False


def _rows(z: Latents) -> list[bytes]:
    return [row.tobytes() for row in z.detach().cpu().contiguous().numpy()]
