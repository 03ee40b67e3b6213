"""One suite that every accumulator passes: a sample may be cut into any batches and shards, kept and taken up again."""

import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from accumulator_cases import CASES, CONCEPTS, FEATURES, IMAGES, LABELS, LEVELS, UNITS, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from ganatomy import experiments, stats
from ganatomy.errors import BadValue
from ganatomy.experiments.tally import Tally
from ganatomy.resample import Grid
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.base import Accumulator
from ganatomy.stats.blocks import BlockedAgreement, GroupedAgreement
from ganatomy.stats.topk import TopImages

every = pytest.mark.parametrize("case", CASES, ids=lambda case: type(case.empty()).__name__)


def over(case: Case, parts: Sequence[slice]) -> Accumulator:
    total = case.empty()
    for part in parts:
        case.feed(total, part)
    return total


def assert_same(found: Accumulator, expected: Accumulator) -> None:
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=0, atol=0, equal_nan=True)


def cut(case: Case, places: set[int]) -> list[slice]:
    ends = sorted({place * case.step for place in places if place * case.step < IMAGES} | {0, IMAGES})
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


WHOLE = [slice(0, IMAGES)]
places = st.sets(st.integers(0, IMAGES))


def test_every_accumulator_is_tested() -> None:
    def below(kind: type[Accumulator]) -> set[type[Accumulator]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    for package in (stats, experiments):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    below_it = (kind for kind in below(Accumulator) if not inspect.isabstract(kind))
    shipped = {kind for kind in below_it if kind.__module__.startswith("ganatomy.")}
    assert shipped == {type(case.empty()) for case in CASES}


@every
def test_it_equals_its_reference(case: Case) -> None:
    state = over(case, WHOLE).state_dict()
    assert state.keys() == case.reference().keys() == type(case.empty()).FIELDS.keys()
    for name, expected in case.reference().items():
        np.testing.assert_array_equal(state[name].numpy(), np.asarray(expected))


@every
@settings(max_examples=15, deadline=None)
@given(places=places)
def test_batches_are_one_pass(case: Case, places: set[int]) -> None:
    assert_same(over(case, cut(case, places)), over(case, WHOLE))


@every
@settings(max_examples=15, deadline=None)
@given(places=places)
def test_shards_are_one_pass(case: Case, places: set[int]) -> None:
    total = case.empty()
    for part in cut(case, places):
        total = total.merge(over(case, [part]))
    assert_same(total, over(case, WHOLE))


@every
def test_merging_is_associative(case: Case) -> None:
    a, b, c = (over(case, [slice(i, i + 4)]) for i in (0, 4, 8))
    assert_same(a.merge(b).merge(c), a.merge(b.merge(c)))


@every
def test_merging_leaves_both_as_they_were(case: Case) -> None:
    a, b = (over(case, [part]) for part in (slice(0, 6), slice(6, 12)))
    merged = a.merge(b)
    case.feed(merged, slice(0, 6))
    assert_same(a, over(case, [slice(0, 6)]))
    assert_same(b, over(case, [slice(6, 12)]))


@every
def test_an_empty_one_changes_nothing(case: Case) -> None:
    full = over(case, WHOLE)
    assert_same(full.merge(case.empty()), full)
    assert_same(case.empty().merge(full), full)
    assert_same(case.empty().merge(case.empty()), case.empty())


@every
def test_its_state_goes_to_a_file_and_back(case: Case, tmp_path: Path) -> None:
    half = over(case, [slice(0, 6)])
    safetensors.torch.save_file(half.state_dict(), tmp_path / "state")
    again = type(half).from_state(safetensors.torch.load_file(tmp_path / "state"))
    assert_same(again, half)
    case.feed(again, slice(6, 12))
    assert_same(again, over(case, WHOLE))


@every
def test_another_shape_is_refused(case: Case) -> None:
    with pytest.raises(BadValue, match="of another shape cannot be merged into a "):
        case.empty().merge(case.misfit())


@every
def test_another_statistic_is_refused(case: Case) -> None:
    others = [other.empty() for other in CASES if other is not case]
    for other in others:
        with pytest.raises((BadValue, TypeCheckError)):  # the latter in the test run only, which checks types first
            case.empty().merge(other)


def test_counts_at_other_levels_are_refused() -> None:
    with pytest.raises(BadValue, match="not gathered alike"):
        Agreement(LEVELS, CONCEPTS, 10**6).merge(Agreement(LEVELS + 1e-9, CONCEPTS, 10**6))


def test_fewer_images_than_asked_for_leave_gaps() -> None:
    top = TopImages(1, 4)
    top.update(torch.tensor([[-3.0], [5.0]]), torch.tensor([7, 8]))
    assert top.ids.tolist() == [[8, 7, -1, -1]]
    assert top.values.tolist() == [[5.0, -3.0, -torch.inf, -torch.inf]]


def test_ties_go_to_the_lower_id_in_whatever_order_they_come() -> None:
    one, other = TopImages(1, 2), TopImages(1, 2)
    one.update(torch.ones(3, 1), torch.tensor([9, 3, 6]))
    other.update(torch.ones(2, 1), torch.tensor([8, 1]))
    assert one.merge(other).ids.tolist() == other.merge(one).ids.tolist() == [[1, 3]]


# ---------------------------------------------------------------- all of them at once


def tally(parts: Sequence[slice]) -> Tally:
    level = torch.ones(UNITS, CONCEPTS)
    cuts, pixels = {"a": LEVELS, "b": LEVELS[:2]}, 10**6
    scored = {name: BlockedAgreement(cut, level[: len(cut)], range(6), pixels) for name, cut in cuts.items()}
    chosen_on = {name: GroupedAgreement(cut, CONCEPTS, range(6, 12), pixels) for name, cut in cuts.items()}
    total = Tally.empty("evaluation", scored, 5).beside(Tally.empty("validation", chosen_on, 5))
    for part in parts:
        half = "evaluation" if part.start < 6 else "validation"
        features = {"a": FEATURES[part], "b": FEATURES[part, :2]}
        total.update(half, range(IMAGES)[part], features, LABELS[part], Grid(4, 4))
    return total


def test_a_tally_merges_and_keeps_every_part(tmp_path: Path) -> None:
    whole = tally([slice(0, 6), slice(6, 12)])
    shards = [tally([slice(i, i + 2)]) for i in range(0, IMAGES, 2)]
    total = shards[0]
    for shard in shards[1:]:
        total = total.merge(shard)
    safetensors.torch.save_file({k: v.contiguous() for k, v in total.state_dict().items()}, tmp_path / "state")
    again = Tally.from_state(safetensors.torch.load_file(tmp_path / "state"))
    expected = whole.state_dict()
    assert again.state_dict().keys() == expected.keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert again.agreement("validation", "b").counts[0, 0, 0].sum() == 6 * 16
    assert again.top("evaluation", "a").ids.max() == 5
    assert again.images("evaluation")[0] == 6
