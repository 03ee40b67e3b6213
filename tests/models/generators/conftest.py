"""Models of diffusers, opened from the folder `saved` of the file that asks."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from diffusers_models import opened

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
