"""The callback in a real training by Lightning, on the CPU."""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn
from training_nets import LATENT, Drawing, normal

import ganatomy
from ganatomy.training import lightning as module

OPTIONS: dict[str, Any] = {"latents": normal, "images": 8, "segmenter": "colors", "options": {"levels": 4, "top": 2}}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's own
def test_a_training_of_two_epochs(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.generator = Drawing()

        def training_step(self, batch: Tensor, _: int) -> Tensor:
            return self.generator(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(torch.randn(8, LATENT), batch_size=2)

    callback = module.MonitorCallback("generator", out=tmp_path / "snapshots", every=3, strict=True, **OPTIONS)
    assert isinstance(callback, lightning.Callback)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "num_sanity_val_steps": 0}
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[callback], enable_model_summary=False, **options
    )
    trainer.fit(Model())
    assert trainer.global_step == 8
    assert ganatomy.TrainingHistory.open(tmp_path / "snapshots").steps == [1, 3, 6]


def trainer(**more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"is_global_zero": True, "loggers": [], "global_step": 4, **more})


def test_it_takes_the_board_that_the_trainer_logs_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "Monitor", lambda network, sample, **given: made.append(given))
    board = SimpleNamespace(add_scalar=None, add_image=None)
    loggers = [SimpleNamespace(experiment=None), SimpleNamespace(experiment=board)]
    module.CallbackMixin(out=tmp_path).on_train_start(trainer(loggers=loggers), nn.Identity())
    module.CallbackMixin(out=tmp_path, board="own").on_train_start(trainer(loggers=loggers), nn.Identity())
    module.CallbackMixin(out=tmp_path).on_train_start(trainer(), nn.Identity())
    assert [given["board"] for given in made] == [board, "own", None]


def test_only_the_first_process_takes_snapshots(tmp_path: Path) -> None:
    callback = module.CallbackMixin(out=tmp_path / "out", **OPTIONS)
    callback.on_train_start(trainer(is_global_zero=False), nn.Identity())
    callback.on_train_batch_end(trainer(), nn.Identity(), None, None, 0)
    assert callback.monitor is None


def test_it_calls_the_monitor_with_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr(module, "Monitor", lambda *_, **__: steps.append)
    callback = module.CallbackMixin("0.1")
    network = nn.Sequential(nn.Sequential(nn.Identity(), nn.ReLU()))
    callback.on_train_start(trainer(), network)
    callback.on_train_batch_end(trainer(global_step=9), network, None, None, 0)
    assert steps == [9]


def test_a_network_that_is_not_there() -> None:
    network = nn.ModuleDict({"first": nn.Identity(), "second": nn.Identity()})
    with mistake("bad-value", "ModuleDict", "generator", "first, second"):
        module.CallbackMixin("generator").on_train_start(trainer(), network)


def test_without_lightning_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(vars(module), "MonitorCallback", raising=False)
    with mistake("bad-model", "pip install 'ganatomy[lightning]'"):
        module.MonitorCallback  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'Callback'"):
        module.Callback  # noqa: B018
