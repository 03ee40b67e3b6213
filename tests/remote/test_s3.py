"""Studies on S3: a server of that protocol is started here, and s3fs talks to it over HTTP.

It takes moto and s3fs (pip install 'moto[server]' s3fs); without them these tests are skipped.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch
from mistakes import mistake
from test_mirror import FACTS, FINISHED, CountSpec, Go, Stop, check_valid, count, files

from ganatomy.study import Study

moto = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
pytest.importorskip("s3fs", reason="pip install s3fs")
pytestmark = [pytest.mark.slow]
URL = "s3://studies/runs/church"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "tester")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()
    fs.mkdir("studies")
    yield
    fs.invalidate_cache()
    fs.rm("studies", recursive=True)


def test_a_study_on_s3_is_the_study_of_a_directory(tmp_path: Path, machine: Go) -> None:
    here = count(tmp_path / "study")
    assert torch.equal(count(URL), here)
    assert files(URL) == {name: (tmp_path / "study" / name).read_bytes() for name in FINISHED}
    machine("b")
    assert Study.open(URL).finished
    assert torch.equal(count(URL, after=0), here)


def test_another_machine_goes_on_where_one_stopped(tmp_path: Path, machine: Go, hasty: None) -> None:
    with pytest.raises(Stop):
        count(URL, after=3)
    check_valid(files(URL))
    machine("b")
    assert torch.equal(count(URL, after=1), count(tmp_path / "study"))
    assert files(URL).keys() == FINISHED


def test_one_of_two_machines_writes(machine: Go) -> None:
    with Study.create(URL, CountSpec(), FACTS):
        machine("b")
        with mistake("study-busy", URL, f"process {os.getpid()} on a"):
            count(URL)
        machine("a")
    count(URL)


def test_a_bucket_that_is_not_there_and_a_server_that_is_gone_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with mistake("unreachable", "s3://nowhere/church"):
        count("s3://nowhere/church")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.filesystem("s3").clear_instance_cache()
    with mistake("unreachable", "s3://studies/another"):
        count("s3://studies/another")
    fsspec.filesystem("s3").clear_instance_cache()


def test_commands_take_it(tmp_path: Path) -> None:
    environment = os.environ | {"GANATOMY_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    def command(*argv: str) -> str:
        run = [sys.executable, "-m", "ganatomy", *argv]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    few = ["--segmenter", "planted:", "--layers", "layer2", "--images", "16"]
    command("dissect", "planted:", *few, "--out", "s3://studies/runs/planted")
    assert json.loads(files("s3://studies/runs/planted")["study.json"])["finished"]
    environment["GANATOMY_CACHE"] = str(tmp_path / "another")
    assert "layer2" in command("show", "s3://studies/runs/planted")
    listed = command("list", "s3://studies/runs").splitlines()
    assert [line.split()[0] for line in listed if "finished" in line] == ["planted"]
