"""``ganatomy doctor``: it answers on a sound machine and on every broken one."""

import json
import os
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from ganatomy.cli import checks, main
from ganatomy.cli.checks import Finding, examine
from ganatomy.models.weights import MODEL_ZOO, fetch_model


def found(name: str) -> Finding:
    """Return the finding of that name."""
    return next(finding for finding in examine() if finding.name == name)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "cache"))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GANATOMY_OFFLINE", "GANATOMY_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def without(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "TOPICS", {name: look for name, look in checks.TOPICS.items() if name == topic})


def test_a_sound_machine_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.endswith("\ndissection runs here\n")
    assert "BROKEN" not in text.upper().replace("DISSECTION RUNS HERE", "")
    assert "drew a bundled image" in text
    assert main(["doctor", "--json"]) == 0
    message = json.loads(capsys.readouterr().out)
    assert message["works"] is True
    named = {finding["name"]: finding for finding in message["findings"]}
    assert named.keys() >= {"python", "ganatomy", "torch", "numpy", "hf", "cpu", "temporary files", "main job"}
    assert {finding["topic"] for finding in message["findings"]} >= {
        "software",
        "extras",
        "devices",
        "storage",
        "models",
    }


def test_a_package_that_is_missing_or_too_old_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "1.13.0", "ganatomy": "0.1.0"}

    def version(name: str) -> str:
        if name in ("transformers", "numba"):
            raise PackageNotFoundError(name)
        return versions.get(name, "99.0")

    monkeypatch.setattr(checks, "version", version)
    extra = found("hf")
    assert (extra.state, extra.fix) == ("note", "pip install 'ganatomy[hf]'")
    assert "transformers is not installed" in extra.message
    assert (found("numba").state, found("numba").message) == ("broken", "numba is not installed")
    assert (found("torch").state, found("torch").message) == ("broken", "torch 1.13.0 is older than 2.4")
    assert found("pandas").state == "ok"


@pytest.mark.parametrize(
    ("name", "value", "state", "says"),
    [
        ("OMP_NUM_THREADS", "999", "note", "999 threads hinder each other"),
        ("MKL_NUM_THREADS", "999", "note", "999 threads hinder each other"),
        ("OMP_WAIT_POLICY", "ACTIVE", "note", "threads that wait spin"),
        ("NUMBA_DISABLE_JIT", "1", "note", "are not compiled"),
        ("GANATOMY_OFFLINE", "1", "ok", "1"),
    ],
)
def test_settings_that_slow_it_down_are_told(
    name: str, value: str, state: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    finding = found(name)
    assert (finding.state, says in finding.message) == (state, True)


@pytest.mark.parametrize(("threads", "state"), [(None, "note"), ("8", "note"), ("2", "ok")])
def test_a_container_that_may_use_few_cores(threads: str | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_cores", lambda: 64)
    monkeypatch.setattr(checks, "_quota", lambda: 2.5)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    finding = found("cores")
    assert (finding.state, finding.message) == (state, "this container may use 2.5 of 64")
    assert finding.fix == ("" if state == "ok" else "set OMP_NUM_THREADS=2")


def test_directories_that_cannot_be_written_are_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").write_text("")
    monkeypatch.setenv("GANATOMY_CACHE", "/proc/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    cache, temporary = found("fetched models"), found("temporary files")
    assert (cache.state, cache.fix) == ("note", "set GANATOMY_CACHE to another directory")
    assert "/proc/nowhere cannot be written" in cache.message
    assert temporary.state == "broken"


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage(10**8))
    finding = found("this directory")
    assert (finding.state, finding.fix) == ("note", "make room")
    assert "0.1 GB free" in finding.message


def test_fetched_models_are_looked_over(here: Path) -> None:
    model = MODEL_ZOO["progan-church"]
    (here / model.files[0]).write_bytes(b"PK\x03\x04whole")
    fetch_model(model.name, source=str(here))
    assert found(model.name).state == "ok"
    (model.directory / model.files[0]).write_bytes(b"PK\x03\x04other")
    assert found(model.name).state == "note"
    assert "changed since it came" in found(model.name).message


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(topic: str) -> Iterator[Finding]:
        yield Finding(topic, "first", "ok", "as it should be")
        raise RuntimeError("no such thing\nand more")

    looks: dict[str, Callable[[str], Iterator[Finding]]] = {"devices": broken, "software": checks.TOPICS["software"]}
    monkeypatch.setattr(checks, "TOPICS", looks)
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "broken devices" in text
    assert "RuntimeError: no such thing\n" in text
    assert "python" in text
    assert text.endswith("dissection will not run here: devices\n")


def test_a_plugin_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        def __init__(self, name: str, error: Exception | None) -> None:
            self.name, self.value, self.error = name, f"{name}.module:open", error

        def load(self) -> Any:
            if self.error:
                raise self.error

    entries = {"ganatomy.generators": [Entry("good", None), Entry("bad", ImportError("no lib"))]}
    monkeypatch.setattr(checks, "entry_points", lambda group: entries.get(group, []))
    without("plug-ins", monkeypatch)
    assert [(finding.name, finding.state) for finding in examine()] == [("good", "ok"), ("bad", "note")]
    assert "bad.module:open fails: ImportError: no lib" in examine()[1].message


@pytest.mark.slow
@pytest.mark.parametrize("package", ["torch", "pandas", "jinja2"])
def test_it_answers_where_a_package_cannot_be_imported(package: str, here: Path) -> None:
    (here / f"{package}.py").write_text("raise ImportError('libgone.so: cannot open shared object file')")
    done = subprocess.run(
        [sys.executable, "-m", "ganatomy", "doctor"],
        env={**os.environ, "PYTHONPATH": str(here)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert "libgone.so: cannot open shared object file" in done.stdout
    assert done.returncode == 1
    assert "dissection will not run here" in done.stdout
