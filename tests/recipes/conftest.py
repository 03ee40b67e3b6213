"""Recipes are imported by their names; what they set for their own process is set back after each test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes"))


@pytest.fixture(autouse=True)
def _the_process_is_not_ours() -> Iterator[None]:
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)
