"""A monitor takes a snapshot when it is time to, within its time, and the training ends in the same bits."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import training_nets
from mistakes import mistake
from torch import Tensor, nn
from training_nets import LATENT, Training, normal

import ganatomy
from ganatomy.training import monitor as module

SMALL = {"images": 8, "segmenter": "colors", "latents": normal, "options": {"levels": 4, "top": 2}}


def made(training: Training, out: Path, **options: Any) -> ganatomy.Monitor:
    return ganatomy.Monitor(training.network, **{"out": out, "every": 2, **SMALL, **options})


@pytest.mark.slow
def test_training_goes_the_same_way_to_the_bit(tmp_path: Path) -> None:
    """In a process of its own: the shape checks of a test run draw from `random` to look into lists."""
    done = subprocess.run(
        [sys.executable, training_nets.__file__, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ganatomy.TrainingHistory.open(tmp_path).steps == [0, 2, 4]


def test_snapshots_come_when_a_multiple_is_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ganatomy.Monitor, "_begin", lambda self, network: None)
    monkeypatch.setattr(ganatomy.Monitor, "snapshot", lambda self, step: looked.append(step))
    looked: list[int] = []
    monitor = made(Training(), tmp_path, every=10)
    for step in (3, 4, 9, 10, 11, 19, 25, 26, 30):
        monitor(step)
    assert looked == [3, 10, 25, 30]


def test_it_waits_for_its_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(self: ganatomy.Monitor, network: nn.Module) -> None:
        self._spent, self._since, self._images, self._least, self._each = 0.0, clock[0], 8, 1.0, 0.0

    looked, clock = [], [100.0]
    monkeypatch.setattr(module, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(ganatomy.Monitor, "_begin", begin)
    monkeypatch.setattr(ganatomy.Monitor, "snapshot", lambda self, step: looked.append(step))
    monitor = made(Training(), tmp_path, every=1, share=0.05)
    for step in range(40):
        monitor(step)
        clock[0] += 1  # a look takes 1.25 s, so one may be had after 25 s
        monitor._spent = 1.25 * len(looked)
    assert looked == [25]


def test_the_budget_decides_how_many_images(tmp_path: Path) -> None:
    monitor = made(Training(), tmp_path, images=1000)
    monitor._least, monitor._each = 1.0, 0.1
    monitor.budget = 1000.0
    assert monitor._fitting() == 1000
    monitor.budget = 40.0  # 1.25 (1 + 0.1 n) fits 310
    assert monitor._fitting() == 250
    monitor.budget = 1.0
    with mistake("bad-value", "50 images", "7.5 s", "budget=1"):
        monitor._fitting()


def test_a_look_that_takes_too_long_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training()
    monitor = made(training, tmp_path, images=240)
    before = {**training.everything(), "python": None}
    monkeypatch.setattr(monitor, "budget", 0.0)
    assert monitor.snapshot(7) is None
    assert "no snapshot at step 7: it would have taken longer than budget=0 s; the training goes on" in caplog.text
    assert {**training.everything(), "python": None} == before
    assert monitor._images == 120
    assert not list((tmp_path / "studies").iterdir())
    monkeypatch.setattr(monitor, "budget", 60.0)
    assert monitor.snapshot(8) is not None
    training_seen = ganatomy.TrainingHistory.open(tmp_path)
    assert training_seen.table.images.unique().tolist() == [120]
    assert training_seen.skipped.step.tolist() == [7]


def test_a_failure_is_told_and_the_training_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training()
    monitor = made(training, tmp_path)
    with torch.no_grad():
        training.network.start.bias[0] = float("nan")
    assert monitor(4) is None
    assert "no snapshot at step 4" in caplog.text
    assert "NaN" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    with mistake("study-error", "step 4", "start.bias", "NaN"):
        ganatomy.TrainingHistory.open(tmp_path)


def test_what_the_network_raises_is_told_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training()
    monitor, strict = (made(training, tmp_path / name, strict=name == "strict") for name in ("kind", "strict"))
    training.network.last = nn.Conv2d(5, 3, 1)
    assert monitor(0) is None
    assert "no snapshot at step 0: running Drawing raised RuntimeError" in caplog.text
    with mistake("bad-model", "Drawing", "RuntimeError"):
        strict(0)


def test_a_full_disk_stops_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monitor = made(Training(), tmp_path / "out")
    (tmp_path / "out").write_text("")
    assert monitor(0) is None
    assert "no snapshot at step 0" in caplog.text


class Conditional(nn.Module):
    """Takes a latent and a class."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, LATENT)
        self.body = nn.Sequential(nn.Linear(LATENT, 48), nn.Unflatten(1, (3, 4, 4)), nn.Upsample(scale_factor=4))
        self.last = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 3, 1))

    def forward(self, z: Tensor, kind: Tensor) -> Tensor:
        return self.last(self.body(z + self.table(kind))).tanh()


def test_a_conditional_network_is_sampled_by_a_callable(tmp_path: Path) -> None:
    network = Conditional()
    options = {**SMALL, "latents": None, "latent": (LATENT + 1,), "out": tmp_path, "strict": True}
    monitor = ganatomy.Monitor(network, lambda g, z: g(z[:, :-1], z[:, -1].abs().long().clamp(max=2)), **options)
    assert "No snapshot yet" in monitor._repr_html_()
    found = monitor.snapshot(1)
    assert found is not None
    assert list(found.layers) == ["body.1", "last.0"]
    assert "<table" in monitor._repr_html_()
    assert network.training


def test_only_the_first_process_takes_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monitor = made(Training(), tmp_path / "out", share=0.5)
    assert monitor(0) is None
    assert monitor.snapshot(0) is None
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ({"every": 0}, "bad-value", "every=0"),
        ({"budget": -1.0}, "bad-value", "budget=-1.0"),
        ({"share": 2.0}, "bad-value", "share=2.0"),
        ({"layers": ("nowhere",)}, "unknown-name", "nowhere"),
        ({"segmenter": "colurs"}, "unknown-name", "colors"),
        ({"latents": None, "latent": (5,)}, "bad-model", "RuntimeError"),
        ({"board": 3}, "bad-value", "add_scalar and add_image"),
    ],
)
def test_mistakes_are_told_before_the_training(tmp_path: Path, options: dict[str, Any], code: str, fact: str) -> None:
    training = Training()
    before = torch.get_rng_state()
    with mistake(code, fact):
        made(training, tmp_path, **options)
    assert torch.equal(torch.get_rng_state(), before)
    assert training.network.training


def test_going_on_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    training = Training()
    made(training, tmp_path).snapshot(5)
    assert not caplog.text
    made(training, tmp_path)(5)
    assert "has snapshots up to step 5; new ones are added" in caplog.text
    assert ganatomy.TrainingHistory.open(tmp_path).steps == [5]
