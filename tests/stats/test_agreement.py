"""Every entry of the table of pixel counts equals brute force: a mask for each unit and level, one for each concept."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake
from torch import Tensor

from ganatomy.core.resample import Grid, bilinear_axis
from ganatomy.stats import combinations, counting
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.combinations import index_labels
from ganatomy.stats.counting import count_on_device
from ganatomy.stats.levels import exact_levels, fractions

CONCEPTS = 6
MANY = 10**6

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda x: x,
    "relu": lambda x: x.relu(),
    "negative": lambda x: -x.abs() - 1,
    "constant": lambda x: torch.full_like(x, 0.7),
    "zero": torch.zeros_like,
    "heavy tails": lambda x: (x / (1e-3 + x.roll(1, -1).abs())) ** 3,
    "one spike": lambda x: x + 1e6 * (x == x.max()),
    "far from zero": lambda x: 1e4 + 1e-2 * x,
    "tiny range": lambda x: 3 + 1e-6 * x,
    "tiny values": lambda x: 1e-30 * x,
    "huge values": lambda x: 1e30 * x,
    "tiny values, huge spike": lambda x: 1e-34 * x + 1e20 * (x == x.max()),
    "few values": lambda x: (4 * x).round() / 4,
    "saturated": lambda x: x.clamp(-0.5, 0.5),
    "few entries": lambda x: x * (x > 2),
    "one entry": lambda x: x.abs() * (x == x.max()),
    "few of both signs": lambda x: x * (x.abs() > 2.2),
}
SIZES = [
    ((1, 1), (6, 6)),
    ((3, 5), (8, 8)),
    ((5, 3), (7, 9)),
    ((4, 4), (16, 16)),
    ((2, 4), (16, 8)),
    ((8, 4), (8, 16)),
    ((8, 8), (8, 8)),
    ((16, 12), (8, 8)),
    ((9, 1), (4, 4)),
    ((2, 7), (5, 33)),
]


def quantiles(r: Tensor, size: tuple[int, int], _: torch.Generator) -> Tensor:
    return exact_levels(r, Grid(*size), fractions(20, 0.01))


def values_themselves(r: Tensor, size: tuple[int, int], g: torch.Generator) -> Tensor:
    """Levels that pixels are exactly on, some of them twice: such a pixel is not above."""
    values = resampled(r, size).transpose(0, 1).flatten(1)
    picked = values.gather(1, torch.randint(values.shape[1], (len(values), 9), generator=g))
    return torch.cat([picked, picked[:, :3]], 1).sort(1).values


def next_to_values(r: Tensor, size: tuple[int, int], g: torch.Generator) -> Tensor:
    """Levels a float64 step above and below what a float32 could tell apart."""
    picked = values_themselves(r, size, g)
    sides = [torch.nextafter(picked, torch.full_like(picked, way)) for way in (-torch.inf, torch.inf)]
    return torch.cat(sides, 1).sort(1).values


def crowded(r: Tensor, size: tuple[int, int], g: torch.Generator) -> Tensor:
    """Sixty levels in a narrow part of the range, with a few far outside it."""
    low, high = r.double().amin((0, 2, 3)), r.double().amax((0, 2, 3))
    near = values_themselves(r, size, g)[:, :1] + (high - low)[:, None] * 1e-4 * torch.rand(1, 60, generator=g)
    far = torch.stack([low - 1 - low.abs(), high + 1 + high.abs(), 1e3 + high * 1e3], 1)
    return torch.cat([near, far], 1).sort(1).values


def all_equal(r: Tensor, size: tuple[int, int], g: torch.Generator) -> Tensor:
    return values_themselves(r, size, g)[:, :1].expand(-1, 7).contiguous()


LEVELS = {cut.__name__: cut for cut in (quantiles, values_themselves, next_to_values, crowded, all_equal)}


def resampled(r: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate in float64, along each row and then along each column, as the levels are measured."""
    x = r.double().numpy()
    for n in (size[1], size[0]):
        low, weight = bilinear_axis(x.shape[-1], n)
        left = x[..., low]
        x = (left + weight * (x[..., np.minimum(low + 1, x.shape[-1] - 1)] - left)).swapaxes(-1, -2)
    return torch.from_numpy(x)


def brute_force(up: Tensor, labels: Tensor, levels: Tensor, concepts: int = CONCEPTS) -> Tensor:
    """Count pixels above each level (index 0: all) where each concept shows, and the same for swapped labels."""
    swapped = labels.clone()
    paired = len(labels) // 2 * 2
    for i in range(0, paired, 2):
        swapped[i], swapped[i + 1] = labels[i + 1], labels[i]
    table = torch.zeros(2, up.shape[1], concepts, levels.shape[1] + 1, dtype=torch.long)
    for kind, (x, seen) in enumerate(((up, labels), (up[:paired], swapped[:paired]))):
        shown = torch.stack([(seen == c).any(1) for c in range(concepts)])
        shown[0] = True
        table[kind, ..., 0] = shown.flatten(1).sum(1)
        for u in range(up.shape[1]):
            for j, level in enumerate(levels[u]):
                table[kind, u, :, j + 1] = (shown & (x[:, u] > level)).flatten(1).sum(1)
    return table


def above(counts: Tensor) -> Tensor:
    """Read how many pixels are above each level off the bins."""
    return counts.long().flip(-1).cumsum(-1).flip(-1)


def random_labels(
    g: torch.Generator, batch: int, planes: int, size: tuple[int, int], concepts: int = CONCEPTS
) -> Tensor:
    labels = torch.randint(concepts, (batch, planes, *size), generator=g)
    return labels * (torch.rand(labels.shape, generator=g) < 0.7)


def counted(r: Tensor, labels: Tensor, levels: Tensor, concepts: int = CONCEPTS) -> Tensor:
    table = Agreement(levels, concepts, MANY)
    table.update(r, labels)
    return above(every_row(table))


def every_row(table: Agreement) -> Tensor:
    """Return the counts of all concepts of the vocabulary, 0 for those that have no row."""
    rows = table.kept.new_zeros(2, len(table.levels), int(table.known), table.levels.shape[1] + 1)
    rows[:, :, table.concepts] = table.counts_of()
    return rows


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    activations=st.sampled_from(sorted(ACTIVATIONS)),
    cut=st.sampled_from(sorted(LEVELS)),
    sizes=st.sampled_from(SIZES),
    batch=st.integers(1, 5),
    planes=st.integers(1, 5),
)
def test_every_entry_equals_brute_force(
    seed: int,
    activations: str,
    cut: str,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    batch: int,
    planes: int,
) -> None:
    g = torch.Generator().manual_seed(seed)
    shape, size = sizes
    r = ACTIVATIONS[activations](torch.randn(batch, 3, *shape, generator=g))
    levels = LEVELS[cut](r, size, g)
    labels = random_labels(g, batch, planes, size)
    expected = brute_force(resampled(r, size), labels, levels)
    torch.testing.assert_close(counted(r, labels, levels), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("shape", "size"), SIZES)
@pytest.mark.parametrize("activations", sorted(ACTIVATIONS))
def test_it_agrees_with_torch_interpolation(activations: str, shape: tuple[int, int], size: tuple[int, int]) -> None:
    """The same against code that shares nothing with ours; its last bits differ, so levels keep off the values."""
    g = torch.Generator().manual_seed(1)
    r = ACTIVATIONS[activations](torch.randn(3, 2, *shape, generator=g))
    up = F.interpolate(r.double(), size, mode="bilinear", align_corners=False)
    levels = []
    for values in up.transpose(0, 1).flatten(1).sort(1).values:
        step = 1 + values.abs().max()
        gaps = (values.diff() > 1e-12 * values.abs().max()).nonzero()[:, 0]
        between = (values[gaps] + values[gaps + 1]) / 2
        levels.append(torch.cat([values[:1] - step, between[:: max(1, len(between) // 30)], values[-1:] + step]))
    least = min(map(len, levels))
    cuts = torch.stack([level[torch.linspace(0, len(level) - 1, least).long()] for level in levels])
    labels = random_labels(g, 3, 2, size)
    torch.testing.assert_close(counted(r, labels, cuts), brute_force(up, labels, cuts), rtol=0, atol=0)


@pytest.fixture
def sample() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    r = torch.randn(5, 7, 4, 4, generator=g)
    return r, random_labels(g, 5, 3, (8, 8)), exact_levels(r, Grid(8, 8), fractions(30, 0.01))


def test_a_concept_in_two_planes_of_a_pixel_counts_once(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    r, labels, levels = sample
    labels = labels[:, :1].repeat(1, 3, 1, 1)
    assert torch.equal(counted(r, labels, levels), counted(r, labels[:, :1], levels))
    labels[:, 1] = 0
    assert torch.equal(counted(r, labels, levels), counted(r, labels[:, :1], levels))


def test_nothing_at_all_counts_pixels(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    r, labels, levels = sample
    table = counted(r, torch.zeros_like(labels), levels)
    assert table[0, :, 0, 0].tolist() == [5 * 64] * 7
    assert not table[:, :, 1:].any()


def test_the_last_of_an_odd_batch_has_no_partner(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    r, labels, levels = sample
    whole, even = counted(r, labels, levels), counted(r[:4], labels[:4], levels)
    assert torch.equal(whole[1], even[1])
    assert not torch.equal(whole[0], even[0])
    assert not counted(r[:1], labels[:1], levels)[1].any()


def test_the_control_swaps_images_within_pairs(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    r, labels, levels = sample
    assert torch.equal(counted(r[:4], labels[:4], levels)[1], counted(r[:4], labels[[1, 0, 3, 2]], levels)[0])


@pytest.mark.parametrize("rare", [0, 3, 10**6])
def test_rare_label_tuples_count_the_same(
    sample: tuple[Tensor, Tensor, Tensor], rare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tuple has a row of its own, or its pixels are counted for each of its concepts."""
    r, labels, levels = sample
    monkeypatch.setattr(combinations, "RARE", rare)
    apart = len(index_labels(labels, 31).places)
    assert {0: apart == 0, 3: 0 < apart < 3 * labels.numel(), 10**6: apart > labels.numel() // 3}[rare]
    expected = brute_force(resampled(r, (8, 8)), labels, levels)
    assert torch.equal(counted(r, labels, levels), expected)


def test_tuples_beyond_number_are_sorted(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    """As many concepts as the unified parser's with parts: a table of all possible tuples would not fit in memory."""
    r, labels, levels = sample
    wide = torch.where(labels > 0, labels + 2000, 0)
    assert torch.equal(counted(r, wide, levels, 2000 + CONCEPTS)[:, :, 2001:], counted(r, labels, levels)[:, :, 1:])


@pytest.mark.parametrize("size", [(4, 4), (8, 8)])
def test_what_is_no_number_spoils_no_memory(sample: tuple[Tensor, Tensor, Tensor], size: tuple[int, int]) -> None:
    """A run stops at NaN before it counts; the loops, which check nothing, must not write elsewhere all the same."""
    _, labels, levels = sample
    r = torch.full((5, 7, *size), torch.nan)
    r[:, :, 0, 0], r[:, :, 1, 0] = torch.inf, -torch.inf
    assert counted(r, labels, levels)[0, :, 0, 0].tolist() == [5 * 64] * 7


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_any_integer_type(sample: tuple[Tensor, Tensor, Tensor], dtype: torch.dtype) -> None:
    r, labels, levels = sample
    assert torch.equal(counted(r, labels.to(dtype), levels), counted(r, labels, levels))


def test_many_concepts_in_bytes() -> None:
    """Tuples of byte labels must be numbered in wider numbers than bytes."""
    g = torch.Generator().manual_seed(3)
    r, labels = torch.randn(2, 1, 4, 4, generator=g), torch.randint(256, (2, 3, 8, 8), generator=g)
    levels = exact_levels(r, Grid(8, 8), fractions(5, 0.1))
    expected = brute_force(resampled(r, (8, 8)), labels, levels, 256)
    assert torch.equal(counted(r, labels.to(torch.uint8), levels, 256), expected)


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_threads_share_the_units(sample: tuple[Tensor, Tensor, Tensor], three_threads: None) -> None:
    r, labels, levels = sample
    expected = brute_force(resampled(r, (8, 8)), labels, levels)
    assert torch.equal(counted(r, labels, levels), expected)
    assert torch.equal(counted(r[:, :2], labels, levels[:2]), expected[:, :2])


@pytest.mark.parametrize(
    "activations", ["normal", "relu", "few values", "far from zero", "constant", "few entries", "one entry"]
)
@pytest.mark.parametrize(
    ("shape", "size"), [((4, 4), (16, 16)), ((8, 8), (8, 8)), ((1, 1), (6, 6)), ((16, 16), (8, 8))]
)
def test_the_way_of_other_devices_counts_the_same(
    activations: str, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    """The tensor operations that count on CUDA, run here; at whole scales even pixels on a level agree."""
    g = torch.Generator().manual_seed(2)
    r = ACTIVATIONS[activations](torch.randn(3, 4, *shape, generator=g))
    labels = random_labels(g, 3, 2, size)
    for cut in (quantiles, values_themselves):
        levels = cut(r, size, g)
        table, numbered = Agreement(levels, CONCEPTS, MANY), index_labels(labels, levels.shape[1] + 1)
        table.taking(numbered)  # which counts what the images show
        count_on_device(levels, r, numbered, [table._taking_on_device(table._rows(numbered.concepts))])
        assert torch.equal(above(every_row(table)), counted(r, labels, levels)), cut.__name__


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    share=st.sampled_from([0.0, 0.003, 0.02, 0.2]),
    sizes=st.sampled_from([((16, 16), (16, 16)), ((8, 8), (32, 32)), ((16, 12), (8, 8)), ((9, 7), (30, 33))]),
    cut=st.sampled_from(["quantiles", "values_themselves"]),
    batch=st.integers(1, 5),
    negative=st.booleans(),
)
def test_maps_that_are_almost_all_0_count_the_same_by_squares(
    seed: int, share: float, sizes: tuple[tuple[int, int], tuple[int, int]], cut: str, batch: int, negative: bool
) -> None:
    """Each unit is counted in the way that takes less time; here in the one that looks at every pixel, too."""
    g = torch.Generator().manual_seed(seed)
    shape, size = sizes
    r = torch.randn(batch, 6, *shape, generator=g)
    r = (r if negative else r.abs()) * (torch.rand(r.shape, generator=g) < share)
    levels = LEVELS[cut](r, size, g)
    if negative:
        levels = levels.clamp(min=0)
    labels = random_labels(g, batch, 2, size)
    found = counted(r, labels, levels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_sparsely", lambda *_: lambda units: units)
        assert torch.equal(found, counted(r, labels, levels))
    assert torch.equal(found, brute_force(resampled(r, size), labels, levels))


def test_few_entries_are_counted_by_squares_and_many_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    g, share = torch.Generator().manual_seed(4), torch.tensor([0.005, 0.5, 0])[:, None, None]
    r = torch.rand(4, 3, 16, 16, generator=g) * (torch.rand(4, 3, 16, 16, generator=g) < share)
    labels, sparsely, left = random_labels(g, 4, 1, (32, 32)), counting._sparsely, list[int]()

    def recorded(*given: Any) -> Callable[[Any], Any]:
        def count(units: Any) -> Any:
            dense = sparsely(*given)(units)
            left.extend(dense.tolist())
            return dense

        return count

    monkeypatch.setattr(counting, "_sparsely", recorded)
    levels = exact_levels(r, Grid(32, 32), fractions(20, 0.01))
    counted(r, labels, levels)
    assert left == [1]
    counted(r, labels, levels - 1)
    assert sorted(left) == [0, 1, 1, 2], "where 0 is above the lowest level every pixel counts"


def test_units_have_rows_for_the_bins_that_values_can_be_in() -> None:
    levels = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 2.0, 3.0], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
    table = Agreement(levels, CONCEPTS, MANY)
    assert table.kept.shape == (2, 1, 2 + 4 + 1)
    table.update(torch.tensor([0.5, 1.5, 3.0]).view(1, 3, 1, 1), torch.zeros(1, 1, 2, 2, dtype=torch.long))
    assert table.counts_of()[0, :, 0].tolist() == [[0, 0, 0, 4, 0], [0, 0, 4, 0, 0], [0, 0, 0, 0, 4]]
    assert torch.equal(table.counts_of(slice(1, 3)), table.counts_of()[:, 1:])
    assert torch.equal(table.cut(slice(1, 3)).counts_of(), table.counts_of()[:, 1:])


def test_counts_of_an_older_study_are_read(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    """Their tables held every bin of every unit."""
    r, labels, levels = sample
    r = r.relu()
    levels = levels.clamp(min=0)
    table = Agreement(levels, CONCEPTS, MANY)
    table.update(r, labels)
    state = table.state_dict()
    old = {name: state[name] for name in ("levels", "known", "concepts")} | {"counts": table.counts_of()}
    again = Agreement.from_state(old)
    for name, expected in state.items():
        assert torch.equal(again.state_dict()[name], expected), name
    for shape in ((2, 7, len(table.concepts), 30), (2, 6, len(table.concepts), 31), (2, 7, 1, 31)):
        with pytest.raises(ValueError, match="table"):
            Agreement.from_state(old | {"counts": torch.zeros(shape, dtype=torch.int32)})


def test_features_need_not_be_contiguous(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    r, labels, levels = sample
    assert torch.equal(counted(r.to(memory_format=torch.channels_last), labels, levels), counted(r, labels, levels))


def test_counters_are_as_wide_as_the_sample_asks() -> None:
    levels = torch.zeros(1, 2, dtype=torch.float64)
    assert Agreement(levels, 2, 2**31 - 1).kept.dtype == torch.int32
    assert Agreement(levels, 2, 2**31).kept.dtype == torch.int64


def test_merging_widens_counters_that_would_run_over() -> None:
    levels = torch.zeros(1, 2, dtype=torch.float64)
    one = Agreement(levels, 2, 100)
    one.update(torch.ones(2, 1, 1, 1), torch.zeros(2, 1, 4, 4, dtype=torch.long))
    one._table *= 2**25
    one._shown *= 2**25
    both = one.merge(one).merge(one)
    assert both.kept.dtype == torch.int64
    assert both.shown[0, 0] == 3 * 2**30


def test_concepts_have_rows_once_they_occur(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    """In any order, and merged with those of other shards; the counts are those of one pass."""
    r, labels, levels = sample
    late = torch.where(labels > 0, labels + 3, 0)
    tables = []
    for order in ((labels, late), (late, labels)):
        table = Agreement(levels, CONCEPTS + 3, MANY)
        for seen in order:
            table.update(r[:4], seen[:4])
        tables.append(table)
    apart = [Agreement(levels, CONCEPTS + 3, MANY) for _ in range(2)]
    for table, seen in zip(apart, (labels, late), strict=True):
        table.update(r[:4], seen[:4])
    tables.append(apart[1].merge(apart[0]))
    for table in tables:
        assert table.concepts.tolist() == sorted(set(labels[:4].flatten().tolist()) | set(late[:4].flatten().tolist()))
        assert torch.equal(table.counts_of(), tables[0].counts_of())
    assert Agreement(levels, 10**9, MANY).kept.shape[1] == 1, "a vocabulary takes no room"


def test_too_many_levels_are_refused() -> None:
    with mistake("bad-value", "256 levels"):
        Agreement(torch.zeros(1, 256, dtype=torch.float64), 2, MANY)


def test_labels_outside_the_vocabulary_are_refused(sample: tuple[Tensor, Tensor, Tensor]) -> None:
    r, labels, levels = sample
    labels[0, 0, 0, 0] = CONCEPTS
    with mistake("bad-value", f"label {CONCEPTS}", f"{CONCEPTS} concepts"):
        counted(r, labels, levels)


@pytest.mark.parametrize("shape", [(1, 3, 2, 2), (5, 3, 2, 2), (4, 2, 2, 2), (4, 9, 2, 2), (4, 3, 0, 2)])
def test_features_of_other_images_or_units_are_refused(shape: tuple[int, ...]) -> None:
    """Compiled loops would read, and write, past the end of an array."""
    table = Agreement(torch.linspace(0, 1, 5, dtype=torch.float64).repeat(3, 1), 2, 1000)
    with mistake("bad-value", list(shape), "4 images", "3 units", "[b, u, h, w]"):
        table.update(torch.zeros(shape), torch.zeros(4, 1, 8, 8, dtype=torch.long))
    assert not table.counts_of().any()


def test_negative_labels_are_refused() -> None:
    with mistake("bad-value", "label -1"):
        index_labels(torch.full((2, 1, 4, 4), -1), 3)
