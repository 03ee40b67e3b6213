"""The error by blocks left out beside what many samples show."""

import pytest
import torch
from mistakes import mistake

from ganatomy.stats.jackknife import blocks_left_out, jackknife_error


def test_every_block_is_left_out_once_and_what_is_over_never() -> None:
    left = blocks_left_out(107)
    assert left.shape == (10, 97)
    times = torch.bincount(left.flatten(), minlength=107)
    assert times.tolist() == [9] * 100 + [10] * 7


def test_of_few_things_each_is_a_block() -> None:
    assert blocks_left_out(2).tolist() == [[1], [0]]
    with mistake("bad-value", 1, "two images"):
        blocks_left_out(1)


def test_it_is_what_repeated_samples_show() -> None:
    torch.manual_seed(0)
    samples = torch.randn(400, 100, dtype=torch.float64)
    values = samples.square().mean(1).sqrt()
    left = samples[:, blocks_left_out(100)].square().mean(2).sqrt()
    found = jackknife_error(left.T).square().mean().sqrt()
    assert float(found) == pytest.approx(float(values.std()), rel=0.1)
