"""A finished dissection of the planted world, and a reference that counts masks one by one."""

from pathlib import Path

import pytest
from spoilt import painter, spoilt_place

import ganatomy
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.run_options import RunOptions

PLANTED = {"generator": "planted:", "segmenter": "planted"}


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return ganatomy.dissect(**PLANTED, images=120, out=tmp_path_factory.mktemp("planted") / "study")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "study"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images, which are the painter's without its fault; a small feature network; a dissection of the painter."""
    place = tmp_path_factory.mktemp("spoilt")
    spoilt_place(place)
    return place


@pytest.fixture(scope="session")
def source(place: Path) -> DissectedModel:
    return open_source(place / "study", generator=painter(), run=RunOptions(shard=50))
