"""A server that sends somewhere else: only to the web, and not to where anybody may listen."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import Request

import pytest

from ganatomy.core.errors import BadFile
from ganatomy.core.progress import NullProgress
from ganatomy.models.weights import download


class Sends(BaseHTTPRequestHandler):
    to = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.to)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Sends) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a.pth"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/a.pth", "data:,PK", "gopher://127.0.0.1/"])
def test_redirects_stay_on_the_web(address: str, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sends, "to", to)
    with pytest.raises(BadFile, match=r"sends on to|302"):
        download.download([address], tmp_path / "a.pth", NullProgress(), lambda _: None, "fetch it by hand")
    assert not (tmp_path / "a.pth").exists()


def test_nobody_is_sent_from_https_to_http() -> None:
    handler, headers = download._Redirects(), {"location": "http://example.org/a.pth"}
    with pytest.raises(download._Unavailable, match="not followed"):
        handler.redirect_request(Request("https://example.org/a.pth"), None, 302, "", headers, headers["location"])
    followed = handler.redirect_request(Request("http://example.org/a"), None, 302, "", {}, "https://example.org/b")
    assert followed.full_url == "https://example.org/b"
