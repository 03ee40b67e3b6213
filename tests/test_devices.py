"""Devices by name."""

import pytest
import torch
from mistakes import mistake

from ganatomy.core import devices
from ganatomy.core.devices import choose_device, find_device


@pytest.mark.parametrize("name", ["cuad", "", "cuda:99", "cpu:x", "xpu"])
def test_a_device_that_is_not_there(name: str) -> None:
    with mistake("bad-value", repr(name), "cpu"):
        find_device(name)


def test_a_device_that_is_there() -> None:
    assert find_device(torch.device("cpu")) == find_device("cpu") == torch.device("cpu")


def test_a_configured_worker_computes_there_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_worker_device", [])
    devices.configure_worker("cpu")
    assert find_device("cuda:7") == find_device("meta") == torch.device("cpu")
    devices.configure_worker("meta")
    assert find_device("cpu") == torch.device("meta")


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto") == expected
        assert choose_device("cpu") == "cpu"


def test_a_build_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with mistake("bad-value", "cuda", "cpu", "without CUDA"):
        find_device("cuda")
