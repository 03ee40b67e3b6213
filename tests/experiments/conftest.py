"""A finished dissection of the planted world, and a reference that counts masks one by one."""

from pathlib import Path

import pytest

import ganatomy
from ganatomy.experiments.dissection import Dissection

PLANTED = {"generator": "planted:", "segmenter": "planted"}


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return ganatomy.dissect(**PLANTED, images=120, out=tmp_path_factory.mktemp("planted") / "study")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "study"
