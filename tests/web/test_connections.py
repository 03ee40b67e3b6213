"""Connections that send nothing, or half a request, leave the server to others."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from ganatomy.web import connections
from ganatomy.web.connections import server_config

HALF = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-"


async def answer(scope, receive, send) -> None:
    """Answer everything with ok."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port() -> Iterator[int]:
    server = uvicorn.Server(server_config(answer))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=[[listening]])
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()[1]
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


def test_more_than_there_are_descriptors_leave_it_quiet_and_quick(tmp_path: Path) -> None:
    """Hundreds that come at once and send nothing, where a process may have 256 descriptors."""
    serves = "import resource, socket, sys; sys.path.insert(0, sys.argv[1]); import uvicorn; "
    serves += "from test_connections import answer; from ganatomy.web.connections import server_config; "
    serves += "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); own = socket.create_server(('127.0.0.1', 0)); "
    serves += "print(own.getsockname()[1], flush=True); uvicorn.Server(server_config(answer)).run(sockets=[own])"
    command = [sys.executable, "-c", serves, str(Path(__file__).parent)]
    log = tmp_path / "log"
    with (
        log.open("w") as written,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=written, text=True) as server,
        contextlib.ExitStack() as kept,
    ):
        kept.callback(server.terminate)
        assert server.stdout is not None
        port = int(server.stdout.readline())
        server.send_signal(signal.SIGSTOP)  # so that they wait together
        for _ in range(600):
            own = kept.enter_context(socket.socket())
            own.setblocking(False)
            own.connect_ex(("127.0.0.1", port))
        server.send_signal(signal.SIGCONT)
        began = time.monotonic()
        assert b"200 OK" in ask(kept.enter_context(connect(port)))
        assert time.monotonic() - began < 10
        assert not log.read_text()
