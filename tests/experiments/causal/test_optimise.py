"""The objective of α and its descent: Eqn 5-7 by hand, slopes by finite differences, Adam as torch has it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganatomy.experiments.causal import optimise as optimisation
from ganatomy.experiments.causal.ace_spec import AceSpec
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.locations import Locations
from ganatomy.experiments.causal.optimise import (
    Objective,
    PresentAbsent,
    advance,
    begin,
    clipped,
    descent,
    direction,
    first_order,
    minibatch,
    open_samples,
    penalty,
    ranking,
)
from ganatomy.experiments.causal.places import maps
from ganatomy.experiments.causal.pool import pool_shard
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.models.generators.planted import UNITS
from ganatomy.models.generators.progan import ProGAN, progan_network
from ganatomy.models.segmenters import open_segmenter
from ganatomy.stats.regions import place_means

LAYER, UNIT_COUNT = "layer2", 12
ROWS = torch.arange(3)
IDS = torch.tensor([500_004, 500_009, 500_002, 500_011, 500_020, 500_031])
PLACES = torch.tensor([[100, -1], [37, 200], [5, 118], [90, -1], [50, -1], [140, 20]])


@pytest.fixture(scope="module")
def value(source: DissectedModel) -> Tensor:
    spec = asked(source).pool_spec()
    return pool_shard(source, spec, range(500_000, 500_060)).constant(source.concept("tree"))


def asked(source: DissectedModel, **fields: Any) -> AceSpec:
    small: dict[str, Any] = {"layer": LAYER, "concept": "tree", "pairs": 3, "top": 2}
    return AceSpec(**source.names() | small | fields)


def objective(source: DissectedModel, value: Tensor, **fields: Any) -> Objective:
    spec = asked(source, **fields)
    where = maps(PLACES, (16, 16))
    one, other = (
        Locations(ids, at, torch.zeros(6, dtype=torch.bool))
        for ids, at in ((IDS, maps(PLACES[:, 0], (16, 16))), (IDS.flip(0), where))
    )
    present, absent = open_samples(source, spec, [one, other])
    both = PresentAbsent(present, absent)
    return Objective(source, spec, source.concept("tree"), {LAYER: value}, both, both)


def gain_by_hand(source: DissectedModel, value: Tensor, alpha: Tensor, scale: Tensor, whole: bool) -> float:
    """δ of Eqn 5, an image at a time."""
    generator, segmenter, tree = source.models.generator, source.models.segmenter, source.concept("tree")
    gone, come = [], []
    for ids, places, kind in ((IDS[:3], PLACES[:3, :1], "present"), (IDS.flip(0)[:3], PLACES[:3], "absent")):
        for i, own in zip(ids.tolist(), places, strict=True):
            z = generator.latents(range(i, i + 1), 0)
            r = generator.observe(z, [LAYER]).features[LAYER].flatten(2)
            at = own[own >= 0]
            r_ = r.clone()
            if kind == "present":
                r_ = r * (1 - alpha)[:, None] if whole else r_
                if not whole:
                    r_[0, :, at] = (1 - alpha)[:, None] * r[0, :, at]
            else:
                r_[0, :, at] = alpha[:, None] * value[:, None] + (1 - alpha)[:, None] * r[0, :, at]
            score = segmenter.score(generator.render(r_.view(1, -1, 16, 16), LAYER, z), tree)  # type: ignore[attr-defined]
            read = score.view(16, 2, 16, 2).mean((1, 3)).flatten()[at].mean()
            (gone if kind == "present" else come).append(float(score.mean() if kind == "present" and whole else read))
    return float(sum(come) / 3 / scale[1] - sum(gone) / 3 / scale[0])


@pytest.mark.parametrize("ablated", ["map", "place"])
def test_the_gain_is_eqn_5(source: DissectedModel, value: Tensor, ablated: str) -> None:
    alpha, scale = torch.linspace(0, 1, UNIT_COUNT), torch.tensor([0.2, 0.9])
    found = objective(source, value, ablated=ablated).gain(alpha, ROWS, ROWS, scale)
    expected = gain_by_hand(source, value, alpha, scale, ablated == "map")
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("ablated", ["map", "place"])
def test_slopes_agree_with_finite_differences(source: DissectedModel, value: Tensor, ablated: str) -> None:
    problem = objective(source, value.double(), ablated=ablated, norm="norm")
    for sample in problem.train:
        assert sample._kept is not None
        sample._kept, sample.where = sample._kept.double(), sample.where.double()
    scale = torch.tensor([0.2, 0.9], dtype=torch.float64)

    def loss(alpha: Tensor) -> Tensor:
        return penalty(alpha, problem.spec) - problem.gain(alpha, ROWS, ROWS, scale)

    alpha = torch.linspace(0.1, 0.8, UNIT_COUNT, dtype=torch.float64).requires_grad_(True)
    assert torch.autograd.gradcheck(loss, alpha)


def test_insertion_is_read_at_its_own_place(source: DissectedModel, value: Tensor) -> None:
    """At other places of the same image there is hardly any tree."""
    problem = objective(source, value)
    every = problem.inserted(torch.ones(UNIT_COUNT), problem.train.absent, torch.arange(6), binary=False)
    sample = problem.train.absent
    r, z, where = sample.take(torch.arange(6))
    images = source.models.generator.render(torch.where(where[:, None] > 0, value[:, None, None], r), LAYER, z)
    scores = place_means(source.models.segmenter.score(images, source.concept("tree")), (16, 16))  # type: ignore[attr-defined]
    torch.testing.assert_close(every, (scores * where).sum((1, 2)) / where.sum((1, 2)))
    elsewhere = (scores * where.flip(1)).sum((1, 2)) / where.sum((1, 2))
    assert every.mean() > elsewhere.mean() + 0.2


def test_the_first_order_is_the_mean_slope(source: DissectedModel, value: Tensor) -> None:
    problem, scale = objective(source, value), torch.tensor([0.2, 0.9])
    found = first_order(problem, scale)
    expected = torch.zeros(UNIT_COUNT)
    for start, share in ((0.0, 0.5), (1.0, 0.5)):
        alpha = torch.full((UNIT_COUNT,), start, requires_grad=True)
        zero = torch.zeros(UNIT_COUNT, requires_grad=True)
        come = problem.inserted(alpha, problem.train.absent, torch.arange(6), binary=False).mean() / scale[1]
        gone = problem.ablated(zero, problem.train.present, torch.arange(6), whole=True, binary=False).mean() / scale[0]
        expected += share * (torch.autograd.grad(come, alpha)[0] - torch.autograd.grad(gone, zero)[0])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert {UNITS[LAYER][unit] for unit in found.topk(2).indices.tolist()} == {"tree"}


def test_a_sample_that_does_not_fit_is_computed_again(
    source: DissectedModel, value: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = objective(source, value).train.present
    monkeypatch.setattr(optimisation, "PREFIX_BYTES", 0)
    again = objective(source, value).train.present
    assert kept._kept is not None
    assert again._kept is None
    for found, expected in zip(again.take(ROWS), kept.take(ROWS), strict=True):
        torch.testing.assert_close(found, expected)


def test_all_samples_share_the_room_for_features(
    source: DissectedModel, value: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = objective(source, value).train.present.nbytes
    assert one == 4 * 6 * UNIT_COUNT * 16 * 16
    monkeypatch.setattr(optimisation, "PREFIX_BYTES", 2 * one - 1)
    assert [sample.nbytes for sample in objective(source, value).train] == [one, 0]


def test_many_pairs_go_through_in_parts(source: DissectedModel, value: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers are kept of what a slope is of: few images at a time, where they are large."""
    problem, scale, rows = objective(source, value), torch.tensor([0.2, 0.9]), torch.arange(6)
    drawn: list[int] = []
    render = source.models.generator.render
    monkeypatch.setattr(source.models.generator, "render", lambda r, *rest: drawn.append(len(r)) or render(r, *rest))
    alpha = torch.linspace(0.1, 0.8, UNIT_COUNT)
    whole = descent(problem, alpha, rows, rows, scale)
    assert drawn == [6, 6]
    monkeypatch.setattr(DissectedModel, "batch", lambda *_: 4)
    torch.testing.assert_close(descent(problem, alpha, rows, rows, scale), whole)
    assert drawn == [6, 6, 4, 4, 2, 2]


class Stays(TorchDispatchMode):
    """Refuses to hand a number over to Python, for which a GPU would be waited for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


def test_nothing_leaves_the_device_in_an_update(planted: Dissection) -> None:
    """With the bundled kinds of model, that is; the planted ones look at what they are given."""
    generator = ProGAN(progan_network(8, [8] * 6))
    dissection = dataclasses.replace(planted, layers=generator.layers)
    source = DissectedModel(dissection, ModelPair(generator, open_segmenter("bundled:scenes"), "cpu"))
    spec = dataclasses.replace(asked(source), layer="layer4")
    where = Locations(torch.arange(4), maps(torch.tensor([3, 9, 20, 63]), (8, 8)), torch.zeros(4, dtype=torch.bool))
    (sample,) = open_samples(source, spec, [where])
    pair = PresentAbsent(sample, sample)
    problem = Objective(source, spec, 1, {"layer4": torch.ones(8)}, pair, pair)
    for ablated in ("map", "place"):
        problem = dataclasses.replace(problem, spec=dataclasses.replace(spec, ablated=ablated))
        alpha = torch.full((8,), 0.5, requires_grad=True)
        with Stays():
            loss = penalty(alpha, spec) - problem.gain(alpha, minibatch(4, spec, 0, 0), ROWS, torch.ones(2))
            (slope,) = torch.autograd.grad(loss, alpha)
            direction(slope, torch.zeros(8), torch.zeros(8), spec, 0)
        assert slope.isfinite().all()
        assert slope.abs().max() > 0
    with pytest.raises(AssertionError), Stays():
        float(slope.sum())


# ---------------------------------------------------------------- descent


@pytest.mark.parametrize(("optimiser", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_the_descent_is_that_of_torch(source: DissectedModel, optimiser: str, kind: Any) -> None:
    """With α clamped to [0, 1] after each step."""
    spec = asked(source, optimiser=optimiser, rate=0.2, decay=False)
    target = torch.linspace(-0.5, 1.5, 5)
    theirs = torch.full((5,), 0.4, requires_grad=True)
    steps = kind([theirs], lr=spec.rate)
    ours, mean, square = torch.full((5,), 0.4), torch.zeros(5), torch.zeros(5)
    for step in range(12):
        steps.zero_grad()
        (theirs - target).square().sum().backward()
        steps.step()
        with torch.no_grad():
            theirs.clamp_(0, 1)
        change, mean, square = direction(2 * (ours - target), mean, square, spec, step)
        ours = (ours - spec.rate * change).clamp(0, 1)
        torch.testing.assert_close(ours, theirs.detach())
    assert ours[0] == 0
    assert ours[4] == 1


def test_the_penalty_is_the_squared_norm_or_the_norm(source: DissectedModel) -> None:
    alpha = torch.tensor([0.6, 0.8])
    assert float(penalty(alpha, asked(source, penalty=0.5))) == pytest.approx(0.5)
    assert float(penalty(2 * alpha, asked(source, penalty=0.5))) == pytest.approx(2.0)
    assert float(penalty(2 * alpha, asked(source, penalty=0.5, norm="norm"))) == pytest.approx(1.0)
    zero = torch.zeros(2, requires_grad=True)
    penalty(zero, asked(source, norm="norm")).backward()
    assert zero.grad is not None
    assert zero.grad.tolist() == [0, 0]


def test_a_penalty_that_outweighs_all_leaves_nothing(source: DissectedModel, value: Tensor) -> None:
    problem = objective(source, value, penalty=50.0, rate=0.5, steps=10, every=10, decay=False)
    first = dataclasses.replace(begin(problem, torch.ones(UNIT_COUNT)), scales=torch.ones(2, 2))
    assert advance(problem, first).alpha.max() < 0.2
    problem = dataclasses.replace(problem, spec=dataclasses.replace(problem.spec, penalty=0.0))
    assert advance(problem, first).alpha.max() == 1


def test_an_update_takes_all_rows_in_turn(source: DissectedModel) -> None:
    spec = asked(source, pairs=4)
    rows = torch.cat([minibatch(10, spec, step, 0) for step in range(5)])
    assert sorted(rows[:10].tolist()) == sorted(rows[10:].tolist()) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()
    assert torch.equal(minibatch(10, spec, 3, 0), rows[12:16])
    assert not torch.equal(minibatch(10, spec, 3, 1), rows[12:16])
    assert len(minibatch(3, dataclasses.replace(spec, pairs=8), 0, 0)) == 8


def test_equals_are_ranked_by_what_they_began_with() -> None:
    alpha, start = torch.tensor([0.0, 1.0, 1.0, 0.5]), torch.tensor([0.3, 0.2, 0.9, 0.0])
    assert ranking(alpha, start).tolist() == [2, 1, 3, 0]
    assert clipped(alpha, start, 2).tolist() == [0, 1, 1, 0]


def looked(held: list[float], errors: list[float]) -> optimisation.OptimizerState:
    """A search whose evaluations, four updates apart, had these held-out effects; errors are those of the gains."""
    evaluations, zero = torch.zeros(len(held), len(optimisation.EVALUATION), dtype=torch.float64), torch.zeros(2)
    for name, values in {"step": range(0, 4 * len(held), 4), "held_out": held, "gain_error": errors}.items():
        evaluations[:, optimisation.EVALUATION.index(name)] = torch.tensor(list(values), dtype=torch.float64)
    evaluations[:, optimisation.EVALUATION.index("gain")] = torch.tensor(held, dtype=torch.float64) - held[0]
    alphas, scales = torch.zeros(len(held), 2), torch.ones(2, 2)
    return optimisation.OptimizerState(zero, zero, zero, zero, scales, evaluations, alphas, zero, zero)


def test_where_no_look_beats_the_start_by_more_than_its_error_the_start_is_the_answer(source: DissectedModel) -> None:
    spec = asked(source, steps=100, patience=3)
    assert looked([0.1, 0.5, 0.4], [0, 0.5, 0.4]).best(spec) == 0
    assert looked([0.1, 0.5, 0.4], [0, 0.5, 0.2]).best(spec) == 2, "the best of those that clearly do"
    assert looked([0.1, 0.05, 0.1], [0, 0.0, 0.0]).best(spec) == 0
    assert looked([0.1, 0.5, 0.4, 0.4], [0, 0.5, 0.4, 0.4]).done(spec)


def test_the_error_of_a_gain_is_of_the_same_images(source: DissectedModel, value: Tensor) -> None:
    problem = objective(source, value, steps=4, every=4, decay=False, rate=0.3)
    first = begin(problem, torch.linspace(1, 0, UNIT_COUNT))
    found = advance(problem, first).evaluations[-1]
    row = dict(zip(optimisation.EVALUATION, found.tolist(), strict=True))
    kept = [clipped(alpha, first.start, 2) for alpha in (first.start, advance(problem, first).alpha)]
    (gone, come), (gone_after, come_after) = (problem.held_out_terms(alpha, first.scales[1]) for alpha in kept)
    gain = (come_after - come).mean() - (gone_after - gone).mean()
    error = ((come_after - come).var() / 6 + (gone_after - gone).var() / 6).sqrt()
    assert (row["gain"], row["gain_error"]) == pytest.approx((float(gain), float(error)), abs=1e-6)
    assert first.evaluations[0, -2:].tolist() == [0, 0]


def test_the_best_look_is_the_answer_unless_all_steps_are_to_be_made(source: DissectedModel) -> None:
    search = looked([0.1, 0.5, 0.4, 0.3], [0, 0.1, 0.1, 0.1])
    patient = asked(source, steps=100, patience=3)
    assert search.best(patient) == 1
    assert not search.done(patient)
    assert search.done(dataclasses.replace(patient, patience=2))
    assert search.best(dataclasses.replace(patient, patience=0)) == 3
    assert not search.done(dataclasses.replace(patient, patience=0))
    assert search.done(dataclasses.replace(patient, steps=12))


def test_held_out_places_are_judged_by_the_binary_segmentation(
    source: DissectedModel, value: Tensor, out: Path
) -> None:
    problem = objective(source, value)
    kept = clipped(torch.tensor([float(role == "tree") for role in UNITS[LAYER]]), torch.zeros(UNIT_COUNT), 2)
    everything = torch.arange(6)
    gone = problem.ablated(kept, problem.held.present, everything, whole=True, binary=True) / 0.5
    come = problem.inserted(kept, problem.held.absent, everything, binary=True) / 0.8
    found = optimisation.effect(*problem.held_out_terms(kept, torch.tensor([0.5, 0.8])))
    assert float(found[0]) == pytest.approx(float(come.mean() - gone.mean()))
    assert float(found[1]) == pytest.approx(float((come.var() / 6 + gone.var() / 6).sqrt()))
    assert {*come.mul(0.8 * 4).round().tolist()} <= {0.0, 1.0, 2.0, 3.0, 4.0}
