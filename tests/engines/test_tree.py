"""Whoever is fast and whatever is lost: every shard comes once, in order, merged by the same tree."""

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake

from ganatomy.engines.merge_tree import AHEAD, QUEUED, LostResult, MergeTree, Node, Scheduler, Worker


class Pretended(Worker):
    name = "3 (cpu)"

    def assign(self, node: Node, work: range | tuple[str, str]) -> None:
        self.work = {**getattr(self, "work", {}), node: work}
        assert len(self.shards()) <= QUEUED


class Simulation(Scheduler):
    """Workers that finish, die and lose results at the draw of a lot; a result is how it was merged, written out."""

    def __init__(self, data: st.DataObject, shards: int, workers: int, levels: int) -> None:
        super().__init__([], [range(i, i + 1) for i in range(shards)], ["cpu"] * workers, levels)
        self.data, self.losses = data, data.draw(st.integers(0, 10))

    def hire(self, device: str) -> Pretended:
        return Pretended(device)

    def goes_wrong(self) -> bool:
        wrong = self.losses > 0 and self.data.draw(st.booleans())
        self.losses -= wrong
        return wrong

    def poll(self) -> None:
        worker = self.data.draw(st.sampled_from([each for each in self.workers if each.tasks or not each.ready]))
        if self.goes_wrong():
            self.replace(worker, "killed", blame=False)
        elif not worker.ready:
            worker.ready = True
        else:
            node = self.data.draw(st.sampled_from([*worker.shards()[:1], *(n for n in worker.tasks if n.level)]))
            if node.level and self.goes_wrong():
                self.lose(node, worker)
            else:
                work = worker.work[node]
                self.finish(worker, node, str(work.start) if isinstance(work, range) else f"({work[0]}+{work[1]})")

    def fetch(self, result: str) -> str:
        if self.goes_wrong():
            raise LostResult
        return result


def whole(shards: range) -> str:
    """Return the tree over some shards, written out."""
    if len(shards) == 1:
        return str(shards[0])
    size = 1 << (len(shards) - 1).bit_length() - 1
    return f"({whole(shards[:size])}+{whole(shards[size:])})"


@settings(deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 9), st.integers(0, 4))
def test_each_block_is_the_same_tree_whatever_happens(
    data: st.DataObject, shards: int, workers: int, levels: int
) -> None:
    logging.disable()
    found = list(Simulation(data, shards, workers, levels).run())
    logging.disable(logging.NOTSET)
    blocks = [range(start, min(start + (1 << levels), shards)) for start in range(0, shards, 1 << levels)]
    assert found == [(len(block), whole(block)) for block in blocks]


@pytest.mark.parametrize(("ready", "message"), [(True, "at shard 1 of 2 (ids 0 to 0)"), (False, "as it started")])
def test_the_third_death_at_one_place_stops_the_run(ready: bool, message: str, caplog: Any) -> None:
    class Fatal(Simulation):
        def poll(self) -> None:
            worker = self.workers[0]
            if ready and not worker.ready:
                worker.ready = True
            else:
                self.replace(worker, "killed")

    data: Any = type("None", (), {"draw": lambda *_: 0})()
    with mistake("engine-error", "3 workers", message, "3 (cpu)", "killed"):
        list(Fatal(data, 2, 1, 0).run())
    assert caplog.messages == [f"worker 3 (cpu) died {message}: killed; another is started, and nothing is lost"] * 2


@settings(deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 3))
def test_the_shard_that_kills_is_named_though_results_before_it_were_not_sent(
    data: st.DataObject, shards: int, workers: int
) -> None:
    fatal = data.draw(st.integers(0, shards - 1))

    class Slow(Simulation):
        """Workers count all that they were given, and die, before they send any of it, at the draw of a lot."""

        def poll(self) -> None:
            worker = self.data.draw(st.sampled_from([each for each in self.workers if each.tasks or not each.ready]))
            own = worker.shards()
            if not worker.ready:
                worker.ready = True
            elif own[0].place == fatal or (Node(0, fatal) in own and self.data.draw(st.booleans())):
                self.replace(worker, "killed")
            else:
                self.finish(worker, own[0], "")

        def goes_wrong(self) -> bool:
            return False

    logging.disable()
    with mistake("engine-error", "3 workers", f"shard {fatal + 1} of {shards}"):
        list(Slow(data, shards, workers, 0).run())
    logging.disable(logging.NOTSET)


def test_nobody_runs_far_ahead_of_a_shard_that_is_slow() -> None:
    tree = MergeTree(1000, levels=1, ahead=2 * AHEAD)
    taken = [tree.take() for _ in range(7)]
    assert taken == [0, 1, 2, 3, 4, 5, None]
    for shard in range(2, 6):
        tree.put(Node(0, shard), "")
    assert tree.take() is None
    assert tree.ready() is None
