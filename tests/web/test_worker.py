"""The line before the models: one at a time, the newest stroke only, never the event loop."""

import asyncio
import threading
import time

import pytest
from mistakes import mistake

from ganatomy.web.model_thread import BROWSE, PAINT, ModelThread, Outdated, Priority


def blocked(worker: ModelThread) -> tuple[threading.Event, "asyncio.Task[bool]"]:
    """Keep the worker busy until the event is set."""
    go = threading.Event()
    return go, asyncio.ensure_future(worker.run(lambda: go.wait(5)))


def with_worker(scenario, waiting: int = 64):
    async def run():
        worker = ModelThread(waiting)
        try:
            return await scenario(worker)
        finally:
            worker.close()

    return asyncio.run(run())


def test_jobs_run_in_one_thread_and_may_raise() -> None:
    async def scenario(worker: ModelThread) -> None:
        names = await asyncio.gather(*(worker.run(lambda: threading.current_thread().name) for _ in range(5)))
        assert set(names) == {"ganatomy-models_0"}
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 // 0)

    with_worker(scenario)


def test_a_newer_stroke_drops_the_older_of_its_stream_only() -> None:
    async def scenario(worker: ModelThread) -> None:
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        old = asyncio.ensure_future(worker.run(lambda: "old", Priority(PAINT, "ann", 1)))
        other = asyncio.ensure_future(worker.run(lambda: "other", Priority(PAINT, "bob", 1)))
        await asyncio.sleep(0.01)
        new = asyncio.ensure_future(worker.run(lambda: "new", Priority(PAINT, "ann", 2)))
        await asyncio.sleep(0.01)
        with pytest.raises(Outdated):
            await worker.run(lambda: "late", Priority(PAINT, "ann", 1))
        go.set()
        assert await new == "new"
        assert await other == "other"
        with pytest.raises(Outdated):
            await old
        await holding
        with pytest.raises(Outdated):
            await worker.run(lambda: "later still", Priority(PAINT, "ann", 1))

    with_worker(scenario)


def test_strokes_go_before_all_else() -> None:
    async def scenario(worker: ModelThread) -> list[str]:
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        order: list[str] = []
        turns = {"browse": Priority(BROWSE), "paint": Priority(PAINT, "ann", 1), "browse too": Priority(BROWSE)}
        tasks = [
            asyncio.ensure_future(worker.run(lambda n=name: order.append(n), turn)) for name, turn in turns.items()
        ]
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(holding, *tasks)
        return order

    assert with_worker(scenario) == ["paint", "browse", "browse too"]


def test_a_full_line_refuses() -> None:
    async def scenario(worker: ModelThread) -> None:
        go, holding = blocked(worker)
        await asyncio.sleep(0.05)
        waiting = [asyncio.ensure_future(worker.run(lambda: None)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with mistake("busy", 2):
            await worker.run(lambda: None)
        go.set()
        await asyncio.gather(holding, *waiting)
        await worker.run(lambda: None)

    with_worker(scenario, waiting=2)


def test_who_has_gone_is_not_worked_for() -> None:
    async def scenario(worker: ModelThread) -> None:
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        ran: list[int] = []
        gone = asyncio.ensure_future(worker.run(lambda: ran.append(1)))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        go.set()
        await holding
        await worker.run(lambda: None)
        assert not ran

    with_worker(scenario)


def test_the_event_loop_does_not_wait() -> None:
    async def scenario(worker: ModelThread) -> float:
        task = asyncio.ensure_future(worker.run(lambda: time.sleep(0.2)))
        await asyncio.sleep(0)
        begun = time.perf_counter()
        await asyncio.sleep(0.001)
        waited = time.perf_counter() - begun
        await task
        return waited

    assert with_worker(scenario) < 0.1


def test_closing_calls_off_what_waits() -> None:
    async def scenario() -> None:
        worker = ModelThread()
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(worker.run(lambda: None))
        await asyncio.sleep(0.01)
        go.set()
        worker.close()
        await holding
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scenario())
