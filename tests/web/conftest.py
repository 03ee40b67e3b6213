"""A small study of the planted world, served."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import ganatomy
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.web import Painter, create_app


@pytest.fixture(autouse=True)
def searches_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that a test measures are found at once, not seconds later."""
    monkeypatch.setattr("ganatomy.web.brush_values.LOOK_AGAIN", 0.0)


@pytest.fixture(scope="session")
def studied(dissect_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dissection of the planted generator."""
    directory = tmp_path_factory.mktemp("web") / "planted"
    dissect_once(directory, images=64)
    return directory


@pytest.fixture(scope="session")
def church(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dissection of two layers of the bundled church, on few images."""
    directory = tmp_path_factory.mktemp("web") / "church"
    ganatomy.dissect("bundled:church", layers=("layer4", "layer6"), images=128, calibration=64, out=directory)
    return directory


@pytest.fixture(scope="session")
def painter(studied: Path) -> Painter:
    return Painter(open_source(studied))


@pytest.fixture
def client(painter: Painter) -> Iterator[TestClient]:
    with TestClient(create_app({"planted": painter}), base_url="http://localhost") as client:
        yield client
