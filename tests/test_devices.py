"""Devices by name."""

import pytest
import torch

from ganatomy.core import devices
from ganatomy.core.devices import find_device
from ganatomy.core.errors import BadValue


@pytest.mark.parametrize("name", ["cuad", "", "cuda:99", "cpu:x", "xpu"])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(BadValue, match=f"no device {name!r} here; there are: cpu"):
        find_device(name)


def test_a_device_that_is_there() -> None:
    assert find_device(torch.device("cpu")) == find_device("cpu") == torch.device("cpu")


def test_a_configured_worker_computes_there_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_worker_device", [])
    devices.configure_worker("cpu")
    assert find_device("cuda:7") == find_device("meta") == torch.device("cpu")
    devices.configure_worker("meta")
    assert find_device("cpu") == torch.device("meta")
