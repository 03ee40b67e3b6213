"""A small study of the planted world, served."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import ganatomy
from ganatomy.experiments.causal.source import open_source
from ganatomy.web import Painter, create_app


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dissection of the planted generator."""
    directory = tmp_path_factory.mktemp("web") / "planted"
    ganatomy.dissect("planted", segmenter="planted", images=64, calibration=32, out=directory)
    return directory


@pytest.fixture(scope="session")
def painter(studied: Path) -> Painter:
    return Painter(open_source(studied))


@pytest.fixture
def client(painter: Painter) -> Iterator[TestClient]:
    with TestClient(create_app({"planted": painter}), base_url="http://localhost") as client:
        yield client
