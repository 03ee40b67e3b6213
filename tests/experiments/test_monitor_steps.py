"""The training of a model that makes an image in steps is monitored as that of a GAN."""

from pathlib import Path

from tiny_words import save_words

from ganatomy.experiments.monitor.checkpoints import run_monitor
from ganatomy.experiments.monitor.steps import plan_checkpoints

OPTIONS = "steps=3&step=1,3&layers=up1"


def test_checkpoints_of_a_training_are_monitored(tmp_path: Path, out: Path) -> None:
    files = [save_words(tmp_path / f"step{step}.pth", seed=step).partition(":")[2] for step in (1000, 2000)]
    checkpoints = plan_checkpoints(files, f"wordflow:{{}}?{OPTIONS}", None)
    history = run_monitor(checkpoints, out, {"segmenter": "colors", "images": 16})
    assert list(history.layers) == ["up1@1", "up1@3"]
    assert sorted(history.table.step.unique()) == [1000, 2000]
