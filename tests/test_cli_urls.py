"""Every command takes URLs: what it leaves there is, to the bit, what it leaves in a directory."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from mistakes import assert_mistake_line

import ganatomy
from ganatomy.cli import main
from ganatomy.core.tensor_files import Archive
from ganatomy.remote import local_path
from ganatomy.study import Study

DISSECT = ("dissect", "planted", "--segmenter", "planted", "--images", "40", "--layers", "layer2", "--batch", "8")
ABLATED = "ablate-units-1-ball-images-12"
LAYER = ("--layer", "layer2", "--images", "12", "--batch", "8")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Go to another machine."""

    def go(name: str) -> None:
        monkeypatch.setenv("GANATOMY_CACHE", str(tmp_path / "machines" / name))

    go("a")
    monkeypatch.chdir(tmp_path)
    yield go
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def run(*argv: str) -> None:
    assert main([*argv]) == 0


def there(url: str) -> dict[str, bytes]:
    fs, root = fsspec.core.url_to_fs(url)
    return {name.removeprefix(f"{root}/"): fs.cat_file(name) for name in fs.find(root)}


def counted(files: dict[str, bytes]) -> dict[str, bytes]:
    """What was measured; pages and records also say where, and the looks of an optimisation how long they took."""
    timed = ("/alpha-", "/history.parquet")
    kinds = (".npz", ".parquet")
    return {name: own for name, own in files.items() if name.endswith(kinds) and not any(map(name.__contains__, timed))}


def use(where: str) -> None:
    """Run a handful of commands on studies below a directory or URL."""
    run(*DISSECT, "--out", f"{where}/study")
    run(*DISSECT, "--seed", "1", "--out", f"{where}/other")
    run("report", f"{where}/study")
    run("ablate", f"{where}/study", *LAYER, "--units", "1", "--concept", "ball")
    run("ace", f"{where}/study", *LAYER, "--concept", "ball", "--quick", "--pool", "16", "--top", "2")
    run("apply", f"{where}/study", "--edit", f"{where}/study-causal/layer2/{ABLATED}/edit.json", "--images", "12")
    run("ablate", f"{where}/study", *LAYER, "--concept", "ball", "--by", "ace", "--top", "1")
    run("compare", f"{where}/study", f"{where}/other", "--out", f"{where}/both", "--draws", "5")


@pytest.mark.slow
def test_what_commands_leave_at_a_url_is_what_they_leave_in_a_directory(
    machine: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use("here")
    use("memory://runs")
    here = tmp_path / "here"
    plain = {path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()}
    found = there("memory://runs")
    kept = {name for name in plain if ".lock" not in name and not name.endswith("/index.html")}  # no index at a URL
    assert kept == found.keys()
    assert counted(found) == {name: (here / name).read_bytes() for name in counted(found)}
    told = capsys.readouterr()
    assert told.err == ""
    assert ", and memory://runs/study/report.html" in told.out
    record = json.loads(found[f"study-causal/layer2/{ABLATED}/study.json"])
    assert record["facts"]["source"] == "memory://runs/study"

    machine("b")
    run("ablate", "memory://runs/study", *LAYER, "--concept", "ball", "--by", "ace", "--top", "1", "--json")
    answer = json.loads(capsys.readouterr().out)
    assert answer["study"].startswith("memory://runs/study-causal/layer2/ablate-ball-ace-1")
    assert counted(there("memory://runs")) == counted(found)


@pytest.mark.slow
def test_functions_take_urls_too(machine: Any) -> None:
    options: dict[str, Any] = {"segmenter": "planted", "images": 40, "layers": ("layer2",), "batch": 8}
    ganatomy.dissect("planted", out="memory://x/study", **options)
    effect = ganatomy.ablate("memory://x/study", layer="layer2", units=[1], images=12, batch=8)
    machine("b")
    assert ganatomy.open_dissection("memory://x/study").spec.images == 40
    assert len(effect.table)
    assert ganatomy.Study.open("memory://x/study").finished
    ganatomy.monitor(["planted"], out="memory://x/looks", steps=[5], levels=8, **options)
    machine("c")
    training = ganatomy.monitor(["planted"], out="memory://x/looks", steps=[7], levels=8, **options)
    assert [look.step for look in training.snapshots] == [5, 7]


def test_what_is_wrong_with_a_url_is_one_line(refused: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    for url, fact in (
        ("s3://KEY:SECRET@bucket/x", "password"),
        ("https://host/x", "https://"),
        ("memory://nobody/x", "memory://nobody/x"),
        ("nonesuch://host/x", "nonesuch"),
    ):
        assert main(["report", url]) == 2
        error = capsys.readouterr().err
        assert_mistake_line(error, fact)
        assert "SECRET" not in error
    refused(["scenes", "render", "--count", "1", "--out", "memory://scenes"], "memory://scenes", "URL")


STUDY = """
import sys, time, torch
from dataclasses import dataclass
import pandas as pd
from ganatomy.remote import mirror
from ganatomy.study import Study
mirror.INTERVAL = 0.02

@dataclass(frozen=True)
class CountSpec:
    seed: int = 0

class Sum:
    def __init__(self, total): self.total = total
    def merge(self, other): return Sum(self.total + other.total)
    def state_dict(self): return {"total": self.total}
    @classmethod
    def from_state(cls, state): return cls(state["total"])

def work(ids):
    time.sleep(0.01)
    return Sum(torch.stack([torch.full((50_000,), 1.0 / (i + 1)) for i in ids]).sum(0))

shards = [range(i, i + 2) for i in range(0, 60, 2)]
with Study.create(sys.argv[1], CountSpec(), {"inputs": {}}) as study:
    total = study.sharded("sum", Sum, work, shards)
    study.step("twice", Sum, lambda: Sum(2 * total.total))
    study.write_table("rows", pd.DataFrame({"x": total.total.tolist()}))
    if not study.finished:
        study.finish()
"""
KILLS = 3
"""The 40 of ``KILLS=40`` were done by hand."""


@pytest.mark.slow
def test_killed_at_any_moment_the_url_holds_whole_files_and_the_next_machine_ends_in_the_same_bits(
    machine: Any, tmp_path: Path
) -> None:
    (tmp_path / "study.py").write_text(STUDY)
    url = f"file://{tmp_path}/far/study"

    def start(where: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "study.py", where])

    began = time.monotonic()
    assert start(str(tmp_path / "straight")).wait(120) == 0
    whole = time.monotonic() - began
    kills = int(os.environ.get("KILLS", KILLS))
    for number in range(kills):
        machine(f"m{number % 3}")
        process = start(url)
        time.sleep(whole * (0.5 + number / kills))
        process.send_signal(signal.SIGKILL)
        process.wait()
        check_whole(tmp_path / "far" / "study")
    machine("last")
    assert start(url).wait(120) == 0
    found = {p.relative_to(tmp_path / "far/study").as_posix(): p.read_bytes() for p in (tmp_path / "far").rglob("*.*")}
    assert found.keys() == {"study.json", "steps/sum.npz", "steps/twice.npz", "tables/rows.parquet"}
    assert counted(found) == {name: (tmp_path / "straight" / name).read_bytes() for name in counted(found)}
    assert Study.open(url).directory == local_path(url)


def check_whole(study: Path) -> None:
    """See that whatever a reader would find is whole."""
    for path in study.rglob("*"):
        if path.name.startswith(".") or path.is_dir():
            continue
        with contextlib.suppress(FileNotFoundError):
            if path.suffix == ".npz":
                dict(Archive(path))
            elif path.suffix == ".parquet":
                pd.read_parquet(path)
            else:
                assert not json.loads(path.read_text())["finished"] or (study / "tables" / "rows.parquet").exists()
