"""A process that counts shards for another one: ``python -m ganatomy.engines.worker DESCRIPTOR DEVICE``.

The process that starts it holds the other end of the socket that DESCRIPTOR is. It sends the work, pickled, once; then
shards, each with its number; results go back in the same order. The worker lives until the other end is closed, on
purpose or because that process died, and then ends at once, whatever it is doing.
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

from ganatomy.core.errors import EngineError, GanatomyError

UNSENT = 2
"""Results that may wait to be sent; then counting waits, so that memory stays bounded."""


def main(descriptor: int, device: str) -> None:
    """Count until the other end is closed."""
    os.dup2(2, 1)  # what models print must not mix with what the command prints for a script
    from ganatomy.core.devices import configure_worker
    from ganatomy.core.progress import listening
    from ganatomy.engines.ipc import Channel, pack
    from ganatomy.engines.memory import trim_heap

    configure_worker(device)
    channel = Channel(socket.socket(fileno=descriptor))
    orders: SimpleQueue[Any] = SimpleQueue()
    answers: SimpleQueue[Any] = SimpleQueue()
    room = threading.Semaphore(UNSENT)
    threading.Thread(target=_receive, args=(channel, orders), daemon=True).start()
    threading.Thread(target=_send, args=(channel, answers, room), daemon=True).start()
    answers.put(("ready",))
    work: Any = None
    while True:
        number, content = orders.get()
        if number is None:
            work = _unpickled(content)
            continue
        try:
            with listening(lambda pieces: answers.put(("progress", pieces))):
                answer: tuple[Any, ...] = ("done", number, pack(work(content)))
        except Exception as error:  # raised again where it can be handled
            answer = _failed(error)
        room.acquire()
        answers.put(answer)
        del answer
        trim_heap()


def _receive(channel: Any, orders: "SimpleQueue[Any]") -> None:
    while True:
        try:
            orders.put(channel.receive())
        except EOFError:
            os._exit(0)


def _send(channel: Any, answers: "SimpleQueue[Any]", room: threading.Semaphore) -> None:
    """Send answers while the next shard is being counted."""
    while True:
        answer = answers.get()
        try:
            channel.send(answer)
        except OSError:
            os._exit(0)
        except Exception as error:  # a result that cannot be pickled
            channel.send(_failed(error))
        if answer[0] in ("done", "failed"):
            room.release()
        del answer  # whose tables would wait for the next ones


def _unpickled(content: bytes) -> Any:
    """Return the work, or in its place a function that raises what is wrong with it."""
    try:
        return pickle.loads(content)  # noqa: S301  from the process that started this one
    except GanatomyError as error:
        return partial(_raise, error)
    except Exception as error:
        from ganatomy.engines.merge_tree import HINT

        return partial(_raise, EngineError(f"the work does not arrive whole ({type(error).__name__}: {error}); {HINT}"))


def _raise(error: GanatomyError, _: range) -> NoReturn:
    raise error


def _failed(error: Exception) -> tuple[Any, ...]:
    """Return the answer for an error: the error, None if it cannot be pickled, and its traceback."""
    text = "".join(traceback.format_exception(error))
    try:
        return "failed", pickle.loads(pickle.dumps(error)), text  # noqa: S301  it must survive both
    except Exception:
        return "failed", None, text


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
