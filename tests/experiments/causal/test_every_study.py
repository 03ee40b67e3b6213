"""What holds for every causal study: a stopped run goes on to the same bits; it opens without models, as what it is."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ganatomy
from ganatomy.core.errors import BadFile
from ganatomy.experiments.base import experiment
from ganatomy.experiments.dissection import Dissection

BALL = {"layer": "layer2", "units": [10], "concept": "ball"}
ASKED: dict[str, dict[str, Any]] = {
    "ablate": BALL,
    "insert": {**BALL, "at": (0, 0), "cell": 3, "pool": 30},
    "unit_effects": {"layer": "layer1"},
    "context": {**BALL, "cell": 8, "pool": 30},
    "trace": {**BALL, "cell": 8, "pool": 30},
    "capacity": {"layers": ["layer2"], "concept": "ball", "tops": [2], "cells": [4], "pool": 30},
    "best_setting": {"layers": ["layer2"], "concept": "ball", "cell": 4, "pool": 30},
    "accuracy": {"layer": "see", "units": [0]},
    "unit_accuracy": {"layer": "see", "sizes": [1, 2]},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_a_stopped_run_goes_on_to_the_same_bits_and_needs_no_model_to_be_read(
    name: str, planted: Dissection, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = iter([False, True])

    def halting(work: Any, shards: Any) -> Any:
        for shard in shards:
            if next(stops, False):
                raise InterruptedError
            yield 1, work(shard)

    def run(out: str, **more: Any) -> Any:
        study = planted if experiment(name).draws else classifier
        images = 60 if "accuracy" in name else 8
        shard = 20 if "accuracy" in name else 3
        return getattr(ganatomy, name)(study, images=images, shard=shard, **ASKED[name], out=tmp_path / out, **more)

    whole = run("whole")
    with pytest.raises(InterruptedError):
        run("stopped", engine=halting)
    run("stopped")
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").glob("*/*.*"))
    assert files
    for file in files:
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    monkeypatch.setattr("ganatomy.experiments.model_pair.open_subject", None)
    opened = experiment(name).result.open(tmp_path / "whole")
    assert opened.spec == whole.spec
    pd.testing.assert_frame_equal(opened.table, whole.table)


@pytest.mark.parametrize("name", [*ASKED, "ace"])
def test_another_study_is_refused(name: str, planted: Dissection) -> None:
    with pytest.raises(BadFile, match=r"holds no \w+ study that this version can read"):
        experiment(name).result.open(planted.study.directory)
