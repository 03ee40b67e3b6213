"""Blocks of images: where they begin, and that every device counts the same of pairs."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from accumulator_cases import FEATURES, IMAGES, LABELS, WANTED, old_pair_counts
from torch import Tensor

from ganatomy.stats.combinations import index_labels
from ganatomy.stats.counting import count_on_device
from ganatomy.stats.pairs import OldPairCounts, PairCounts, PairLevels, block_size, blocks_of, grouped, shapes, size


def test_a_sample_has_few_blocks_and_small_ones_few_cuts_in_a_batch() -> None:
    for images in [*range(2, 600), 999, 1000, 1025, 200_000]:
        own = block_size(images)
        assert own % 2 == 0, "pairs stay together"
        assert own & (own - 1) == 0
        assert blocks_of(images) <= 32
        if images >= 32 * 32:
            assert blocks_of(images) >= 16
        elif images >= 32:
            assert blocks_of(images) >= 8


@pytest.mark.parametrize("first", [0, 7])
def test_every_pair_is_of_one_block_however_it_comes(first: int) -> None:
    table = PairCounts(WANTED, range(first, first + 41), 16)
    assert table.span.tolist() == [first, 4]
    for cuts in ([0, 41], [0, 2, 8, 10, 41], range(0, 42, 2)):
        block_of: dict[int, int | None] = {}
        for start, stop in itertools.pairwise([*cuts, 41] if cuts[-1] != 41 else cuts):
            for part, block in table.parts(first + start, stop - start):
                block_of |= dict.fromkeys(range(start + part.start, start + part.stop), block)
        assert block_of == {i: i // 4 for i in range(40)} | {40: None}


FEW = FEATURES.relu() * (torch.rand(FEATURES.shape, generator=torch.Generator().manual_seed(0)) < 0.01)
FEW[5, 1, 0, 1], FEW[6, 0, 1, 1] = 3.5, 7.5
ABOVE_0 = replace(WANTED, levels=WANTED.levels.clamp(min=0))


@pytest.mark.parametrize("images", [12, 11])
@pytest.mark.parametrize(("features", "wanted"), [(FEATURES, WANTED), (FEW, ABOVE_0), (FEATURES, ABOVE_0)])
def test_the_way_of_other_devices_counts_the_same(images: int, features: Tensor, wanted: PairLevels) -> None:
    """That of maps that are almost all 0, too."""
    compiled, tensors = (PairCounts(wanted, range(images), 16) for _ in range(2))
    compiled.update(features[:images], LABELS[:images], torch.arange(images))
    for part, block in tensors.parts(0, images):
        numbered = index_labels(LABELS[:images][part], WANTED.levels.shape[1] + 1)
        places = torch.searchsorted(numbered.concepts, WANTED.concepts).clamp(max=len(numbered.concepts) - 1)
        places = torch.where(numbered.concepts[places] == WANTED.concepts, places, -1)
        tensors.taking(numbered, block)  # which counts what the images show
        take = tensors._taking_on_device(places, block)
        count_on_device(wanted.levels, features[:images][part], numbered, [take])
    for name in PairCounts.FIELDS:
        assert torch.equal(getattr(compiled, name), getattr(tensors, name)), name


def test_a_last_image_without_a_partner_is_of_no_block_and_has_no_control() -> None:
    odd, even = (PairCounts(WANTED, range(11), 16) for _ in range(2))
    odd.update(FEATURES[:11], LABELS[:11], torch.arange(11))
    even.update(FEATURES[:10], LABELS[:10], torch.arange(10))
    assert torch.equal(odd.both[:, :-1], even.both[:, :-1])
    assert odd.shown[:, -1, 0].tolist() == [16, 0]
    assert odd.on[0, -1].any()
    assert not odd.on[1, -1].any()
    assert torch.equal(odd.groups, even.groups)


@pytest.mark.parametrize("units", [slice(0, 1), slice(1, 3)])
def test_some_units_are_cut_out_with_all_that_is_counted_of_them(units: slice) -> None:
    whole = counts_of(range(IMAGES))
    own = whole.cut(units)
    for name, axis in {"null": 1, "on": 2, "curves": 1, "groups": 1, "both": 2, "kept": 0, "levels": 0}.items():
        wanted = getattr(whole, name)[(slice(None),) * axis + (units,)]
        assert torch.equal(getattr(own, name), wanted), name
    assert bool(whole.null.any())


def counts_of(images: range) -> PairCounts:
    table = PairCounts(WANTED, range(IMAGES), 16)
    if len(images):
        table.update(FEATURES[images.start : images.stop], LABELS[images.start : images.stop], torch.tensor(images))
    return table


@pytest.mark.parametrize("first", ["old", "new"])
def test_the_file_of_an_older_version_is_read_and_merged(first: str) -> None:
    """What it had besides follows from the counts of today."""
    parts = counts_of(range(8)), counts_of(range(8, IMAGES))
    older = [OldPairCounts.like(each) if (n == 0) is (first == "old") else each for n, each in enumerate(parts)]
    merged = older[0].merge(older[1])
    whole = counts_of(range(IMAGES))
    for name, expected in old_pair_counts().items():
        assert torch.equal(getattr(whole, name).long(), torch.tensor(np.array(expected))), name
    again = PairCounts.from_state(merged.state_dict())
    assert isinstance(again, OldPairCounts)
    for name in (*OldPairCounts.FIELDS, "blocks"):
        found, expected = getattr(again, name), getattr(whole, name)
        assert found == expected if name == "blocks" else torch.equal(found, expected), name


def test_counters_are_as_wide_as_blocks_and_sample_ask() -> None:
    wide = PairCounts(WANTED, range(64), 2**27)
    assert {wide.both.dtype, wide.bins.dtype, wide.shown.dtype, wide.group_bins.dtype} == {torch.int32}
    assert {wide.null_both.dtype, wide.kept_bins.dtype} == {torch.int64}
    assert PairCounts(WANTED, range(64), 2**30).both.dtype == torch.int64


def test_its_size_is_told_beforehand() -> None:
    table = PairCounts(WANTED, range(40), 2**31)
    assert size(WANTED, 40) == sum(getattr(table, name).nbytes for name in shapes(WANTED, 40))


def test_a_vocabulary_of_which_nothing_is_scored() -> None:
    none = torch.zeros(3, 1, dtype=torch.int16) - 1
    table = PairCounts(PairLevels(WANTED.levels, torch.tensor([0]), none, none, none[:, :0]), range(4), 16)
    table.update(FEATURES[:4], LABELS[:4], torch.arange(4))
    assert table.curves.shape[2] == 1
    assert table.curves[0, 0].sum() == 64


def test_groups_of_bins_hold_every_bin() -> None:
    assert grouped(torch.arange(20)).tolist() == [28, 92, 70]
