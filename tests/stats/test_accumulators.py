"""One suite that every accumulator passes: a sample may be cut into any batches and shards, kept and taken up again."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor

from ganatomy.errors import BadValue
from ganatomy.experiments.causal.locations import Candidates
from ganatomy.experiments.causal.pool import Pool
from ganatomy.experiments.causal.unit_sets import Shares
from ganatomy.experiments.tally import Tally
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.base import Accumulator
from ganatomy.stats.levels import ActivationLevels
from ganatomy.stats.paired import PairedChange
from ganatomy.stats.presence import Presence
from ganatomy.stats.topk import TopImages

IMAGES = 12
UNITS, CONCEPTS = 3, 4
GENERATOR = torch.Generator().manual_seed(0)
SHIFT = torch.arange(IMAGES, dtype=torch.float32).view(-1, 1, 1, 1)
"""Later images have greater activations, so that no batch is like another."""
FEATURES = torch.randn(IMAGES, UNITS, 2, 2, generator=GENERATOR) + SHIFT
LABELS = torch.randint(CONCEPTS, (IMAGES, 2, 4, 4), generator=GENERATOR)
VALUES = FEATURES.amax((2, 3)).round()
"""Rounded, so that there are ties."""
LEVELS = torch.linspace(-1, 11, 5, dtype=torch.float64).expand(UNITS, -1) + torch.rand(UNITS, 1, generator=GENERATOR)
CUTS = torch.rand(IMAGES, 5, generator=GENERATOR, dtype=torch.float64).sort(1).values


class Case(ABC):
    """How to feed one accumulator with a part of the sample, and what it must then hold."""

    step = 1
    """A part must begin and end at a multiple of this."""

    @abstractmethod
    def empty(self) -> Accumulator: ...

    @abstractmethod
    def batch(self, images: slice) -> Sequence[Tensor]: ...

    @abstractmethod
    def reference(self) -> dict[str, Any]:
        """Return the fields over the whole sample, in a line or two of numpy."""

    @abstractmethod
    def misfit(self) -> Accumulator:
        """Return one of another shape."""


class OfAgreement(Case):
    step = 2  # neighbours are each other's control

    def empty(self) -> Accumulator:
        return Agreement(LEVELS, CONCEPTS, 10**6)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return FEATURES[images], LABELS[images]

    def reference(self) -> dict[str, Any]:
        up = torch.nn.functional.interpolate(FEATURES.double(), (4, 4), mode="bilinear").numpy()
        bins = (up[:, :, None] > LEVELS.numpy()[:, :, None, None]).sum(2)
        shown = np.stack(
            [(c == LABELS).any(1).numpy() if c else np.ones((IMAGES, 4, 4), bool) for c in range(CONCEPTS)]
        )
        halves = [shown, shown.reshape(CONCEPTS, -1, 2, 4, 4)[:, :, ::-1].reshape(shown.shape)]
        counts = [
            [[[((bins[:, u] == j) & m).sum() for j in range(6)] for m in ms] for u in range(UNITS)] for ms in halves
        ]
        return {"levels": LEVELS, "counts": counts}

    def misfit(self) -> Accumulator:
        return Agreement(LEVELS, CONCEPTS + 1, 10**6)


class OfTopImages(Case):
    def empty(self) -> Accumulator:
        return TopImages(UNITS, 5)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return VALUES[images], torch.arange(IMAGES)[images]

    def reference(self) -> dict[str, Any]:
        order = np.argsort(-VALUES.numpy(), axis=0, kind="stable")[:5].T
        return {"values": np.take_along_axis(VALUES.numpy().T, order, 1), "ids": order}

    def misfit(self) -> Accumulator:
        return TopImages(UNITS, 6)


class OfPresence(Case):
    def empty(self) -> Accumulator:
        return Presence(CONCEPTS)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return (SPARSE[images],)

    def reference(self) -> dict[str, Any]:
        return {"images": [IMAGES, *((c == SPARSE.numpy()).any((1, 2, 3)).sum() for c in range(1, CONCEPTS))]}

    def misfit(self) -> Accumulator:
        return Presence(CONCEPTS + 1)


SPARSE = LABELS * (torch.rand(LABELS.shape, generator=GENERATOR) < 0.1)
SPARSE[0] = 1  # a picture in which nothing is nowhere


class OfLevels(Case):
    def empty(self) -> Accumulator:
        return ActivationLevels(IMAGES, 5)  # its sample is one of units

    def batch(self, images: slice) -> Sequence[Tensor]:
        return torch.arange(IMAGES)[images], CUTS[images]

    def reference(self) -> dict[str, Any]:
        return {"values": CUTS}

    def misfit(self) -> Accumulator:
        return ActivationLevels(IMAGES, 6)


class OfPairedChange(Case):
    def empty(self) -> Accumulator:
        return PairedChange(2, CONCEPTS)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return COUNTS[0][:, images], COUNTS[1][:, images]

    def reference(self) -> dict[str, Any]:
        before, after = (counts.numpy() for counts in COUNTS)
        sums = {"before": before, "after": after, "before2": before**2, "after2": after**2, "product": before * after}
        pixels = before[:, :, 0].sum(1)
        return {"images": [IMAGES], "pixels": pixels, **{name: each.sum(1) for name, each in sums.items()}}

    def misfit(self) -> Accumulator:
        return PairedChange(3, CONCEPTS)


COUNTS = torch.randint(0, 16, (2, 2, IMAGES, CONCEPTS), generator=GENERATOR)


class OfPool(Case):
    def empty(self) -> Accumulator:
        return Pool(CONCEPTS, (UNITS, 2, 2))

    def batch(self, images: slice) -> Sequence[Tensor]:
        return HALVES[images], LABELS[images]

    def reference(self) -> dict[str, Any]:
        shown = np.stack([(c == LABELS).any(1).numpy() if c else np.ones((IMAGES, 4, 4)) for c in range(CONCEPTS)], 1)
        shares = shown.reshape(IMAGES, CONCEPTS, 2, 2, 2, 2).mean((3, 5))
        r, flat = HALVES.double().numpy(), shares.reshape(IMAGES, CONCEPTS, 4)
        return {
            "drawn": (shares[:, :, None] * r[:, None]).sum((0, 3, 4)),
            "mass": shares.sum((0, 2, 3)),
            "occupancy": shares.sum(0),
            "strength": abs(r).sum((0, 2, 3)),
            "best": flat.max(2),
            "place": flat.argmax(2),
        }

    def misfit(self) -> Accumulator:
        return Pool(CONCEPTS, (UNITS, 2, 4))


HALVES = (FEATURES * 2).round() / 2
"""Sums of these times quarters are exact, in any order."""


class OfCandidates(Case):
    def empty(self) -> Accumulator:
        return Candidates()

    def batch(self, images: slice) -> Sequence[Tensor]:
        return torch.arange(IMAGES)[images], PLACES[images], GAINS[images], torch.tensor([len(PLACES[images])])

    def reference(self) -> dict[str, Any]:
        return {"ids": np.arange(IMAGES), "place": PLACES, "gain": GAINS, "evaluations": [IMAGES]}

    def misfit(self) -> Accumulator:
        other = Candidates()
        other.gain = torch.zeros(0, 2)
        return other


PLACES, GAINS = torch.randint(9, (IMAGES,), generator=GENERATOR), torch.rand(IMAGES, generator=GENERATOR)


class OfShares(Case):
    def empty(self) -> Accumulator:
        return Shares(2)

    def batch(self, images: slice) -> Sequence[Tensor]:
        return PARTS[images, 0], PARTS[images, 1:3], PARTS[images, 3:]

    def reference(self) -> dict[str, Any]:
        return {"before": PARTS[:, 0], "ablated": PARTS[:, 1:3], "inserted": PARTS[:, 3:]}

    def misfit(self) -> Accumulator:
        return Shares(3)


PARTS = torch.rand(IMAGES, 5, dtype=torch.float64, generator=GENERATOR)

CASES = [
    *(OfAgreement(), OfTopImages(), OfPresence(), OfLevels()),
    *(OfPairedChange(), OfPool(), OfCandidates(), OfShares()),
]
every = pytest.mark.parametrize("case", CASES, ids=lambda case: type(case.empty()).__name__)


def over(case: Case, parts: Sequence[slice]) -> Accumulator:
    total = case.empty()
    for part in parts:
        total.update(*case.batch(part))
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

    shipped = {kind for kind in below(Accumulator) - {Accumulator} if kind.__module__.startswith("ganatomy.")}
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
    merged.update(*case.batch(slice(0, 6)))
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
    again.update(*case.batch(slice(6, 12)))
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
    total = Tally.empty({"a": LEVELS, "b": LEVELS[:2]}, CONCEPTS, 10**6, 5)
    for part in parts:
        half = "evaluation" if part.start < 6 else "validation"
        features = {"a": FEATURES[part], "b": FEATURES[part, :2]}
        total.update(half, range(IMAGES)[part], features, LABELS[part], (4, 4))
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
