"""The finished dissection of the planted world, open with its models."""

import pytest

from ganatomy.experiments.causal.source import Source, open_source
from ganatomy.experiments.dissection import Dissection


@pytest.fixture(scope="session")
def source(planted: Dissection) -> Source:
    return open_source(planted.study.directory)
