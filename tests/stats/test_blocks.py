"""Blocks of pictures: where they begin, and that every device reads the same of them."""

import itertools

import pytest
import torch

from ganatomy.stats.blocks import (
    BlockedAgreement,
    GroupedAgreement,
    _above_on_device,
    block_size,
    blocks_of,
    grouped,
)
from ganatomy.stats.kernels import read_above


@pytest.mark.parametrize("most", [16, 32])
def test_a_sample_has_few_blocks_and_small_ones_few_cuts_in_a_batch(most: int) -> None:
    for images in [*range(2, 600), 999, 1000, 1025, 200_000]:
        size = block_size(images, most)
        assert size % 2 == 0, "pairs stay together"
        assert size & (size - 1) == 0
        assert blocks_of(images, most) <= most
        if images >= 32 * most:
            assert blocks_of(images, most) >= most // 2
        elif images >= 32:
            assert blocks_of(images, most) >= 8


@pytest.mark.parametrize("first", [0, 7])
def test_every_pair_is_of_one_block_however_it_comes(first: int) -> None:
    table = GroupedAgreement(torch.zeros(1, 2, dtype=torch.float64), 2, range(first, first + 41), 99)
    assert table.span.tolist() == [first, 4]
    for cuts in ([0, 41], [0, 2, 8, 10, 41], range(0, 42, 2)):
        block_of: dict[int, int | None] = {}
        for start, stop in itertools.pairwise([*cuts, 41] if cuts[-1] != 41 else cuts):
            for part, block in table.parts(first + start, stop - start):
                block_of |= dict.fromkeys(range(start + part.start, start + part.stop), block)
        assert block_of == {i: i // 4 for i in range(40)} | {40: None}


def test_the_way_of_other_devices_reads_the_same() -> None:
    g = torch.Generator().manual_seed(0)
    counts = torch.randint(1000, (2, 5, 4, 12), generator=g, dtype=torch.int32)
    level = torch.randint(-1, 11, (5, 4), generator=g).short()
    compiled, tensors = torch.zeros(2, 3, 5, 4, dtype=torch.int32)
    read_above(counts.numpy(), level.numpy(), compiled.numpy())
    _above_on_device(counts, level, tensors)
    assert torch.equal(compiled, tensors)
    assert compiled[0, 0, 1] == (counts[0, 0, 1, level[0, 1] + 1 :].sum() if level[0, 1] >= 0 else 0)
    assert (compiled[:, level < 0] == 0).all()


def test_blocks_are_as_wide_as_the_counters() -> None:
    levels, level = torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, 2)
    wide = BlockedAgreement(levels, level, range(4), 2**31)
    assert {wide.both.dtype, wide.on.dtype, wide.shown.dtype} == {torch.int64}
    assert GroupedAgreement(levels, 2, range(4), 2**31).groups.dtype == torch.int64


def test_groups_of_bins_hold_every_bin() -> None:
    assert grouped(torch.arange(20)).tolist() == [28, 92, 70]
