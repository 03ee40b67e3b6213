"""The finished dissections of the planted world, open with its models, and of a classifier whose units are known."""

from pathlib import Path

import pytest
from toy_classifier import toy_spec, write_images

import ganatomy
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.run_options import RunOptions


@pytest.fixture(scope="session")
def source(planted: Dissection) -> DissectedModel:
    return open_source(planted.study.directory, run=RunOptions(batch=10, shard=6))


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    images = write_images(folder / "toys", 90)
    ganatomy.dissect(toy_spec(images), segmenter=f"labels:{images}", images=40, out=folder / "study")
    return folder / "study"
