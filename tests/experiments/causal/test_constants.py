"""k(place) is the mean activation at that very place, over the images that show the concept there."""

import numpy as np
import pytest
import torch

from ganatomy.experiments.causal.pool import ENOUGH, PlaceMeans, nearest, place_means
from ganatomy.experiments.causal.source import Source


def test_k_of_a_place_is_a_mean_weighted_by_the_share_that_shows_the_concept(source: Source) -> None:
    """Formed anew from single images."""
    means = place_means(source, ["layer1", "layer2"], "ball", (30, 7))["layer1"]
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


def test_without_pictures_that_lack_it_places_that_do_are_taken() -> None:
    means = PlaceMeans([(1, 1, 2)])
    means.update(torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]), torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]))
    assert means.of([(1, 1, 2)], 0).absent().flatten().tolist() == [3, 3]  # the left place always shows it
    assert nearest(torch.tensor([[False, True]])).tolist() == [[1, 1]]


def test_it_is_measured_once_and_read_from_then_on(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place_means(source, ["layer2"], "ball", (20, 20))["layer2"]

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ganatomy.experiments.causal.pool.count_places", never)
    again = place_means(source, ["layer2"], "ball", (20, 3))["layer2"]
    assert torch.equal(again.shown, first.shown)
