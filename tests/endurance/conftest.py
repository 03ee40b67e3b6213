"""Processes that are killed, starved and crowded, and a finished study that they share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_runs import write_network
from stage import DISSECT, Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A process that forks commands."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def dissected(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished study, and a network that describes an image by 8 numbers."""
    folder = tmp_path_factory.mktemp("dissected")
    assert stage.run(folder, *DISSECT, "--out", "study").code == 0
    write_network(folder)
    return folder


@pytest.fixture
def here(dissected: Path, tmp_path: Path) -> Path:
    """A folder of one's own with the same."""
    shutil.copytree(dissected, tmp_path, dirs_exist_ok=True)
    return tmp_path
