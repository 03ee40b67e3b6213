"""The line before the models: one at a time, the newest stroke only, never the event loop."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from mistakes import mistake

from ganatomy.core.errors import BadValue
from ganatomy.web.model_thread import BROWSE, PAINT, ModelThread, Outdated, Priority, Together


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


def test_it_is_known_how_long_strokes_wait() -> None:
    async def scenario(worker: ModelThread) -> None:
        stroke = Priority(PAINT, "ann")
        await worker.run(time.monotonic, stroke)
        assert worker.waited < 0.05
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(worker.run(time.monotonic, stroke))
        await asyncio.sleep(0.1)
        go.set()
        await waiting
        assert worker.waited > 0.05
        await holding

    with_worker(scenario)


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


def test_those_who_wait_for_the_same_job_are_answered_together() -> None:
    async def scenario(worker: ModelThread) -> None:
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        batches: list[list[int]] = []

        def doubled(items: Sequence[int]) -> list[int | Exception]:
            batches.append(list(items))
            return [BadValue(f"{item}") if item == 2 else 2 * item for item in items]

        together = Together(doubled, 3)
        people = [Priority(PAINT, f"person {i}", 1) for i in range(5)]
        asked = [asyncio.ensure_future(worker.run_together(together, i, people[i])) for i in range(5)]
        other = asyncio.ensure_future(worker.run(lambda: "other", Priority(PAINT)))
        await asyncio.sleep(0.01)
        asked[1].cancel()
        await asyncio.sleep(0.01)
        go.set()
        assert await other == "other"
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert batches == [[0, 2, 3], [4]]
        assert [answers[0], answers[3], answers[4]] == [0, 6, 8]
        assert isinstance(answers[1], asyncio.CancelledError)
        assert isinstance(answers[2], BadValue)
        await holding

    with_worker(scenario)


def test_an_error_of_a_joint_job_reaches_all_who_asked() -> None:
    async def scenario(worker: ModelThread) -> None:
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        together = Together(lambda items: [1 // 0 for _ in items], 8)
        asked = [asyncio.ensure_future(worker.run_together(together, i)) for i in range(3)]
        await asyncio.sleep(0.01)
        go.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in answers] == 3 * [ZeroDivisionError]
        await holding
        assert await worker.run(lambda: "goes on") == "goes on"

    with_worker(scenario)


def test_strokes_hold_nobody_up_for_ever() -> None:
    async def scenario(worker: ModelThread) -> int:
        go, holding = blocked(worker)
        await asyncio.sleep(0.01)
        done: list[int] = []

        async def paint() -> None:
            while not reading.done():
                await worker.run(lambda: time.sleep(0.002), Priority(PAINT))
                done.append(1)

        reading = asyncio.ensure_future(worker.run(lambda: None, Priority(BROWSE)))
        people = [asyncio.ensure_future(paint()) for _ in range(4)]
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.wait_for(reading, 5)
        await asyncio.gather(holding, *people)
        return len(done)

    assert with_worker(scenario) > 4
