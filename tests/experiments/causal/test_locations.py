"""Places to learn from: present ones show the concept; candidates do not, and do once all units are set to k."""

from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake

from ganatomy.experiments.causal.ace_spec import AceSpec
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.locations import SALT, candidates, draw_places, present, try_places
from ganatomy.experiments.causal.places import maps
from ganatomy.experiments.causal.pool import Pool, pool_shard
from ganatomy.interventions import Intervention
from ganatomy.stats.regions import place_counts, place_means
from ganatomy.study import Study

GRID = (16, 16)


def asked(source: DissectedModel, **fields: Any) -> AceSpec:
    small: dict[str, Any] = {"layer": "layer2", "concept": "tree", "pool": 60, "train": 16, "held": 8}
    return AceSpec(**source.names() | small | {"candidates": 24, "together": 3, "top": 2} | fields)


@pytest.fixture(scope="module")
def pool(source: DissectedModel) -> Pool:
    spec = asked(source).pool_spec()
    return pool_shard(source, spec, spec.ids())


def counts(source: DissectedModel, ids: list[int], concept: int) -> torch.Tensor:
    """How many pixels of each place show the concept, before anything is done."""
    generator = source.models.generator
    z = torch.cat([generator.latents(range(i, i + 1), 0) for i in ids])
    return place_counts(source.models.segmenter(generator.observe(z, []).images), 7, GRID)[:, concept]


def test_present_places_are_the_fullest_of_the_images_that_show_most(source: DissectedModel, pool: Pool) -> None:
    found = present(asked(source), pool, source.concept("tree"))
    every = counts(source, list(asked(source).pool_spec().ids()), source.concept("tree")).flatten(1).amax(1)
    shown = counts(source, found.ids.tolist(), source.concept("tree"))
    assert found.where.sum((1, 2)).tolist() == [1] * 24
    assert (shown * found.where).sum((1, 2)).tolist() == sorted(every.tolist(), reverse=True)[:24]
    assert len(set(found.ids.tolist())) == 24


def test_images_are_held_out_from_best_to_worst(source: DissectedModel, pool: Pool) -> None:
    found = present(asked(source), pool, source.concept("tree"))
    assert found.held.tolist() == [False, True, False] * 8
    assert set(found.part(True).ids.tolist()).isdisjoint(found.part(False).ids.tolist())


def test_where_few_images_show_it_as_large_a_share_is_held_out(source: DissectedModel, pool: Pool) -> None:
    found = present(asked(source, train=400, held=200), pool, source.concept("tree"))
    assert 20 < len(found.ids) < 60
    assert len(found.part(True).ids) == pytest.approx(len(found.ids) / 3, abs=1)


def test_candidates_do_not_show_the_concept_and_gain_what_is_said(source: DissectedModel, pool: Pool) -> None:
    spec, tree = asked(source), source.concept("tree")
    weights = torch.full((256,), 1 / 256)
    found = try_places(source, spec, {"layer2": pool.constant(tree)}, weights, range(500_000, 500_020))
    assert int(found.evaluations) == 40  # each image before, and with its places set
    before = counts(source, found.ids.tolist(), tree).flatten(1)
    assert (before[range(len(found.ids)), found.place] == 0).all()
    generator, shape = source.models.generator, source.shape("layer2")
    own = found.ids == 500_003
    where = maps(found.place[own][None], GRID)
    edit = Intervention.insert("layer2", shape, range(shape.units), pool.constant(tree), where)
    images = generator.edited(generator.latents(range(500_003, 500_004), 0), [edit])
    means = place_means(source.models.segmenter.score(images, tree), GRID).flatten()  # type: ignore[attr-defined]
    torch.testing.assert_close(found.gain[own], means[found.place[own]])


def test_the_best_images_come_first_with_all_their_places_that_are_as_good(
    source: DissectedModel, pool: Pool, out: Path
) -> None:
    spec = asked(source, train=4, held=2)
    with Study.create(out, spec, source.facts()) as study:
        found, used = candidates(source, spec, pool, {"layer2": pool.constant(source.concept("tree"))}, study)
        study.finish()
    assert used == 48
    tried = try_places_of(source, spec, pool)
    kept = torch.isin(tried.ids, found.ids)
    floor = tried.gain[~kept].max()
    assert len(found.ids) == 6
    for i, where in zip(found.ids.tolist(), found.where, strict=True):
        good = tried.place[(tried.ids == i) & (tried.gain > floor)]
        assert where.flatten().nonzero()[:, 0].tolist() == sorted(good.tolist()) != []


def try_places_of(source: DissectedModel, spec: AceSpec, pool: Pool) -> Any:
    concept = source.concept(spec.concept)
    occupied = pool.occupancy[concept].flatten()
    weights = (0.9 * occupied / occupied.sum() + 0.1 / 256).float()
    return try_places(source, spec, {"layer2": pool.constant(concept)}, weights, range(500_000, 500_024))


def test_more_tries_than_images_go_round_again_at_other_places(source: DissectedModel, pool: Pool) -> None:
    tree = source.concept("tree")
    weights, ids = torch.full((256,), 1 / 256), range(500_000, 500_004)
    twice = try_places(source, asked(source, candidates=120, together=1), {"layer2": pool.constant(tree)}, weights, ids)
    assert int(twice.evaluations) == 12
    assert twice.ids.tolist() == [*ids, *ids]
    assert twice.place[:4].tolist() != twice.place[4:].tolist()


# ---------------------------------------------------------------- drawing


def test_draws_follow_their_weights(source: DissectedModel) -> None:
    weights = torch.tensor([[0.1, 0.0, 0.6, 0.3]]).expand(4000, -1)
    drawn = draw_places(weights, range(4000), SALT, (2, 2), asked(source, together=1))
    shares = torch.bincount(drawn[:, 0], minlength=4) / 4000
    torch.testing.assert_close(shares, weights[0], atol=0.03, rtol=0)
    assert shares[1] == 0


def test_places_of_one_image_are_apart(source: DissectedModel) -> None:
    drawn = draw_places(torch.ones(50, 256), range(50), 0, GRID, asked(source, together=4, apart=5))
    rows, columns = drawn // 16, drawn % 16
    far = ((rows[:, :, None] - rows[:, None]).abs() >= 5) | ((columns[:, :, None] - columns[:, None]).abs() >= 5)
    assert (far | torch.eye(4, dtype=torch.bool)).all()
    assert len(drawn.unique()) > 100


def test_where_no_place_is_left_there_is_none(source: DissectedModel) -> None:
    weights = torch.zeros(2, 256)
    weights[1, 7] = 1
    assert draw_places(weights, range(2), 0, GRID, asked(source, together=2)).tolist() == [[-1, -1], [7, -1]]
    assert maps(torch.tensor([[7, -1]]), GRID).flatten().nonzero().flatten().tolist() == [7]


def test_a_draw_depends_on_seed_and_id_only(source: DissectedModel) -> None:
    weights, spec = torch.ones(6, 256), asked(source)
    whole = draw_places(weights, range(6), 0, GRID, spec)
    assert torch.equal(draw_places(weights[4:], range(4, 6), 0, GRID, spec), whole[4:])
    assert not torch.equal(draw_places(weights, range(6), 1, GRID, spec), whole)


def test_too_few_places_are_told_in_one_line(source: DissectedModel) -> None:
    empty = Pool(7, (12, 16, 16))
    with mistake("bad-value", "0 of 60", "tree", "layer2", "pool", "candidates"):
        present(asked(source), empty, source.concept("tree"))
