"""A proxy in front of the web app, such as Jupyter's: requests below one path go on, with that path or without it."""

import contextlib
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvicorn
from starlette.types import ASGIApp

HOP = {"connection", "transfer-encoding", "date", "server", "keep-alive"}
"""Headers that are of one connection."""


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """Serve an application on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive() or server.started
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@contextlib.contextmanager
def proxy(port: int, prefix: str, strips: bool) -> Iterator[str]:
    """Pass what comes below a prefix on to a port of this machine; everything else is 418."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if not self.path.startswith(prefix):
                return self._answer(418, [], b"outside of the prefix")
            path = self.path[len(prefix) :] if strips else self.path
            connection = HTTPConnection("127.0.0.1", port, timeout=120)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            connection.request(self.command, path or "/", body or None, kept)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
            return self._answer(answer.status, headers, content)

        # the names that the base class looks for
        do_GET = do_POST = _pass

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            with contextlib.suppress(ConnectionError):  # a browser that left the page
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}{prefix}"
    server.shutdown()
    server.server_close()
    thread.join()
