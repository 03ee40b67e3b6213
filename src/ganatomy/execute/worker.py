"""A process that counts shards for another one: ``python -m ganatomy.execute.worker DESCRIPTOR DEVICE``.

Whoever starts it holds the other end of the socket that DESCRIPTOR is. It gets the work, pickled, once; then shards,
each by its number; and answers with their results in the same order. It lives until the other end is closed, by
intent or because that process died, and then ends at once, whatever it is doing.
"""

import os
import pickle
import socket
import sys
import threading
import traceback
from functools import partial
from queue import SimpleQueue
from typing import Any, NoReturn

from ganatomy.errors import EngineError, GanatomyError

HOW = "name the models, define them in a module that other processes can import, or count in this process"
"""What to do with models that do not travel."""
UNSENT = 2
"""So many results may wait to be sent; then counting waits, so that memory stays bounded."""


def main(descriptor: int, device: str) -> None:
    """Count until the other end hangs up."""
    os.dup2(2, 1)  # what models print must not mix with what the command prints for a script
    from ganatomy.devices import configure_worker
    from ganatomy.execute.memory import give_back
    from ganatomy.execute.wire import Wire
    from ganatomy.progress import listening

    configure_worker(device)
    wire = Wire(socket.socket(fileno=descriptor))
    orders: SimpleQueue[Any] = SimpleQueue()
    answers: SimpleQueue[Any] = SimpleQueue()
    room = threading.Semaphore(UNSENT)
    threading.Thread(target=_hear, args=(wire, orders), daemon=True).start()
    threading.Thread(target=_tell, args=(wire, answers, room), daemon=True).start()
    answers.put(("ready",))
    work: Any = None
    while True:
        kind, *rest = orders.get()
        if kind == "work":
            work = _unpickled(rest[0])
            continue
        number, shard = rest
        answers.put(("begun", number))
        try:
            with listening(lambda pieces: answers.put(("tick", pieces))):
                answer: tuple[Any, ...] = ("done", number, work(shard))
        except Exception as error:  # whatever it is, it is told where somebody can do something about it
            answer = ("failed", number, *_told(error))
        room.acquire()
        answers.put(answer)
        del answer
        give_back()


def _hear(wire: Any, orders: "SimpleQueue[Any]") -> None:
    """Pass on what comes, and end this process when nobody is there to be answered."""
    while True:
        try:
            orders.put(wire.receive())
        except EOFError:
            os._exit(0)


def _tell(wire: Any, answers: "SimpleQueue[Any]", room: threading.Semaphore) -> None:
    """Send answers while the next shard is being counted."""
    while True:
        answer = answers.get()
        try:
            wire.send(answer)
        except OSError:
            os._exit(0)
        except Exception as error:  # a result that cannot be pickled
            wire.send(("failed", answer[1], *_told(error)))
        if answer[0] in ("done", "failed"):
            room.release()
        del answer  # whose tables would wait for the next ones


def _unpickled(content: bytes) -> Any:
    """Return the work, or in its place a function that says what is wrong with it."""
    try:
        return pickle.loads(content)  # noqa: S301  from the process that started this one
    except GanatomyError as error:
        return partial(_refuse, error)
    except Exception as error:
        return partial(_refuse, EngineError(f"the work does not arrive whole ({type(error).__name__}: {error}); {HOW}"))


def _refuse(error: GanatomyError, _: range) -> NoReturn:
    raise error


def _told(error: Exception) -> tuple[Exception | None, str]:
    """Return an error that can travel, None if it cannot, and how it came about."""
    story = "".join(traceback.format_exception(error))
    try:
        return pickle.loads(pickle.dumps(error)), story  # noqa: S301  that is the question: does it survive?
    except Exception:
        return None, story


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
