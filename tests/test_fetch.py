"""Fetching, against a server on this machine that misbehaves in every way that servers do."""

import contextlib
import hashlib
import http.client
import http.server
import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from mistakes import mistake

from ganatomy.core.cache import cache_directory
from ganatomy.models.weights import MODEL_ZOO, download, fetch_model, locate, named_digits

NAME, FILE = "progan-church", "proggan_churchoutdoor-7e701dd5.pth"
CONTENT = b"PK\x03\x04" + bytes(range(256)) * 12_000
"""A checkpoint to its first bytes; three megabytes."""


class Server(http.server.ThreadingHTTPServer):
    """Serves a dictionary of files; `faults` are used up one a request, before it behaves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.etag: str | None = '"one"'
        self.ranges = True
        self.faults: list[Callable[["Handler"], bool]] = []
        self.asked: list[tuple[str, str | None]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Range"]))
        if self.server.faults and self.server.faults.pop(0)(self):
            return
        self.give()

    def give(self, cut: int | None = None, length: int | None = None) -> None:
        """Answer as a server should, or with fewer bytes than it says."""
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if asked and self.server.ranges and self.headers["If-Range"] == self.server.etag:
            start = int(asked[1])
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(length or len(content) - start))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who asked has seen enough
            self.wfile.write(content[start:] if cut is None else content[start : start + cut])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def cut_after(count: int) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        handler.give(count)
        return True

    return fault


def failing(code: int) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        handler.send_error(code)
        return True

    return fault


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.files[f"/{NAME}/{FILE}"] = CONTENT
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own, filled from the server; no patience."""
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GANATOMY_MIRROR", server.base)
    for name in ("GANATOMY_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSE", 0.001)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / NAME


class Heard:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.pieces: list[int] = []
        self.ended = 0

    def begin(self, label: str, total: int) -> None:
        self.begun.append((label, total))
        self.pieces.append(0)

    def advance(self, pieces: int) -> None:
        self.pieces[-1] += pieces

    def end(self) -> None:
        self.ended += 1


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} - {".lock"}


def refused(*facts: object) -> None:
    with mistake("bad-file", *facts):
        fetch_model(NAME)


def test_a_model_is_fetched_recorded_and_found(server: Server, home: Path) -> None:
    heard = Heard()
    record = fetch_model(NAME, progress=heard)[FILE]
    assert (home / FILE).read_bytes() == CONTENT
    assert record.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (record.bytes, record.source) == (len(CONTENT), f"{server.base}/{NAME}/{FILE}")
    assert json.loads((home / "ganatomy-fetched.json").read_text())[FILE]["sha256"] == record.sha256
    assert locate(NAME) == home / FILE
    assert files(home) == {FILE, "ganatomy-fetched.json"}
    assert heard.begun == [(f"{FILE}, MB", 4)]
    assert (heard.pieces, heard.ended) == ([3], 1)


def test_what_is_there_is_not_fetched_again(server: Server) -> None:
    first = fetch_model(NAME)
    assert fetch_model(NAME) == first
    assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_drops_is_taken_up_where_it_broke(server: Server, home: Path, ranges: bool) -> None:
    server.ranges = ranges
    server.faults = [cut_after(1_000_000), cut_after(500_000), lambda _: False]
    heard = Heard()
    fetch_model(NAME, progress=heard)
    assert (home / FILE).read_bytes() == CONTENT
    asked = [given for _, given in server.asked]
    assert asked == [None, "bytes=1000000-", "bytes=1500000-" if ranges else "bytes=500000-"]
    assert heard.pieces == ([1, 1, 3] if ranges else [1, 0, 3])


def test_a_broken_connection_needs_no_patience_as_long_as_something_comes(server: Server, home: Path) -> None:
    server.faults = [cut_after(150_000)] * 20
    fetch_model(NAME)
    assert (home / FILE).read_bytes() == CONTENT
    assert len(server.asked) == 21


def test_a_file_that_changed_in_between_is_not_glued_together(server: Server, home: Path) -> None:
    other = CONTENT[::-1]
    server.files[f"/{NAME}/{FILE}"] = b"PK\x03\x04" + other

    def change(handler: Handler) -> bool:
        handler.give(1_000_000)
        server.etag, server.files[f"/{NAME}/{FILE}"] = '"two"', CONTENT
        return True

    server.faults = [change]
    fetch_model(NAME)
    assert (home / FILE).read_bytes() == CONTENT
    assert server.asked[1][1] == "bytes=1000000-"


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_proof_that_it_is_the_same_file_it_starts_anew(server: Server, home: Path, etag: str | None) -> None:
    server.etag = etag
    server.faults = [cut_after(1_000_000)]
    fetch_model(NAME)
    assert [given for _, given in server.asked] == [None, None]
    assert (home / FILE).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server, home: Path) -> None:
    server.faults = [cut_after(1_000_000), failing(416)]
    fetch_model(NAME)
    assert [given for _, given in server.asked] == [None, "bytes=1000000-", None]
    assert (home / FILE).read_bytes() == CONTENT


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_server_that_is_busy_is_asked_again(server: Server, home: Path, code: int) -> None:
    server.faults = [failing(code)] * 4
    fetch_model(NAME)
    assert (home / FILE).read_bytes() == CONTENT


def test_a_redirection_is_followed_from_where_it_broke(server: Server, home: Path) -> None:
    def moved(handler: Handler) -> bool:
        handler.send_response(302)
        handler.send_header("Location", f"{server.base}/elsewhere")
        handler.end_headers()
        return True

    server.files["/elsewhere"] = CONTENT
    server.faults = [moved, cut_after(1_000_000), moved]
    fetch_model(NAME)
    assert (home / FILE).read_bytes() == CONTENT
    assert server.asked[2:] == [(f"/{NAME}/{FILE}", "bytes=1000000-"), ("/elsewhere", "bytes=1000000-")]


def test_a_server_that_falls_silent_is_asked_again(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(handler: Handler) -> bool:
        time.sleep(0.2)
        return True

    monkeypatch.setattr(download, "TIMEOUT", 0.05)
    server.faults = [silent]
    fetch_model(NAME)
    assert len(server.asked) == 2
    assert (home / FILE).read_bytes() == CONTENT


def test_a_proxy_of_the_environment_is_used(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_MIRROR", "http://models.invalid")
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.delenv("no_proxy", raising=False)
    server.files = {f"http://models.invalid/{NAME}/{FILE}": CONTENT}
    fetch_model(NAME)
    assert (home / FILE).read_bytes() == CONTENT


def test_a_server_that_stays_broken_is_left(server: Server, home: Path) -> None:
    server.faults = [failing(500)] * 99
    refused("500 Internal Server Error")
    assert len(server.asked) == 5
    assert files(home) == set()


def test_ctrl_c_keeps_what_came(server: Server, home: Path) -> None:
    class Stopping(Heard):
        def advance(self, pieces: int) -> None:
            super().advance(pieces)
            if self.pieces[-1] == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_model(NAME, progress=Stopping())
    assert files(home) == {f"{FILE}.part", f"{FILE}.part.json"}
    kept = (home / f"{FILE}.part").stat().st_size
    assert 2_000_000 <= kept < len(CONTENT)
    with mistake("bad-file", NAME, FILE, f"ganatomy models fetch {NAME}"):
        locate(NAME)
    fetch_model(NAME)
    assert server.asked[-1][1] == f"bytes={kept}-"
    assert (home / FILE).read_bytes() == CONTENT
    assert files(home) == {FILE, "ganatomy-fetched.json"}


def test_an_end_that_never_comes_is_told_and_what_came_is_kept(server: Server, home: Path) -> None:
    def longer(handler: Handler) -> bool:
        handler.give(length=len(CONTENT) + 10)
        return True

    server.faults = [longer] * 99
    server.ranges = False
    refused(f"{len(CONTENT)} of {len(CONTENT) + 10} bytes", "3.1 MB")
    assert files(home) == {f"{FILE}.part", f"{FILE}.part.json"}


def page(content: bytes) -> Callable[[Server], None]:
    def serve(server: Server) -> None:
        server.files = dict.fromkeys(server.files, content)

    return serve


def nothing(server: Server) -> None:
    server.files.clear()


@pytest.mark.parametrize(
    ("mischief", "fact"),
    [
        (nothing, "404 Not Found"),
        (page(b"\n<!DOCTYPE html><title>Log in</title>"), "web page"),
        (page(b"version https://git-lfs"), "b'version '"),
        (page(b""), "how long"),
    ],
)
def test_what_is_no_checkpoint_is_refused_and_leaves_nothing(
    server: Server, home: Path, mischief: Callable[[Server], None], fact: str
) -> None:
    mischief(server)
    refused(fact, f"get {FILE}", f"{server.base}/{NAME}/", home)
    assert files(home) == set()


def test_a_server_that_does_not_answer_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANATOMY_MIRROR", "http://127.0.0.1:9")
    refused("127.0.0.1:9", "refused")


def test_the_second_address_is_tried_where_the_first_fails(server: Server, home: Path) -> None:
    addresses = [f"{server.base}/gone/{FILE}", f"{server.base}/{NAME}/{FILE}"]
    home.mkdir(parents=True)
    sha256, address = download.download(addresses, home / FILE, Heard(), lambda _: None, "")
    assert (sha256, address) == (hashlib.sha256(CONTENT).hexdigest(), addresses[1])


def test_a_part_from_one_address_is_not_gone_on_with_from_another(server: Server, home: Path) -> None:
    addresses = [f"{server.base}/one/{FILE}", f"{server.base}/{NAME}/{FILE}"]
    server.files[f"/one/{FILE}"] = CONTENT[:4] + b"!" * len(CONTENT[4:])
    server.faults = [cut_after(1_000_000), failing(404)]
    home.mkdir(parents=True)
    download.download(addresses, home / FILE, Heard(), lambda _: None, "")
    assert server.asked[-1] == (f"/{NAME}/{FILE}", None)
    assert (home / FILE).read_bytes() == CONTENT


def test_a_connection_that_is_reset_at_once_is_made_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, refusals = http.client.HTTPConnection.connect, [ConnectionResetError("reset")]

    def flaky(self: http.client.HTTPConnection) -> None:
        if refusals:
            raise refusals.pop()
        connect(self)

    monkeypatch.setattr(http.client.HTTPConnection, "connect", flaky)
    fetch_model(NAME)
    assert (home / FILE).read_bytes() == CONTENT


def test_offline_it_says_what_to_get_and_where_to_put_it(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    monkeypatch.delenv("GANATOMY_MIRROR")
    refused("GANATOMY_OFFLINE", f"get {FILE}", MODEL_ZOO[NAME].bases[0], home)
    assert not server.asked
    (home / FILE).write_bytes(b"<html>saved by a browser")
    with mistake("bad-file", home / FILE, "web page", ".pth"):
        fetch_model(NAME)
    (home / FILE).write_bytes(CONTENT)
    assert fetch_model(NAME)[FILE].source == "put there by hand"
    assert locate(NAME) == home / FILE


def test_another_file_than_at_first_is_refused(server: Server, home: Path) -> None:
    first = fetch_model(NAME)[FILE]
    (home / FILE).unlink()
    server.files[f"/{NAME}/{FILE}"], server.etag = CONTENT[:-1] + b"!", '"two"'
    refused(first.date, first.sha256[:16], home / "ganatomy-fetched.json")
    assert files(home) == {"ganatomy-fetched.json"}
    (home / "ganatomy-fetched.json").unlink()
    assert fetch_model(NAME)[FILE].sha256 != first.sha256


def test_where_the_sha256_is_known_no_other_file_is_taken(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(MODEL_ZOO, NAME, replace(MODEL_ZOO[NAME], sha256=sha256))
    server.files[f"/{NAME}/{FILE}"] = CONTENT[:-1] + b"!"
    refused(sha256[:16])
    (home / FILE).write_bytes(CONTENT[:-1] + b"!")
    with mistake("bad-file", home / FILE, sha256[:16]):
        fetch_model(NAME)
    with mistake("bad-file", home / FILE, "sha256"):
        locate(NAME)
    (home / FILE).unlink()
    server.files[f"/{NAME}/{FILE}"] = CONTENT
    assert fetch_model(NAME)[FILE].sha256 == sha256
    assert locate(NAME) == home / FILE


def test_a_file_that_changed_on_disk_is_refused_and_mended(home: Path) -> None:
    fetch_model(NAME)
    (home / FILE).write_bytes(CONTENT[:-1] + b"!")
    for argument in (NAME, str(home / FILE), str(home)):
        with mistake("bad-file", home / FILE, "changed"):
            locate(argument)
    fetch_model(NAME)
    assert locate(NAME).read_bytes() == CONTENT


def test_records_that_are_damaged_are_named(home: Path) -> None:
    fetch_model(NAME)
    for content in ("{", "[]", '{"a": {"b": 1}}'):
        (home / "ganatomy-fetched.json").write_text(content)
        with mistake("bad-file", home / "ganatomy-fetched.json", "records"):
            locate(NAME)


def test_two_at_once_fetch_it_once(server: Server, home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        records = list(pool.map(lambda _: fetch_model(NAME), range(4)))
    assert all(record == records[0] for record in records)
    assert (home / FILE).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_full_disk_is_told_before_the_download(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    refused(FILE, "3 MB", home, "1 MB")


def test_a_disk_that_refuses_is_told_apart_from_the_network(home: Path) -> None:
    home.mkdir(parents=True)
    (home / f"{FILE}.part").mkdir()
    refused(home, "Is a directory")


def test_a_cache_that_cannot_be_written_is_named(home: Path) -> None:
    home.parent.write_text("a file, not a directory")
    refused(home)


UPP = ("encoder_epoch_40.pth", "decoder_epoch_40.pth", "labels.json")


def test_a_model_of_several_files_is_a_folder(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = {f"/upp/{file}": (b"{}" if file == "labels.json" else CONTENT[:9]) for file in UPP}
    assert list(fetch_model("upp")) == list(UPP)
    assert locate("upp") == home.parent / "upp"
    (locate("upp") / UPP[1]).unlink()
    with mistake("bad-file", "upp", UPP[1]):
        locate("upp")
    (home.parent / "upp" / UPP[2]).unlink()
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    with mistake("bad-file", f"{UPP[1]}, {UPP[2]}", home.parent / "upp"):
        fetch_model("upp")
    monkeypatch.delenv("GANATOMY_OFFLINE")
    fetch_model("upp")
    assert [path for path, _ in server.asked] == [f"/upp/{file}" for file in (*UPP, *UPP[1:])]


@pytest.mark.parametrize("whole", [True, False])
def test_another_place_can_be_named(server: Server, tmp_path: Path, whole: bool) -> None:
    server.files = {f"/mine/{FILE}": CONTENT}
    fetch_model(NAME, source=f"{server.base}/mine" + (f"/{FILE}" if whole else "/"), to=tmp_path / "here")
    assert locate(str(tmp_path / "here" / FILE)).read_bytes() == CONTENT


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_is_here_is_copied(
    tmp_path: Path, home: Path, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    (tmp_path / FILE).write_bytes(CONTENT)
    record = fetch_model(NAME, source=str(tmp_path / FILE if whole else tmp_path))[FILE]
    assert record.source == str(tmp_path / FILE)
    assert locate(NAME).read_bytes() == CONTENT
    (tmp_path / FILE).write_bytes(CONTENT + b"!")
    (home / FILE).unlink()
    with mistake("bad-file", "sha256", record.sha256[:16]):
        fetch_model(NAME, source=str(tmp_path))
    assert files(home) == {"ganatomy-fetched.json"}


@pytest.mark.parametrize(
    ("name", "source", "code", "fact"),
    [
        ("progan-curch", None, "unknown-name", "progan-church"),
        (NAME, "ftp://127.0.0.1/x", "bad-value", "'ftp://127.0.0.1/x'"),
        (NAME, "file:///etc/passwd", "bad-value", "file:///etc/passwd"),
        (NAME, "http://[::1", "bad-value", "http://[::1"),
        (NAME, "http://127.0.0.1/a b", "bad-value", "http://127.0.0.1/a b"),
        (NAME, "no-such-folder", "bad-value", "'no-such-folder'"),
        (NAME, ".", "bad-file", FILE),
        ("upp", "one.pth", "bad-file", "encoder_epoch_40.pth"),
        (NAME, "one.pth", "bad-file", "web page"),
    ],
)
def test_a_source_that_cannot_be_is_refused(name: str, source: str | None, code: str, fact: str) -> None:
    Path("one.pth").write_bytes(b"<html>")
    with mistake(code, fact):
        fetch_model(name, source)


def test_a_folder_of_several_files_may_be_called_anything(server: Server) -> None:
    with mistake("bad-file", 404):
        fetch_model("upp", source=f"{server.base}/encoders.pth")
    assert server.asked[0][0] == f"/encoders.pth/{UPP[0]}"


def test_a_name_that_is_neither_file_nor_model_is_told() -> None:
    with mistake("bad-file", "church.pth"):
        locate("church.pth")
    with mistake("bad-file", "progan-curch", "progan-church"):
        locate("progan-curch")


def test_a_file_that_exists_comes_before_a_published_model() -> None:
    Path(NAME).write_bytes(b"mine")
    assert locate(NAME) == Path(NAME)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "home/.cache/ganatomy"), ({"XDG_CACHE_HOME": "/x"}, "/x/ganatomy"), ({"GANATOMY_CACHE": "~/m"}, "home/m")],
)
@pytest.mark.skipif(sys.platform != "linux", reason="directories of Linux")
def test_where_models_are_kept(
    environment: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GANATOMY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path / "home"), **environment}.items():
        monkeypatch.setenv(name, value)
    assert cache_directory() == tmp_path / expected


def test_the_published_models_are_well_formed() -> None:
    assert len(MODEL_ZOO) == 11
    homes = r"http(s?://[\w.]+\.csail\.mit\.edu/(\S+/)?|s://github\.com/mseitzer/pytorch-fid/releases/download/\w+/)"
    for model in MODEL_ZOO.values():
        assert all(re.fullmatch(homes, base) for base in model.bases)
        assert not model.sha256 or (len(model.files) == 1 and named_digits(model.files[0], model.sha256))
        assert model.licence
        assert 50e6 < model.bytes < 500e6
        assert len(set(model.files)) == len(model.files)


def test_digits_in_a_name_are_compared_not_believed() -> None:
    assert named_digits(FILE, "7e701dd5" + 56 * "0") is True
    assert named_digits(FILE, 64 * "0") is False
    assert named_digits("encoder_epoch_40.pth", 64 * "0") is None
