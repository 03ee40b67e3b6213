"""Connections that send nothing, or half a request, leave the server to others."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from ganatomy.web import connections
from ganatomy.web.connections import Connection

HALF = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-"


async def answer(scope, receive, send) -> None:
    """Answer everything with ok."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port() -> Iterator[int]:
    server = uvicorn.Server(uvicorn.Config(answer, port=0, log_level="error", http=Connection, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def connect(port: int, sent: bytes = b"") -> socket.socket:
    own = socket.create_connection(("127.0.0.1", port), timeout=30)
    own.sendall(sent)
    return own


def ask(own: socket.socket) -> bytes:
    own.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    text = b""
    while not text.endswith(b"ok"):
        text += own.recv(1000) or pytest.fail("closed")
    return text


def is_closed(own: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return own.recv(1) == b""
    return True


@pytest.mark.parametrize("sent", [b"", HALF])
def test_a_request_that_does_not_come_is_not_waited_for(
    sent: bytes, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    with connect(port, sent) as own:
        assert is_closed(own)


def test_half_a_second_request_is_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    with connect(port) as own:
        assert b"200 OK" in ask(own)
        own.sendall(HALF)
        assert is_closed(own)


def test_idle_connections_make_room(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "max_connections", lambda: 8)
    with contextlib.ExitStack() as kept:
        held = [kept.enter_context(connect(port, HALF)) for _ in range(40)]
        last = kept.enter_context(connect(port))
        assert b"200 OK" in ask(last)
        assert is_closed(held[0])


def test_the_limit_leaves_descriptors_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    assert connections.max_connections() == 1024 - connections.RESERVED
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    assert connections.max_connections() == 8
