"""Models of diffusers, opened from the folder `saved` of the file that asks, and pipelines."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from diffusers_models import opened
from diffusers_pipelines import save_pipeline
from diffusers_transformers import save_transformer

from ganatomy.models.generators.hooked import HookedGenerator


@pytest.fixture(scope="module")
def kl(saved: Path) -> HookedGenerator:
    return opened(saved / "kl")


@pytest.fixture(scope="module")
def ddpm(saved: Path) -> HookedGenerator:
    return opened(f"{saved / 'ddpm'}?step=100&steps=3")


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a saved model, to be spoilt."""
    return lambda name: Path(shutil.copytree(saved / name, tmp_path / name))


@pytest.fixture(scope="session")
def saved_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a pipeline of a kind, with ``prompts.txt``; never written to again."""
    return saved_once(save_pipeline, tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(scope="session")
def saved_transformer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a pipeline of a transformer, with ``prompts.txt``; never written to again."""
    return saved_once(save_transformer, tmp_path_factory.mktemp("transformers"))


def saved_once(save: Callable[[str, Path], Path], folder: Path) -> Callable[[str], Path]:
    made = dict[str, Path]()

    def find(kind: str) -> Path:
        if kind not in made:
            made[kind] = save(kind, folder / kind).parent
        return made[kind]

    return find
