"""What is asked of a GAN is asked of a model that makes an image in steps: quality, repair, comparisons, training."""

from pathlib import Path

import numpy as np
import pytest
from small_runs import write_real
from tiny_words import save_words

import ganatomy
from ganatomy import open_generator
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.monitor.checkpoints import run_monitor
from ganatomy.experiments.monitor.steps import plan_checkpoints
from ganatomy.models.generators.repaired import RepairedGenerator

OPTIONS = "steps=3&step=1,3&layers=up1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    write_real(folder, open_generator(f"{save_words(folder / 'other.pth', seed=3)}?{OPTIONS}"), 20)
    return folder


@pytest.fixture(scope="module")
def dissected(folder: Path) -> Dissection:
    name = f"{save_words(folder / 'step1000.pth')}?{OPTIONS}"
    return ganatomy.dissect(name, segmenter="colors", images=16, out=folder / "study")


def test_quality_artifacts_and_repair(dissected: Dissection, folder: Path, out: Path) -> None:
    network = f"unet:{folder / 'net.safetensors'}"
    real = {"real": str(folder / "real"), "features": network, "reals": 20, "images": 20}
    quality = ganatomy.quality(dissected.study.directory, **real, out=out / "quality")
    assert len(quality.table)
    ranking = ganatomy.artifacts(dissected.study.directory, "up1@3", **real, top=14, out=out / "artifacts")
    assert ranking.table.unit.nunique() == 8
    repair = ganatomy.repair(
        dissected.study.directory, "up1@3", units=[1, 2], random=1, **real, top=14, textures=0, out=out / "repair"
    )
    repaired, base = open_generator(repair.opens), open_generator(dissected.spec.generator)
    assert isinstance(repaired, RepairedGenerator), "weights are those of all steps: an edit of one cannot be folded"
    z = base.latents(range(2), 0)
    assert not np.allclose(repaired.observe(z, ()).images, base.observe(z, ()).images)
    assert list(repaired.listed) == ["up1@1", "up1@3"]


def test_studies_are_compared_at_the_steps_that_both_have(dissected: Dissection, folder: Path, out: Path) -> None:
    name = f"{save_words(folder / 'step2000.pth', seed=1)}?steps=3&step=3&layers=up1"
    other = ganatomy.dissect(name, segmenter="colors", images=16, out=out / "other")
    both = ganatomy.compare([dissected.study.directory, other.study.directory], out=out / "both")
    assert set(both.counts.layer) - {"all"} == {"up1@3"}
    alone = ganatomy.compare([dissected.study.directory], out=out / "alone")
    assert {"up1@1", "up1@3"} <= set(alone.counts.layer)


def test_checkpoints_of_a_training_are_monitored(dissected: Dissection, folder: Path, out: Path) -> None:
    files = [save_words(folder / f"step{step}.pth", seed=step).partition(":")[2] for step in (1000, 2000)]
    checkpoints = plan_checkpoints(files, f"wordflow:{{}}?{OPTIONS}", None)
    history = run_monitor(checkpoints, out, {"segmenter": "colors", "images": 16})
    assert list(history.layers) == ["up1@1", "up1@3"]
    assert sorted(history.table.step.unique()) == [1000, 2000]
