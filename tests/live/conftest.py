"""A finished dissection of the planted world."""

from pathlib import Path

import pytest

import ganatomy
from ganatomy.experiments.dissection import Dissection


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    directory: Path = tmp_path_factory.mktemp("planted") / "study"
    return ganatomy.dissect("planted:", segmenter="planted", images=32, out=directory)
