"""A finished dissection of the planted world."""

from typing import Any

import pytest

from ganatomy.experiments.dissection import Dissection


@pytest.fixture(scope="session")
def planted(dissect_once: Any, tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return dissect_once(tmp_path_factory.mktemp("planted") / "study", images=64)
