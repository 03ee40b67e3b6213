"""Repositories of the hub: from a directory, from the cache, from a server here that answers as the hub does."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mistakes import mistake

from ganatomy.models.weights.hub import find_repository, read_json, read_pretrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TENSORS = {"a": torch.ones(2), "b": torch.zeros(3)}


class Hub(http.server.ThreadingHTTPServer):
    """Serves one repository, ``org/model``, with a branch main and a tag v1."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.given: list[str] = []


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        start = "/api/models/org/model"
        if path in (f"{start}/revision/main", f"{start}/revision/v1"):
            siblings = [{"rfilename": name} for name in self.server.files]
            self.give({"id": "org/model", "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0})
        elif path == f"{start}/tree/{COMMIT}":
            self.give([{"type": "file", "path": n, "size": len(c), "oid": "0"} for n, c in self.server.files.items()])
        elif (name := path.removeprefix(f"/org/model/resolve/{COMMIT}/")) in self.server.files:
            if self.command == "GET":  # noted before the asker has it, who may look at once
                self.server.given.append(name)
            self.send(self.server.files[name])
        else:
            self.send_error(404)

    def give(self, content: object) -> None:
        self.send(json.dumps(content).encode())

    def send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", base)
    files = base + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANATOMY_OFFLINE", raising=False)
    server.files = {
        "config.json": b'{"model_type": "x"}',
        "README.md": b"words",
        "merges.txt": b"a b",
        "model.safetensors": safetensors.torch.save(TENSORS),
        "pytorch_model.bin": b"never asked for",
    }
    yield server
    server.shutdown()
    server.server_close()


def test_a_repository_is_fetched_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = find_repository("org/model")
    assert sorted(hub.given) == ["config.json", "merges.txt", "model.safetensors"]
    assert read_pretrained(directory).keys() == TENSORS.keys()
    hub.given.clear()
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    assert find_repository("org/model") == directory
    assert not hub.given


def test_a_revision_is_another_name_for_what_it_points_to(hub: Hub) -> None:
    assert find_repository("org/model@v1").name == COMMIT
    with mistake("bad-file", "org/model@v2", "--revision v2"):
        find_repository("org/model@v2")


def test_older_weights_are_fetched_where_there_are_no_others(hub: Hub) -> None:
    del hub.files["model.safetensors"]
    assert (find_repository("org/model") / "pytorch_model.bin").read_bytes() == b"never asked for"


def test_a_download_that_was_cut_off_goes_on(hub: Hub) -> None:
    weights = find_repository("org/model") / "model.safetensors"
    weights.unlink()
    assert find_repository("org/model") == weights.parent
    assert weights.is_file()


def test_a_repository_without_weights(hub: Hub) -> None:
    del hub.files["model.safetensors"], hub.files["pytorch_model.bin"]
    with mistake("bad-file", "model.safetensors", "pytorch_model.bin"):
        find_repository("org/model")


@pytest.mark.parametrize("name", ["org/other", "other"])
def test_what_is_nowhere(hub: Hub, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with mistake("bad-file", name, f"hf download {name}"):
        find_repository(name)
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    with mistake("bad-file", "GANATOMY_OFFLINE"):
        find_repository(name)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_what_can_only_be_a_directory(name: str) -> None:
    with mistake("bad-file", name):
        find_repository(name)


def test_no_name() -> None:
    with mistake("bad-file", "org/model"):
        find_repository("")


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    with mistake("bad-file", "config.json"):
        find_repository(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with mistake("bad-file", "model.safetensors"):
        find_repository(str(tmp_path))
    (tmp_path / "model.safetensors").touch()
    assert find_repository(str(tmp_path)) == tmp_path


def test_weights_in_parts(tmp_path: Path) -> None:
    for name, tensor in TENSORS.items():
        safetensors.torch.save_file({name: tensor}, tmp_path / f"{name}.safetensors")
    index = json.dumps({"weight_map": {name: f"{name}.safetensors" for name in TENSORS}})
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert read_pretrained(tmp_path).keys() == TENSORS.keys()


def test_files_that_are_no_json_object(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for content, fact in (("[1]", "list"), ("{", "JSON")):
        file.write_text(content)
        with mistake("bad-file", file, fact):
            read_json(file)
