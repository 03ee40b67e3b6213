"""Time per phase of a run: functions are timed while it lasts, and each is charged its own time only."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Timer:
    """Wall and processor seconds of every phase; a watched function inside another is charged to its own phase only."""

    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _inner: list[list[float]] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the block to a phase."""
        self._inner.append([0.0, 0.0])
        before = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            took = time.perf_counter() - before[0], time.process_time() - before[1]
            inner = self._inner.pop()
            self.wall[name] += took[0] - inner[0]
            self.cpu[name] += took[1] - inner[1]
            if self._inner:
                self._inner[-1][0] += took[0]
                self._inner[-1][1] += took[1]

    @contextmanager
    def watching(self, *watched: tuple[Any, str, str]) -> Iterator[None]:
        """Charge every call of (owner, function, phase) to the phase while the block lasts."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in watched]
        for owner, name, phase in watched:
            setattr(owner, name, self._timed(getattr(owner, name), phase))
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)

    def _timed(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(phase):
                return function(*args, **kwargs)

        return timed
