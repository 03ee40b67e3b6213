"""A statistic that shows how it was counted, and work on which something befalls whoever counts it."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from ganatomy.core.errors import UnknownName
from ganatomy.stats.base import Accumulator, Merge, add, concat

BALLAST = 200_000
"""Numbers that make a result too large to travel inside a message."""


class Counted(Accumulator):
    """Ids in the order in which they were merged, their sum, and who counted: process, and what it calls its work."""

    FIELDS: ClassVar[Mapping[str, Merge]] = {"ids": concat, "total": add, "who": concat, "ballast": add}

    def __init__(self) -> None:
        self.ids = torch.zeros(0, dtype=torch.long)
        self.total = torch.zeros((), dtype=torch.float64)
        self.who = torch.zeros(0, 2, dtype=torch.long)
        self.ballast = torch.ones(BALLAST, dtype=torch.bool)

    def update(self, *batch: torch.Tensor) -> None:
        self.ids = torch.cat([self.ids, batch[0]])
        self.total = self.total + (batch[0].double() / 7).sum()


def shards(count: int, size: int = 3) -> list[range]:
    return [range(size * i, size * i + size) for i in range(count)]


def count(ids: range) -> Counted:
    found = Counted()
    found.update(torch.tensor(ids))
    found.who = torch.tensor([[os.getpid(), 0]])
    return found


def count_slowly(pause: float, ids: range) -> Counted:
    time.sleep(pause)
    return count(ids)


def once(mark: Path) -> bool:
    """Return whether this is the first time, whichever process asks."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def count_or_die(place: Path, fatal: int, how: str, ids: range) -> Counted:
    """Count, but the first process that comes to some shard meets with an accident."""
    if fatal in ids and (how == "always" or once(place / "dead")):
        if how == "short":
            raise MemoryError("no more")
        time.sleep(0.3)  # so that what it counted before is known
        os.kill(os.getpid(), signal.SIGKILL)
    return count(ids)


def count_or_wait(place: Path, first: int, ids: range) -> Counted:
    """Count; one shard says on which machine it is, and waits until a file is there."""
    if first in ids and once(place / "waits"):
        import ray

        (place / "begun").write_text(ray.get_runtime_context().get_node_id())
        while not (place / "go").exists():
            time.sleep(0.05)
    (place / f"counted-{ids.start}").touch()
    return count(ids)


def refuse(ids: range) -> Counted:
    error = UnknownName("layer", "conv", ["conv1", "conv2"])
    error.add_note(f"at {ids.start}")
    raise error
