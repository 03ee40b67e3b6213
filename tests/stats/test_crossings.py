"""Counting by where rows cross levels gives every count that counting every pixel gives."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_agreement import ACTIVATIONS, LEVELS, SIZES, random_labels
from torch import Tensor

from ganatomy.core.resample import Grid, upsample
from ganatomy.stats import combinations
from ganatomy.stats.combinations import index_labels, numbers
from ganatomy.stats.counting import count_on_device, count_pixels
from ganatomy.stats.crossings import CROWD, count_patches, patches_pay
from ganatomy.stats.kernels import add_rows
from ganatomy.stats.levels import exact_levels, fractions
from ganatomy.stats.patches import lay_patches
from ganatomy.stats.rows import Bins, UnitRows

ALL = 9.0
"""More runs than that a pixel there are never, so nothing is given up."""
COARSE = [((4, 4), (32, 32)), ((2, 3), (40, 64)), ((3, 3), (9, 9)), ((6, 5), (33, 47)), ((2, 2), (1, 2100))]


def patterned(g: torch.Generator, images: int, size: tuple[int, int], tiles: int) -> Tensor:
    """Return labels of one plane that change every so many pixels."""
    labels = random_labels(g, images, 1, tuple(-(-n // tiles) for n in size))  # type: ignore[arg-type]
    return labels.repeat_interleave(tiles, 2).repeat_interleave(tiles, 3)[..., : size[0], : size[1]].contiguous()


def both_ways(r: Tensor, labels: Tensor, levels: Tensor, image: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
    """Count by patches, and with tensor operations."""
    combined = index_labels(labels, levels.shape[1] + 1, image)
    axes = tuple(tuple(axis) for axis in combined.grid.axes(r.shape[2:]))
    pixels, apart = combined.arrays
    assert not apart[0][0].size
    patches = lay_patches(pixels, axes, ALL)
    starts, members = numbers(combined.starts), numbers(combined.members)
    tables = torch.zeros(2, r.shape[1], 2, len(combined.concepts), combined.bins, dtype=torch.int64)
    for u in range(r.shape[1]):
        found = np.zeros((2, combined.count, combined.bins), np.uint32)
        count_patches(r.numpy(), u, axes, levels[u].numpy(), patches, found)
        for kind, table in zip(found, tables[0, u].numpy(), strict=True):
            add_rows(kind, starts, members, table)

    def take(unit: int, found: Any) -> None:
        tables[1, unit] = found

    count_on_device(levels, r, combined, [take])
    return tables[0], tables[1]


@pytest.fixture(autouse=True)
def no_pixels_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combinations, "RARE", 0)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    activations=st.sampled_from(sorted(ACTIVATIONS)),
    cut=st.sampled_from(sorted(LEVELS)),
    sizes=st.sampled_from(SIZES + COARSE),
    pairs=st.integers(1, 2),
    tiles=st.sampled_from([1, 3, 50]),
)
def test_every_count_is_that_of_every_pixel(
    seed: int,
    activations: str,
    cut: str,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    pairs: int,
    tiles: int,
) -> None:
    g = torch.Generator().manual_seed(seed)
    shape, size = sizes
    r = ACTIVATIONS[activations](torch.randn(2 * pairs, 3, *shape, generator=g))
    levels = LEVELS[cut](r, size, g)
    ours, theirs = both_ways(r, patterned(g, 2 * pairs, size, tiles), levels)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("activations", ["normal", "relu", "saturated", "few values", "constant", "tiny range"])
@pytest.mark.parametrize(("shape", "size"), COARSE)
def test_ties_and_flat_maps(activations: str, shape: tuple[int, int], size: tuple[int, int]) -> None:
    """Pixels that are exactly on a level are not above it, whichever way a row goes."""
    g = torch.Generator().manual_seed(4)
    r = ACTIVATIONS[activations](torch.randn(2, 2, *shape, generator=g))
    for cut in LEVELS.values():
        ours, theirs = both_ways(r, patterned(g, 2, size, 5), cut(r, size, g))
        assert torch.equal(ours, theirs), cut.__name__


@pytest.mark.parametrize("image", [(60, 100), (50, 70), (20, 21)])
def test_sampled_labels(image: tuple[int, int]) -> None:
    """Points that are not evenly spaced make short spans, or none."""
    g = torch.Generator().manual_seed(5)
    r = torch.randn(2, 3, 4, 3, generator=g)
    grid = Grid(20, 21, image)
    levels = exact_levels(r, grid, fractions(30, 0.01))
    ours, theirs = both_ways(r, patterned(g, 2, (20, 21), 4), levels, image)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("shape", "size"), [((4, 4), (32, 32)), ((5, 7), (9, 9)), ((3, 5), (8, 8)), ((2, 2), (1, 2100))]
)
def test_levels_a_rounding_from_pixels(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """The last bit of a level decides; a crossing alone could not tell, nor rows before columns."""
    g = torch.Generator().manual_seed(6)
    r = torch.randn(2, 1, *shape, generator=g)
    values = upsample(r, Grid(*size)).flatten().sort().values
    values = values[torch.linspace(0, len(values) - 1, 60).long()]
    for way in (-torch.inf, torch.inf):
        levels = torch.nextafter(values, torch.full_like(values, way))[None]
        ours, theirs = both_ways(r, patterned(g, 2, size, 8), levels)
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("what", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number_spoils_no_memory(what: float) -> None:
    g = torch.Generator().manual_seed(7)
    r = torch.randn(2, 2, 4, 4, generator=g)
    levels = exact_levels(r, Grid(32, 32), fractions(20, 0.01))
    r[:, :, ::2, 1] = what
    ours, _ = both_ways(r, patterned(g, 2, (32, 32), 8), levels)
    assert ours[:, 0, 0].sum(-1).tolist() == [2 * 32 * 32] * 2


def test_patches_share_out_the_pixels() -> None:
    g = torch.Generator().manual_seed(8)
    pixels = index_labels(patterned(g, 4, (40, 36), 3), 5).arrays[0]
    axes = tuple(tuple(axis) for axis in Grid(40, 36).axes((3, 4)))
    _, cut, first, where, ends = lay_patches(pixels, axes, ALL)
    assert first[-1] == len(cut) - 1
    assert cut[-1, 0] == len(where)
    sizes = cut[:-1, 7].astype(np.int64)
    assert [sizes[a:b].sum() for a, b in pairwise(first)] == [40 * 36] * 2
    runs = ((ends[:, 1] - ends[:, 0]) / 2**20).astype(np.int64)
    assert np.array_equal(np.add.reduceat(runs, cut[:-1, 0].astype(np.int64)), sizes)


@pytest.mark.parametrize(
    ("side", "tiles", "pays"),
    [
        (4, 32, True),
        (4, 1, False),  # as many patches as pixels
        (128, 32, False),  # lines of two pixels
        (32, 32, False),  # white noise: every line crosses many levels
    ],
)
def test_they_are_counted_where_that_pays(side: int, tiles: int, pays: bool) -> None:
    g = torch.Generator().manual_seed(9)
    r = torch.randn(2, 1, side, side, generator=g)
    levels = exact_levels(r, Grid(256, 256), fractions())
    combined = index_labels(patterned(g, 2, (256, 256), tiles), 101)
    axes = tuple(tuple(axis) for axis in combined.grid.axes((side, side)))
    patches = lay_patches(combined.arrays[0], axes, CROWD)
    assert patches_pay(r.numpy(), 0, axes, levels[0].numpy(), patches, 0.0) is pays
    counted, expected = torch.zeros(2, 2, len(combined.concepts), combined.bins, dtype=torch.int64)

    def take(rows: UnitRows) -> None:
        bins = Bins.between(levels).kept
        counted[rows.kinds[:, None], rows.places[:, None], bins] = torch.from_numpy(
            rows.counts[:, 1 : 1 + len(bins)]
        ).long()

    count_pixels(levels, r, combined, [take])
    count_on_device(levels, r, combined, [lambda _, rows: expected.copy_(rows)])
    assert torch.equal(counted[..., 1:], expected[..., 1:])
