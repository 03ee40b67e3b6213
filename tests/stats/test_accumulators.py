"""One suite that every accumulator passes: a sample may be cut into any batches and shards, kept and taken up again."""

import importlib
import inspect
import itertools
import pickle
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from accumulator_cases import CASES, CONCEPTS, FEATURES, IMAGES, LABELS, LEVELS, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from mistakes import mistake

from ganatomy import experiments, stats
from ganatomy.core.errors import BadValue
from ganatomy.core.resample import Grid
from ganatomy.core.tensor_files import Archive, write
from ganatomy.experiments import dissection_stats
from ganatomy.experiments.dissection_stats import Counting, Tally
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.base import Accumulator
from ganatomy.stats.pairs import OldPairCounts
from ganatomy.stats.topk import TopImages
from ganatomy.training import dictionaries

every = pytest.mark.parametrize("case", CASES, ids=lambda case: type(case.empty()).__name__)


def over(case: Case, parts: Sequence[slice]) -> Accumulator:
    total = case.empty()
    for part in parts:
        case.feed(total, part)
    return total


def assert_same(found: Accumulator, expected: Accumulator) -> None:
    kind, state = type(expected).__name__, found.state_dict()
    for name, tensor in expected.state_dict().items():
        asked = f"{name} of {kind} differs; give its Case inputs whose sums are exact, as HALVES or GREAT"
        message = f"{asked} of accumulator_cases.py, or keep it from depending on the order\n{{}}"
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0, equal_nan=True, msg=message.format)


def cut(case: Case, places: set[int]) -> list[slice]:
    ends = sorted({place * case.step for place in places if place * case.step < IMAGES} | {0, IMAGES})
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


WHOLE = [slice(0, IMAGES)]
places = st.sets(st.integers(0, IMAGES))


def test_every_accumulator_is_tested() -> None:
    def below(kind: type[Accumulator]) -> set[type[Accumulator]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    for package in (stats, experiments, dictionaries):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    below_it = (kind for kind in below(Accumulator) if not inspect.isabstract(kind) and hasattr(kind, "FIELDS"))
    shipped = {kind for kind in below_it if kind.__module__.startswith("ganatomy.")} - {OldPairCounts}  # is only read
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
    write(tmp_path / "state.npz", half.state_dict())
    again = type(half).from_state(Archive(tmp_path / "state.npz"))
    assert_same(again, half)
    case.feed(again, slice(6, 12))
    assert_same(again, over(case, WHOLE))


@every
def test_another_shape_is_refused(case: Case) -> None:
    with mistake("bad-value", type(case.empty()).__name__):
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


def counted(part: slice) -> Tally:
    cuts = {"a": LEVELS, "b": LEVELS[:2]}
    counting = Counting(
        "validation", {name: [Agreement(cut, CONCEPTS, 10**6)] for name, cut in cuts.items()}, 5, CONCEPTS
    )
    counting.update(range(IMAGES)[part], {"a": FEATURES[part], "b": FEATURES[part, :2]}, LABELS[part], Grid(4, 4))
    counting.see(range(IMAGES)[part], torch.zeros(len(range(IMAGES)[part]), 3, 4, 4), IMAGES)
    return counting.tally()


@pytest.mark.parametrize("travels", [False, True])
def test_a_tally_merges_and_keeps_every_part(tmp_path: Path, travels: bool) -> None:
    whole = counted(slice(0, IMAGES))
    shards = [counted(slice(i, i + 2)) for i in range(0, IMAGES, 2)]
    if travels:
        shards = [pickle.loads(pickle.dumps(shard)) for shard in shards]  # noqa: S301  our own
    total = shards[0]
    for shard in shards[1:]:
        total = total.merge(shard)
    write(tmp_path / "state.npz", total.state_dict())
    again = Tally.from_state(Archive(tmp_path / "state.npz"))
    expected = whole.state_dict()
    assert list(again.state_dict()) == list(expected)
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert again.agreement("validation", "b").shown[0, 0] == IMAGES * 16
    assert again.top("validation", "a").ids.max() == IMAGES - 1
    assert again.presence("validation").images[0] == IMAGES
    assert again.sample("validation")["images"] == IMAGES


@pytest.mark.parametrize("merges", [False, True])
def test_a_large_layer_is_kept_in_runs_of_units(merges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = counted(WHOLE[0])
    monkeypatch.setattr(dissection_stats, "RUN", 2)
    tally = counted(slice(0, 6)).merge(counted(slice(6, IMAGES))) if merges else counted(WHOLE[0])
    again = Tally.from_state(dict(tally.state_dict()))
    assert again.runs("validation", "a") == range(2)
    assert again.runs("validation", "b") == range(1)
    runs = [again.agreement("validation", "a", run) for run in range(2)]
    assert [len(run.levels) for run in runs] == [2, 1]
    expected = whole.agreement("validation", "a")
    assert torch.equal(torch.cat([run.counts_of() for run in runs], 1), expected.counts_of())


def test_a_tally_joins_what_was_counted_in_several_passes() -> None:
    whole, first, second = counted(WHOLE[0]), counted(WHOLE[0]).state_dict(), counted(WHOLE[0]).state_dict()
    one = Tally.from_state({name: first[name] for name in first if "/b:" not in name})
    other = Tally.from_state({name: second[name] for name in second if "/a:" not in name})
    joined, expected = Tally.joined([one, other]).state_dict(), whole.state_dict()
    assert list(joined) == list(expected)
    assert all(torch.equal(joined[name], expected[name]) for name in expected)


def test_tallies_of_other_layers_do_not_merge() -> None:
    state = counted(WHOLE[0]).state_dict()
    other = Tally.from_state({name: state[name] for name in state if "/b:" not in name})
    with pytest.raises(ValueError, match="other layers"):
        other.merge(counted(WHOLE[0]))
