"""Processes that are killed, starved and crowded, and a finished study that they share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage

DISSECT = ("dissect", "planted:", "--segmenter", "planted:", "--layers", "layer2", "--images", "40", "--batch", "8")


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A process that forks commands."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def dissected(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study; the commands that make it have been run once, so all that is compiled is there."""
    folder = tmp_path_factory.mktemp("dissected")
    assert stage.run(folder, *DISSECT, "--out", "study").code == 0
    return folder / "study"


@pytest.fixture
def here(dissected: Path, tmp_path: Path) -> Path:
    """A folder with the finished study in it."""
    shutil.copytree(dissected, tmp_path / "study")
    return tmp_path
