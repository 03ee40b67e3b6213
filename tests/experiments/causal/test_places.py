"""Places of a grid: which there are, what they show, and that units are set there and nowhere else."""

import pytest
import torch
from mistakes import mistake

from ganatomy.experiments.causal.choice import random_alpha
from ganatomy.experiments.causal.places import cell_counts, corners, majority, masks, pixel_boxes, read_at
from ganatomy.interventions import place
from ganatomy.stats.regions import concept_counts, place_of_pixels


def test_corners_are_all_places_that_fit() -> None:
    assert corners((2, 3), 2).tolist() == [[0, 0], [0, 1]]
    assert corners((5, 4), 2, stride=2).tolist() == [[0, 0], [0, 2], [2, 0], [2, 2]]
    with mistake("bad-value", "cell=3", "3 × 3", "2 × 5"):
        corners((2, 5), 3)


def test_masks_are_the_places_of_an_edit() -> None:
    at = corners((6, 5), 2)
    assert torch.equal(masks((6, 5), at, 2), torch.cat([place((6, 5), int(row), int(col), 2) for row, col in at]))


@pytest.mark.parametrize(("grid", "cell"), [((8, 8), 3), ((5, 7), 2), ((48, 40), 1)])
def test_counts_of_a_place_are_those_of_its_pixels(grid: tuple[int, int], cell: int) -> None:
    """One place at a time, by hand; the last grid is finer than the image, which is then read at its size."""
    labels = torch.randint(0, 5, (3, 2, 32, 32), generator=torch.Generator().manual_seed(0))
    counts = cell_counts(labels, [1, 2, 3, 4], grid, cell)
    few = cell_counts(labels, [4, 2], grid, cell)
    assert torch.equal(few, counts[:, [0, 4, 2]])
    size = (max(32, grid[0]), max(32, grid[1]))
    full = torch.nn.functional.interpolate(labels.float(), size, mode="nearest-exact").long()
    for at in corners(grid, cell)[::37]:
        where = masks(grid, at[None], cell)
        inside = (where > 0).flatten(1)[:, place_of_pixels(size, grid, labels.device)[0]]
        expected = concept_counts(full, 5, inside)
        assert torch.equal(counts[:, :, at[0], at[1]], expected)
        shown = read_at(labels, 4, where.expand(3, -1, -1))
        assert torch.equal(torch.stack([shown.at, shown.area]), expected[:, [4, 0]].T)
        assert torch.equal(shown.image, concept_counts(full, 5)[:, 4])


def test_the_majority_is_what_most_pixels_show() -> None:
    """Pixels of concepts 1 to 3, of ten; nothing is what shows none of those asked about."""
    shown = torch.tensor([[4, 5, 9], [2, 3, 9], [5, 5, 0], [3, 3, 0]])
    labels = torch.zeros(4, 2, 1, 10, dtype=torch.long)
    for own, (one, two, three) in zip(labels, shown.tolist(), strict=True):
        own[0, 0, :one], own[0, 0, one : one + two], own[1, 0, :three] = 1, 2, 3
    assert majority(labels, [1, 2], (1, 1), 1).flatten().tolist() == [2, 0, 1, 0]
    assert majority(labels, [2, 1], (1, 1), 1).flatten().tolist() == [2, 0, 2, 0], "of equals the first of those asked"
    assert majority(labels, [3], (1, 1), 1).flatten().tolist() == [3, 3, 0, 0]
    assert majority(labels, [9], (1, 1), 1).flatten().tolist() == [0, 0, 0, 0]


def test_random_units_are_others_and_depend_on_the_id() -> None:
    drawn = random_alpha(30, [3, 4, 5], range(100, 140), seed=0)
    assert (drawn.sum(1) == 3).all()
    assert (drawn[:, 3:6] == 0).all()
    assert len(drawn.unique(dim=0)) > 20
    assert torch.equal(random_alpha(30, [3, 4, 5], range(110, 120), 0), drawn[10:20])
    assert (random_alpha(4, [0, 1, 2], range(5), 0).sum(1) == 3).all(), "too few others: some of the chosen are drawn"


def test_boxes_lie_over_the_pixels_of_their_place() -> None:
    assert pixel_boxes(torch.tensor([[1, 3]]), 2, (8, 16), (64, 64)).tolist() == [[8, 12, 16, 8]]
