"""How long a study takes with many workers: engines simulated, event by event, from the costs of one shard."""

import heapq
import math
import random
from dataclasses import dataclass
from typing import Any

from ganatomy.engines.merge_tree import AHEAD
from ganatomy.engines.ray import RECEIVED
from ganatomy.study.sharded import SAVE_RATIO

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
SPREAD = 0.05
"""Shards take so much more or less than the mean, as one standard deviation."""


@dataclass(frozen=True)
class Costs:
    """What a shard costs, in processor seconds.

    Attributes:
        name: of the case.
        work: drawing, segmenting and counting.
        transfer: at either end, to send or to receive its result.
        merge: of two results.
        keep: to write what is merged.
        bytes: of a result.
        images: of a shard.
        start: until a worker has opened its models.
        alone: what is not counted by the shard, in all.
    """

    name: str
    work: float
    transfer: float
    merge: float
    keep: float
    bytes: int
    images: int
    start: float = 0.0
    alone: float = 0.0


class Step:
    """One step being counted: workers take shards in their order, and the driver takes in blocks in theirs.

    Attributes:
        time: when the driver is done with what it has.
        driver: seconds in which it was busy.
        blocked: seconds of workers that waited for it.
        idle: seconds of workers after their last shard.
    """

    def __init__(self, costs: Costs, workers: int, shards: int, levels: int) -> None:
        self.costs, self.workers, self.shards, self.levels = costs, workers, shards, levels
        self.time = self.driver = self.blocked = self.idle = 0.0
        self._ended: list[float] = []  # of each shard that is taken
        self._handed = [0.0]  # when so many blocks were handed over
        self._kept = 0.0

    def run(self, seed: int = 0) -> "Step":
        """Let it happen; a shard may be taken once a worker is free, and the driver not too far behind."""
        spread, free = random.Random(seed), [0.0] * self.workers
        ahead = AHEAD * self.workers + ((1 << self.levels) if self.levels else 0)
        for shard in range(self.shards):
            needed = max(0, math.ceil((shard + 1 - ahead) / (1 << self.levels)))
            while len(self._handed) <= needed:
                self._hand_over()
            now = heapq.heappop(free)
            start = max(now, self._handed[needed])
            self.blocked += start - now
            self._ended.append(start + self._work() * max(0.1, spread.gauss(1, SPREAD)))
            heapq.heappush(free, self._ended[-1])
        while len(self._handed) <= self.blocks:
            self._hand_over()
        self.idle = sum(self.time - now for now in free)
        return self

    @property
    def blocks(self) -> int:
        """How many there are."""
        return math.ceil(self.shards / (1 << self.levels))

    def _work(self) -> float:
        """Return what a worker does for a shard; in a tree it fetches and merges neighbours, too."""
        own = self.costs.work + self.costs.transfer
        return own + (1 - 0.5**self.levels) * (2 * self.costs.transfer + self.costs.merge)

    def _hand_over(self) -> None:
        """Have the driver take in the next block, and write what is merged where that is worth the time."""
        block = len(self._handed) - 1
        own = self._ended[block << self.levels : (block + 1) << self.levels]
        start = max(self.time, *own)
        self.time = start + self.costs.transfer + self.costs.merge
        if self.time - self._kept >= SAVE_RATIO * self.costs.keep or block + 1 == self.blocks:
            self.time += self.costs.keep
            self._kept = self.time
        self.driver += self.time - start
        self._handed.append(self.time)


def levels_of(workers: int, tree: bool) -> int:
    """Return how high the tree is that an engine merges in: none of processes, and of few workers."""
    return max(0, math.ceil(math.log2(workers / RECEIVED))) if tree else 0


def project(costs: Costs, images: int, tree: bool) -> list[dict[str, Any]]:
    """Return for each number of workers how long a dissection takes, of two halves of so many images, and why.

    `busy` is the share of the time in which the driver works on results, `at_work` that in which workers count.
    """
    rows: list[dict[str, Any]] = []
    shards = math.ceil(images / costs.images)
    for workers in WORKERS:
        halves = [Step(costs, workers, shards, levels_of(workers, tree)).run(seed) for seed in range(2)]
        counting = sum(half.time for half in halves)
        whole = counting + costs.start + costs.alone
        shares = {
            "the driver": sum(half.driver + half.blocked / workers for half in halves) / whole,
            "the last shards": sum(half.idle for half in halves) / workers / whole,
            "what is not shared": (costs.start + costs.alone) / whole,
        }
        limit = max(shares, key=lambda name: shares[name])
        rows.append(
            {
                "workers": workers,
                "seconds": whole,
                "busy": sum(half.driver for half in halves) / whole,
                "at_work": 2 * shards * costs.work / workers / whole,
                "limit": limit if shares[limit] > 0.1 else "",
            }
        )
    for row in rows:
        row["times"] = rows[0]["seconds"] / row["seconds"]
    return rows
