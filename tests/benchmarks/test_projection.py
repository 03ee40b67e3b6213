"""The projection to many workers does what can be said of it by hand."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def projection(load: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = load("projection")
    monkeypatch.setattr(found, "SPREAD", 0.0)
    return found


def costs(projection: ModuleType, **options: Any) -> Any:
    usual = {"work": 5.0, "transfer": 0.0, "merge": 0.0, "keep": 0.0, "bytes": 0, "images": 100}
    return projection.Costs("made up", **(usual | options))


def test_work_that_costs_nothing_else_is_shared_out_evenly(projection: ModuleType) -> None:
    for workers, rounds in ((1, 64), (2, 32), (8, 8), (64, 1), (100, 1), (60, 2)):
        step = projection.Step(costs(projection), workers, 64, 0).run()
        assert step.time == pytest.approx(5.0 * rounds)
        assert step.blocked == step.driver == 0
    assert projection.Step(costs(projection), 60, 64, 0).run().idle == pytest.approx(56 * 5.0)


def test_a_driver_that_merges_everything_is_the_limit(projection: ModuleType) -> None:
    own = costs(projection, transfer=0.2, merge=0.3)
    few, many = (projection.Step(own, workers, 4000, 0).run() for workers in (4, 400))
    assert few.time == pytest.approx(1000 * 5.2, rel=0.01)
    assert many.time == pytest.approx(5.2 + 4000 * 0.5, rel=0.01), "a half second of each result, after the first"
    assert many.driver == pytest.approx(2000)
    assert many.blocked > 0
    tree = projection.Step(own, 400, 4000, 6).run()
    assert tree.driver == pytest.approx(63 * 0.5)
    assert tree.time == pytest.approx(10 * (5.2 + 63 / 64 * 0.7), rel=0.1)


def test_what_is_kept_takes_a_small_share_of_the_time(projection: ModuleType) -> None:
    step = projection.Step(costs(projection, work=0.01, keep=1.0), 1, 5000, 0).run()
    assert step.time == pytest.approx(50 * (1 + 1 / projection.SAVE_RATIO), rel=0.05)


def test_of_each_number_of_workers_it_says_what_limits_it(projection: ModuleType) -> None:
    own = costs(projection, transfer=0.1, merge=0.1)
    rows = projection.project(own, 20_000, tree=False)
    assert [row["workers"] for row in rows] == list(projection.WORKERS)
    assert rows[0]["limit"] == ""
    assert rows[-1]["limit"] in ("the driver", "the last shards")
    assert {row["limit"] for row in rows} >= {"the driver"}
    times = [row["times"] for row in rows]
    assert times == sorted(times)
    rows = projection.project(replace(own, alone=1e5), 20_000, tree=True)
    assert rows[-1]["limit"] == "what is not shared"
