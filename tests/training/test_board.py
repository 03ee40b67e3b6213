"""What TensorBoard is sent, by a double that records it and by the real one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_nets import Training, normal

import ganatomy
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.monitor.snapshots import Snapshot, count_units
from ganatomy.training.tensorboard import log_snapshot, open_board


class Recorder:
    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}
        self.images: dict[tuple[str, int], Any] = {}

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any) -> None:
        self.scalars[tag, global_step] = scalar_value

    def add_image(self, tag: str, img_tensor: Any, global_step: Any, *, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.images[tag, global_step] = img_tensor


def test_numbers_and_images_of_a_snapshot(planted: Dissection) -> None:
    board, numbers = Recorder(), count_units(planted).to_dict("records")
    log_snapshot(board, Snapshot(30, "30", numbers=numbers, images=120), planted, [("layer1", 0)], 2.5)
    own = planted.by_layer[planted.by_layer.layer == "layer1"].iloc[0]
    assert board.scalars["ganatomy/layer1/matched", 30] == own.matched
    assert board.scalars["ganatomy/layer1/interpretable", 30] == own.interpretable
    matched = planted.units[(planted.units.layer == "layer1") & planted.units.matched]
    assert board.scalars["ganatomy/layer1/matched_iou", 30] == pytest.approx(matched.iou.mean())
    objects = matched[matched.category == "object"].label.nunique()
    assert board.scalars["ganatomy/layer1/concepts/object", 30] == objects
    assert board.scalars["ganatomy/images", 30] == 120
    assert board.scalars["ganatomy/seconds", 30] == 2.5
    assert list(board.images) == [("ganatomy/layer1/unit 0", 30)]
    image = board.images["ganatomy/layer1/unit 0", 30]
    assert image.dtype == np.uint8
    assert image.shape == (96, 5 * 98 - 2, 3)


def test_what_is_missing_is_not_sent(planted: Dissection) -> None:
    board = Recorder()
    row = {"layer": "layer1", "category": "all", "interpretable": 0, "matched": 0, "concepts": 0, "matched_iou": None}
    log_snapshot(board, Snapshot(0, "0", numbers=[row]), planted, [], 1.0)
    assert "ganatomy/layer1/matched_iou" not in {tag for tag, _ in board.scalars}


def test_a_board_that_fails_costs_no_snapshot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorder):
        def add_scalar(self, tag: str, scalar_value: Any, global_step: Any) -> None:
            raise OSError("the disk is full")

    options = {"images": 8, "segmenter": "colors", "latents": normal, "options": {"levels": 4, "top": 2}}
    ganatomy.Monitor(Training().network, out=tmp_path, board=Broken(), **options).snapshot(3)
    assert "no snapshot at step 3: OSError: the disk is full" in caplog.text
    assert ganatomy.TrainingHistory.open(tmp_path).steps == [3]


@pytest.mark.slow
def test_the_real_board(tmp_path: Path, planted: Dissection) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = open_board(True, tmp_path)
    assert board is not None
    log_snapshot(
        board, Snapshot(7, "7", numbers=count_units(planted).to_dict("records")), planted, [("layer2", 1)], 1.0
    )
    board.close()  # type: ignore[attr-defined]
    read = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert read.Scalars("ganatomy/layer2/matched")[0].step == 7
    assert read.Images("ganatomy/layer2/unit 1")[0].height == 96
