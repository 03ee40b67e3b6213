"""Actors of a cluster count what one process counts, with the same models from step to step, and leave it as it was."""

import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from kept_steps import assert_same_steps
from mistakes import mistake
from ray_cluster import cluster, no_network
from toy_statistic import Counted, count, refuse, shards

import ganatomy
from ganatomy.engines import local
from ganatomy.engines import ray as engine
from ganatomy.engines.ray import Ray
from ganatomy.engines.ray_worker import WorkerInfo, versions
from ganatomy.experiments.model_pair import ModelPair

__all__ = ["no_network"]
ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    with cluster(num_gpus=1) as found:
        yield found


@pytest.fixture(scope="module")
def two(machines: Any) -> Iterator[Ray]:
    with Ray(None, workers=2) as found:
        yield found


def merged(found: list[tuple[int, Counted]]) -> Counted:
    total = found[0][1]
    for _, each in found[1:]:
        total = total.merge(each)
    return total


def test_a_study_counts_the_same(two: Ray, tmp_path: Path) -> None:
    """One is enough: that the work of every experiment travels is tested without a cluster."""
    few: dict[str, Any] = {"segmenter": "planted", "images": 40, "shard": 16, "levels": 20}
    for name, counts in (("here", local), ("there", two)):
        ganatomy.dissect("planted:", **few, engine=counts, out=tmp_path / name / "study")
    assert_same_steps(tmp_path / "there", tmp_path / "here")


def counted_by(engine: Ray, processes: int, work: Any, many: int) -> list[Any]:
    """Return the results of so many shards; again while a process that is slow to start has counted none."""
    deadline = time.monotonic() + 60
    while True:
        found = list(engine(work, shards(many)))
        if len(merged(found).who[:, 0].unique()) == processes or time.monotonic() > deadline:
            return found


def test_results_come_one_by_one_in_order_from_both(two: Ray) -> None:
    found = counted_by(two, 2, count, 21)
    assert [number for number, _ in found] == [1] * 21
    whole = merged(found)
    assert whole.ids.tolist() == list(range(63))
    assert len(whole.who.unique()) == 3, "two processes, and 0"


@pytest.mark.parametrize("many", [1, 5, 8, 13])
def test_neighbours_are_merged_on_the_cluster(two: Ray, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RECEIVED", 0.5)  # as if two were many
    found = list(two(count, shards(many)))
    size = 4 if many > 1 else 2
    assert [number for number, _ in found] == [min(size, many - i) for i in range(0, many, size)]
    assert merged(found).ids.tolist() == list(range(3 * many))
    total = sum(float(count(each).total) for each in shards(many))
    assert float(merged(found).total) == pytest.approx(total, rel=1e-12)


def which(models: ModelPair, ids: range) -> Counted:
    found = count(ids)
    found.who[0, 1] = id(models.generator)
    return found


def test_a_process_opens_a_model_once(two: Ray) -> None:
    work = partial(which, ModelPair("planted:", "planted", "cpu"))
    seen = torch.cat([each.who for _ in range(2) for _, each in counted_by(two, 2, work, 8)])
    processes = seen[:, 0].unique()
    assert len(processes) == 2
    for process in processes:
        assert len(seen[seen[:, 0] == process, 1].unique()) == 1


def test_errors_of_the_work_come_through_as_themselves(two: Ray) -> None:
    with mistake("unknown-name", "conv", "conv2", "conv1") as caught:
        list(two(refuse, shards(4)))
    assert caught.value.__notes__ in (["at 0"], ["at 3"])
    with pytest.raises(ZeroDivisionError) as raised:
        list(two(partial(divide, 0), shards(4)))
    assert "in divide" in str(raised.value.__cause__), "it says where"
    assert len(list(two(count, shards(4)))) == 4, "and the engine goes on"


def divide(by: int, ids: range) -> Counted:
    return count(range(ids.start // by, ids.stop))


def test_who_stops_asking_leaves_nobody_at_work(two: Ray) -> None:
    results = two(count, shards(9))
    next(results)
    results.close()
    assert merged(list(two(count, shards(3)))).ids.tolist() == list(range(9))
    assert list(two(count, [])) == []


def test_what_cannot_travel_is_refused_in_one_line(two: Ray) -> None:
    import threading

    with mistake("engine-error", "lock", "models"):
        list(two(partial(divide, threading.Lock()), shards(2)))


def where(ids: range) -> Counted:
    from ganatomy.core import devices

    found = count(ids)
    found.who[0, 1] = ["cpu", "cuda:0"].index(devices._worker_device[0])
    return found


def test_workers_take_shares_of_gpus_and_leave_a_cluster_as_it_was(two: Ray, machines: Any) -> None:
    two.close()
    assert not ray.is_initialized()
    ray.init(machines.address, log_to_driver=False, logging_level=logging.CRITICAL)
    try:
        with Ray(None, cpus=0.5, gpus=0.5) as four:
            found = merged(counted_by(four, 4, where, 40))
            assert found.who[:, 1].unique().tolist() == [1]
            assert len(found.who[:, 0].unique()) == 4, "as many as there is room for"
        assert ray.is_initialized(), "who was connected stays connected"
    finally:
        ray.shutdown()


def test_nobody_at_an_address_is_one_line(two: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    two.close()
    for address in ("ray://127.0.0.1:9", "127.0.0.1:9"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with Ray(None) as none, mistake("engine-error", address, "refused"):
            list(none(count, shards(1)))
    with Ray("ray://nowhere") as none, mistake("engine-error", "HOST:PORT"):
        list(none(count, shards(1)))


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    with mistake("engine-error", "pip install 'ganatomy[ray]'"):
        Ray(None)


@pytest.mark.parametrize("given", [{"cpus": 0.0}, {"gpus": -0.5}, {"cpus": -1.0, "gpus": 2.0}])
def test_workers_of_nothing_are_refused(given: dict[str, float]) -> None:
    with mistake("bad-value", *given.values()):
        Ray(None, **given)


def test_other_versions_are_refused() -> None:
    here = versions()
    assert engine.check_versions(WorkerInfo("node", 1, here)).host == "node"
    with mistake("engine-error", "node", "torch 1.0", versions()["torch"]):
        engine.check_versions(WorkerInfo("node", 1, {**here, "torch": "1.0"}))
