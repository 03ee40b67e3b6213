"""Checkpoints are read as data; what does not fit is named."""

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from mistakes import mistake
from torch import nn

from ganatomy.core.fingerprint import file_sha256, fingerprint
from ganatomy.models.weights import bundled, bundled_names, card, fit_state, read_state

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2), "steps": torch.tensor(7)}


def write(path: Path, state: dict[str, Any]) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.pt", "w.pth", "w.bin"])
def test_every_format_gives_the_same_tensors(tmp_path: Path, name: str) -> None:
    state = read_state(write(tmp_path / name, STATE))
    assert state.keys() == STATE.keys()
    for key, tensor in STATE.items():
        assert torch.equal(state[key], tensor)
        assert state[key].dtype == tensor.dtype


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.pt"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.98])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    whole = write(tmp_path / name, STATE).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole))])
    with mistake("bad-file", name):
        read_state(tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.pt", "w"])
@pytest.mark.parametrize("content", [b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 500, b"PK\x03\x04" + b"\0" * 50])
def test_a_file_of_another_format_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with mistake("bad-file", name):
        read_state(tmp_path / name)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_no_checkpoint_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Bomb()}, "w.pt")
    Path("raw.pt").write_bytes(pickle.dumps(Bomb()))
    np.savez("w.npz", a=np.array([Bomb()], dtype=object))
    for name in ("w.pt", "raw.pt", "w.npz"):
        with mistake("bad-file", name):
            read_state(Path(name))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ([1, 2], ("list",)),
        ({"a": 3.0}, ("'a'", "float")),
        ({}, ("no tensors",)),
        ({"ok": torch.ones(2), "bad": torch.tensor([1.0, float("nan")])}, ("bad", "NaN")),
        ({"bad": torch.tensor(float("inf"), dtype=torch.float16)}, ("bad", "NaN")),
    ],
)
def test_what_holds_no_weights_is_refused(tmp_path: Path, content: Any, facts: tuple[str, ...]) -> None:
    torch.save(content, tmp_path / "w.pt")
    with mistake("bad-file", "w.pt", *facts):
        read_state(tmp_path / "w.pt")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with mistake("bad-file", path):
            read_state(path)


# ---------------------------------------------------------------- into a module


def network() -> nn.Module:
    return nn.ModuleDict({"a": nn.Linear(3, 2), "norm": nn.BatchNorm1d(2)})


def test_a_state_that_fits_is_loaded() -> None:
    state = {name: torch.full_like(tensor, 2) for name, tensor in network().state_dict().items()}
    del state["norm.num_batches_tracked"]
    module = network()
    fit_state(module, state, "w.pt")
    assert all(bool((tensor == 2).all()) for name, tensor in module.state_dict().items() if name in state)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"a.bias": None}, ("a.bias",)),
        ({"a.bias": None, "a.weight": None}, ("a.weight and 1 more",)),
        ({"a.bias": None, "net.a.bias": torch.ones(2)}, ("a.bias",)),
        ({"b": torch.ones(1), "c": torch.ones(1)}, ("b and 1 more",)),
        ({"a.weight": torch.ones(3, 2)}, ("a.weight", "[3, 2]", "[2, 3]")),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change: dict[str, Any], facts: tuple[str, ...]) -> None:
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = {name: tensor for name, tensor in {**before, **change}.items() if tensor is not None}
    with mistake("bad-file", "w.pt", *facts):
        fit_state(module, state, "w.pt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


# ---------------------------------------------------------------- fingerprints


def test_a_fingerprint_sees_names_types_shapes_bytes_and_facts() -> None:
    weight = torch.arange(6.0)
    prints = [
        fingerprint({"a": weight}),
        fingerprint({"b": weight}),
        fingerprint({"a": weight.view(2, 3)}),
        fingerprint({"a": weight.view(torch.int32)}),
        fingerprint({"a": weight + 1e-6}),
        fingerprint({"a": weight, "b": torch.ones(())}),
        fingerprint({"a": weight}, "fact"),
    ]
    assert len(set(prints)) == len(prints)


def test_a_fingerprint_does_not_see_order_layout_or_gradients() -> None:
    weight = torch.randn(2, 3, 4, 4)
    for same in (weight.contiguous(memory_format=torch.channels_last), nn.Parameter(weight)):
        assert fingerprint({"a": same, "b": weight[0]}) == fingerprint({"b": weight[0].clone(), "a": weight})


# ---------------------------------------------------------------- bundled weights


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "assets"
    folder.mkdir()
    path = write(folder / "small.safetensors", {"a": torch.ones(2)})
    (folder / "small.json").write_text(json.dumps({"kind": "generator", "sha256": file_sha256(path)}))
    monkeypatch.setattr("ganatomy.core.assets.files", lambda package: tmp_path)
    return folder


def test_bundled_weights_are_those_of_their_card(assets: Path) -> None:
    assert bundled_names() == ["small"]
    assert bundled("small") == assets / "small.safetensors"
    assert card("small")["kind"] == "generator"


def test_bundled_weights_that_were_changed_are_refused(assets: Path) -> None:
    write(assets / "small.safetensors", {"a": torch.zeros(2)})
    with mistake("bad-file", "small.safetensors", "sha256"):
        bundled("small")
    with mistake("unknown-name", "smal", "small"):
        bundled("smal")


def test_what_is_bundled_is_whole() -> None:
    for name in bundled_names():
        read_state(bundled(name))
        assert bundled(name).stat().st_size <= 12e6
        assert {"kind", "family", "sha256", "recipe", "seed", "date"} <= card(name).keys()


def test_whole_networks_are_refused_and_named(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated, its files are not gone
        torch.jit.script(net).save(tmp_path / "script.pt")
    torch.save(net, tmp_path / "whole.pt")
    torch.export.save(torch.export.export(net, (torch.zeros(2, 4),)), tmp_path / "program.pt2")
    for name, expected in {
        "script.pt": "torchscript:FILE",
        "whole.pt": "torch.nn.modules.container.Sequential",
        "program.pt2": "exported:",
    }.items():
        with mistake("bad-file", tmp_path / name, expected) as caught:
            read_state(tmp_path / name)
        assert "\x1b" not in str(caught.value)
