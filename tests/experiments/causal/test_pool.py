"""The pool of a layer: class constants and places, against sums over images; kept once, shared by all."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistakes import mistake

from ganatomy.experiments.causal import pool as pools
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.pool import (
    ENOUGH,
    PlaceMeans,
    Pool,
    PoolSpec,
    layer_pool,
    nearest,
    open_pool,
    place_means,
    pool_shard,
)
from ganatomy.experiments.run_options import RunOptions
from ganatomy.models.toy_world import VOCABULARY


def asked(source: DissectedModel, **fields: Any) -> PoolSpec:
    return PoolSpec(**source.names() | {"layer": "layer2", "images": 40} | fields)


def test_it_is_what_summing_over_images_gives(source: DissectedModel, out: Path) -> None:
    """S-6.4: k is the mean activation, each place weighted by how much of it the concept covers."""
    spec = asked(source)
    pool = open_pool(source, spec, out)
    generator, segmenter = source.models.generator, source.models.segmenter
    seen = generator.observe(generator.latents(spec.ids(), spec.seed), [spec.layer])
    r, labels = seen.features[spec.layer].numpy().astype(float), segmenter(seen.images).numpy()
    for c in range(1, len(VOCABULARY)):
        shares = (labels == c).any(1).reshape(40, 16, 2, 16, 2).mean((2, 4))
        k = (r * shares[:, None]).sum((0, 2, 3)) / shares.sum()
        np.testing.assert_allclose(pool.constant(c).numpy(), k, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(pool.occupancy[c].numpy(), shares.sum(0))
        np.testing.assert_allclose(pool.best[:, c].numpy(), shares.reshape(40, -1).max(1))
        np.testing.assert_array_equal(pool.place[:, c].numpy(), shares.reshape(40, -1).argmax(1))


@pytest.mark.parametrize("room", [1, 30_000])
def test_in_little_room_it_takes_in_few_images_at_once(
    source: DissectedModel, out: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    whole = pool_shard(source, asked(source), asked(source).ids())
    taken: list[int] = []
    add = Pool._add
    monkeypatch.setattr(Pool, "_add", lambda self, r, *rest: taken.append(len(r)) or add(self, r, *rest))
    monkeypatch.setattr(pools, "AT_ONCE", room)
    few = pool_shard(source, asked(source), asked(source).ids())
    assert sum(taken) == 40
    assert max(taken) == (1 if room == 1 else 2)
    for name in ("best", "place"):
        assert torch.equal(few.state_dict()[name], whole.state_dict()[name])
    for name in ("drawn", "mass", "occupancy"):
        torch.testing.assert_close(few.state_dict()[name], whole.state_dict()[name], rtol=1e-12, atol=1e-12)


def test_the_second_to_ask_finds_it_measured(
    source: DissectedModel, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_pool(source, asked(source), out)

    def never(*_: Any) -> Pool:
        raise AssertionError("measured again")

    monkeypatch.setattr(pools, "pool_shard", never)
    second = open_pool(source, asked(source), out)
    assert all((first.state_dict()[name] == second.state_dict()[name]).all() for name in Pool.FIELDS)


def test_the_batch_is_no_part_of_the_question(
    source: DissectedModel, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is honoured where the pool is measured, and whoever asks with another finds the same pool."""
    drawn: list[int] = []

    def asking(batch: int) -> DissectedModel:
        return dataclasses.replace(source, run=RunOptions(batch, 41))

    observe = source.models.generator.observe
    monkeypatch.setattr(source.models.generator, "observe", lambda z, *rest: drawn.append(len(z)) or observe(z, *rest))
    first = layer_pool(asking(9), "layer2", 41)
    assert drawn == [9, 9, 9, 9, 5]
    second = layer_pool(asking(20), "layer2", 41)
    assert len(drawn) == 5
    assert (second.drawn == first.drawn).all()
    other = open_pool(asking(41), asked(source, images=41), out)
    np.testing.assert_allclose(other.drawn, first.drawn, rtol=1e-5, atol=1e-5)


def test_its_images_are_neither_those_of_dissections_nor_those_of_effects() -> None:
    ids = PoolSpec("", "", "", "layer2", images=10_000).ids()
    assert ids.start > 2 * 100_000
    assert ids.stop < 1_000_000


def test_a_concept_without_a_pixel_has_no_constant() -> None:
    with mistake("bad-value", "0 pooled images"):
        Pool(3, (2, 4, 4)).constant(1)


def test_a_layer_that_was_not_dissected_is_refused(source: DissectedModel, out: Path) -> None:
    with mistake("unknown-name", "layer9", "layer3"):
        open_pool(source, asked(source, layer="layer9"), out)
    assert not out.exists()


def test_k_of_a_place_is_a_mean_weighted_by_the_share_that_shows_the_concept(source: DissectedModel) -> None:
    """Formed anew from single images."""
    means = place_means(source, ["layer1", "layer2"], "ball", 30)["layer1"]
    generator, segmenter, ball = source.models.generator, source.models.segmenter, source.concept("ball")
    z = torch.cat([generator.latents(range(i, i + 1), 0) for i in range(500_000, 500_030)])
    seen = generator.observe(z, ["layer1"])
    share = (segmenter(seen.images)[:, 0] == ball).double().unfold(1, 4, 4).unfold(2, 4, 4).mean((3, 4)).numpy()
    r = seen.features["layer1"].double().numpy()
    mass = share.sum(0)
    row, column = np.argwhere(mass >= 1)[0]
    expected = (r[:, :, row, column] * share[:, row, column, None]).sum(0) / mass[row, column]
    value = means.constant(torch.zeros(r.shape[1]))
    assert value[:, row, column].numpy() == pytest.approx(expected, abs=1e-5)
    k = (r * share[:, None]).sum((0, 2, 3)) / mass.sum()
    assert not np.allclose(expected, k, atol=1e-3)
    lacking = share.sum((1, 2)) == 0
    shown_nowhere = lacking if lacking.sum() >= ENOUGH else share[:, row, column] == 0
    assert means.absent()[:, row, column].numpy() == pytest.approx(
        r[shown_nowhere][:, :, row, column].mean(0), abs=1e-5
    )


def test_a_place_that_never_shows_the_concept_takes_the_nearest_that_does() -> None:
    sums = PlaceMeans([(1, 2, 3)])
    r = torch.arange(6.0).view(1, 1, 2, 3)
    share = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    sums.update(r, share)
    sums.update(r, 0.1 * share.flip(1))  # too little to be told
    means = sums.of([(1, 2, 3)], 0)
    assert means.constant(torch.tensor([9.0]))[0].tolist() == [[0, 0, 5], [0, 5, 5]]
    assert PlaceMeans([(1, 2, 3)]).of([(1, 2, 3)], 0).constant(torch.tensor([9.0])).unique().tolist() == [9]


def test_without_images_that_lack_it_places_that_do_are_taken() -> None:
    means = PlaceMeans([(1, 1, 2)])
    means.update(torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]), torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]))
    assert means.of([(1, 1, 2)], 0).absent().flatten().tolist() == [3, 3]  # the left place always shows it
    assert nearest(torch.tensor([[False, True]])).tolist() == [[1, 1]]


def test_it_is_measured_once_and_read_from_then_on(source: DissectedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place_means(source, ["layer2"], "ball", 20)["layer2"]

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ganatomy.experiments.causal.pool.count_places", never)
    other = dataclasses.replace(source, run=RunOptions(batch=3))
    again = place_means(other, ["layer2"], "ball", 20)["layer2"]
    assert torch.equal(again.shown, first.shown)
