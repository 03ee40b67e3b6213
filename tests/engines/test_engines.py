"""Engines by name: what is opened, and what is refused."""

from typing import Any

import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.engines import Engine, cpus, local, registry
from ganatomy.engines.processes import Processes
from ganatomy.engines.registry import driver_device, engine_of, open_engine


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def opened(*args: Any, **options: Any) -> list[str]:
    with open_engine(*args, **options) as engine:
        assert isinstance(engine, Processes)
        return engine.devices


def test_unless_told_otherwise_one_process_counts() -> None:
    for name in (None, "local"):
        with open_engine(name) as engine:
            assert engine is local
    with engine_of(local) as engine:
        assert engine is local
    assert isinstance(local, Engine)


def test_local_counts_a_shard_when_it_is_asked_for() -> None:
    counted: list[range] = []
    results = local(counted.append, [range(3), range(3, 5)])
    assert next(results) == (1, None)
    assert counted == [range(3)]


def test_processes_share_the_cores_or_the_gpus(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "usable", lambda: 3)
    assert opened("processes") == ["cpu"] * 3
    assert opened(workers=2) == ["cpu"] * 2
    assert opened("processes", device="cuda") == ["0", "1"]
    assert opened(workers=3, device="cuda:0") == ["0", "1", "0"]
    assert opened(devices=["cuda:1", "1"]) == ["1", "1"]


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ({"name": "proceses"}, "unknown-name", "processes"),
        ({"name": "dask"}, "unknown-name", "local, processes, ray, ray://HOST:PORT"),
        ({"workers": 0}, "bad-value", "workers=0"),
        ({"name": "local", "workers": 2}, "bad-value", "workers=2"),
        ({"name": "local", "devices": ["cpu"]}, "bad-value", "local"),
        ({"name": "ray", "devices": ["0"]}, "bad-value", "ray"),
        ({"workers": 2, "devices": ["cpu"]}, "bad-value", "workers and devices"),
        ({"name": "processes", "gpus_per_worker": 0.5}, "bad-value", "engine processes"),
        ({"gpus_per_worker": 0.5}, "bad-value", "engine local"),
        ({"name": "ray", "gpus_per_worker": -1.0}, "bad-value", "gpus_per_worker=-1.0"),
        ({"name": "ray", "gpus_per_worker": float("nan")}, "bad-value", "gpus_per_worker=nan"),
        ({"devices": ["9"]}, "bad-value", "'9'"),
        ({"name": "processes", "device": "cuda"}, "bad-value", "no devices"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_line(
    options: dict[str, Any], code: str, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with mistake(code, fact):
        open_engine(**options)


def test_the_process_that_gives_out_work_computes_on_the_first_of_the_devices() -> None:
    assert driver_device("auto", ()) == driver_device("auto", ("cpu", "cpu")) == driver_device("cpu", ()) == "cpu"
    assert driver_device("auto", ("cuda:3", "1")) == "cuda:3"
    assert driver_device("cuda:1", ("0", "1")) == "cuda:1"
    for device, devices in (("cpu", ("0", "1")), ("cuda", ("cpu",))):
        with mistake("bad-value", f"device {device}", ",".join(devices)):
            driver_device(device, devices)


@pytest.mark.parametrize(
    ("asked", "workers", "own"), [(None, 2, 4), ("3", 2, 3), ("16", 2, 4), ("", 16, 1), ("0", 2, 1)]
)
def test_workers_share_the_cores_of_a_machine(
    asked: str | None, workers: int, own: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(cpus, "cores", lambda: 64)
    monkeypatch.setattr(cpus, "quota", lambda: 8.5)
    assert cpus.threads(workers) == own
    monkeypatch.setattr(cpus, "quota", lambda: 0.5)
    assert cpus.usable() == 1


OPTIONS: dict[str, Any] = {"segmenter": "planted:", "images": 24, "batch": 4, "shard": 8, "levels": 8}


@pytest.mark.slow
def test_an_engine_by_its_name_counts_what_one_process_counts() -> None:
    """Tables of counts, floats and all: every shard is merged by itself, in its order."""
    alone = ganatomy.dissect("planted:", **OPTIONS)
    with open_engine("processes", workers=2) as engine:
        for given in (engine, "processes"):
            found = ganatomy.dissect("planted:", **OPTIONS, engine=given)
            for step in ("levels", "chosen", "evaluation"):
                file = f"steps/{step}.npz"
                assert (found.study.directory / file).read_bytes() == (alone.study.directory / file).read_bytes()
        kept = engine._idle  # type: ignore[attr-defined]
        assert len(kept) == 2, "who opened an engine goes on with it"
        effect = ganatomy.ablate(found, layer="layer1", units=[0], images=8, shard=4, random=0, engine=engine)
        assert engine._idle == kept  # type: ignore[attr-defined]
    again = ganatomy.ablate(alone, layer="layer1", units=[0], images=8, shard=4, random=0)
    assert effect.table.equals(again.table)
