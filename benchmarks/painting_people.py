"""People who paint, as `paint.js` does for them: a hand that moves, and a page that asks for the newest image."""

import asyncio
import bisect
import itertools
import json
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any

MOVE = 1 / 60
"""Seconds between two moves of a hand: a browser tells of them once a frame."""
MOVES = 48
"""Of a stroke, which lasts 0.8 seconds."""
PAUSE, LONGEST = 2, 0.5
"""By so many times what strokes wait in the server's queue a page pauses before it asks again; at most, in seconds."""
HISTORY = 8
"""Strokes on an image; the oldest is deleted when there are more."""


class Connection:
    """One connection of a browser, which stays open: no library, as its work would be taken for the server's."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.queued = 0.0

    async def ask(self, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return the status of an answer and its content."""
        if self._streams is None or self._streams[0].at_eof():  # the server closes what is idle
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        self.queued = float(headers.get("server-timing", "queue;dur=0").partition("dur=")[2]) / 1000
        return int(status.split()[1]), await reader.readexactly(int(headers["content-length"]))

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()


@dataclass
class Waits:
    """Seconds that people waited.

    Attributes:
        images: from a request to its image; the page shows this.
        moves: from each move of a hand to the first image that has it, the wait for the one before included.
        changes: from the end of a stroke to what it changed.
        outdated: requests that were answered 409.
        refused: requests that were refused: the server was full, or asked too often.
    """

    images: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    outdated: int = 0
    refused: int = 0


class Person:
    """Paints on one image, stroke after stroke, until there are so many images.

    Where the hand is follows from the time, so that people who wait cost nothing.

    Args:
        number: of the person, which says on which image, and where.
        address: host and port.
        study: path of its API.
        layers: where each stroke is, in turn.
        concept: what is painted.
        rest: mean seconds between two strokes; each rest is half to one and a half of it.
    """

    def __init__(
        self, number: int, address: tuple[str, int], study: str, layers: list[str], concept: str, rest: float = 0.0
    ) -> None:
        self._number, self._study, self._layers, self._concept = number, study, layers, concept
        self._chance, self._rest = random.Random(number), rest
        self._strokes_begin = [self._chance.uniform(0, MOVES * MOVE + rest)]  # people do not begin at once
        self._connections = [Connection(*address), Connection(*address)]
        self._count = itertools.count(1)
        self._began = 0.0
        self.waits = Waits()

    async def paint(self, images: int) -> Waits:
        """Paint until so many images are there; return how long each took."""
        self._began = time.perf_counter()
        asking = asyncio.ensure_future(self._ask_changes())
        try:
            shown = 0
            while len(self.waits.images) < images:
                moves = await self._moved(shown + 1)
                sent = time.perf_counter()
                if await self._ask("paint", self._strokes(moves), 0):
                    now = time.perf_counter()
                    self.waits.images.append(now - sent)
                    self.waits.moves += [now - self._time(move) for move in range(shown + 1, moves + 1)]
                    shown = moves
                    await asyncio.sleep(min(PAUSE * self._connections[0].queued, LONGEST))
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            for connection in self._connections:
                connection.close()
        return self.waits

    def _time(self, move: int) -> float:
        """Return when a move is; the first one has number 1."""
        stroke = (move - 1) // MOVES
        while len(self._strokes_begin) <= stroke:
            self._add_stroke()
        return self._began + self._strokes_begin[stroke] + (move - stroke * MOVES) * MOVE

    def _add_stroke(self) -> None:
        rest = self._rest * self._chance.uniform(0.5, 1.5)
        self._strokes_begin.append(self._strokes_begin[-1] + MOVES * MOVE + rest)

    async def _moved(self, least: int) -> int:
        """Return how many moves there were; wait until there are some."""
        await asyncio.sleep(self._time(least) - time.perf_counter())
        since = time.perf_counter() - self._began
        while self._strokes_begin[-1] <= since:
            self._add_stroke()
        strokes = bisect.bisect(self._strokes_begin, since) - 1
        return max(least, strokes * MOVES + min(MOVES, int((since - self._strokes_begin[strokes]) / MOVE)))

    async def _ask_changes(self) -> None:
        ended = 0
        while True:
            ended = await self._moved((ended + 1) * MOVES) // MOVES
            if await self._ask("changes", self._strokes(ended * MOVES), 1):
                self.waits.changes.append(time.perf_counter() - self._time(ended * MOVES))

    async def _ask(self, what: str, strokes: list[Any], connection: int) -> bool:
        body = {"id": 100 + self._number, "strokes": strokes, "stream": f"{self._number}", "number": next(self._count)}
        status, content = await self._connections[connection].ask(f"{self._study}/{what}", body)
        if status == 200:
            return True
        if status == 409:
            self.waits.outdated += 1
        elif status in (429, 503):
            self.waits.refused += 1
            await asyncio.sleep(1)  # as the answer says
        else:
            raise SystemExit(f"{what} was answered {status}: {content.decode()[:300]}")
        return False

    def _strokes(self, moves: int) -> list[dict[str, Any]]:
        """Return what is on the image after so many moves: the last strokes, of which the newest may not be done."""
        last = (moves - 1) // MOVES
        return [
            self._stroke(which, moves - last * MOVES if which == last else MOVES)
            for which in range(max(0, last + 1 - HISTORY), last + 1)
        ]

    def _stroke(self, which: int, moves: int) -> dict[str, Any]:
        """Return a stroke after its first moves: along a circle, each on another one."""
        centre = [0.5 + 0.3 * turn(k * (7 * self._number + which)) for k, turn in ((1, math.sin), (3, math.cos))]
        angles = [2 * math.pi * move / MOVES for move in range(moves)]
        return {
            "action": ("draw", "remove")[which % 2],
            "layer": self._layers[which % len(self._layers)],
            "concept": self._concept,
            "points": [[centre[0] + 0.15 * math.cos(angle), centre[1] + 0.15 * math.sin(angle)] for angle in angles],
            "radius": 0.08,
        }
