"""Counting concepts by image, part and place, against counting pixel by pixel."""

import numpy as np
import pytest
import torch

from ganatomy.stats.regions import concept_counts, place_counts, place_means, place_of_pixels

CONCEPTS = 5
GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(CONCEPTS, (3, 2, 9, 12), generator=GENERATOR)
"""Two planes, which often show the same concept at the same pixel."""
SHOWN = np.stack([(c == LABELS).any(1).numpy() if c else np.ones((3, 9, 12), bool) for c in range(CONCEPTS)], 1)
"""bool [b, concepts, H, W]; entry 0 is every pixel."""


def test_a_concept_that_two_planes_show_counts_once() -> None:
    np.testing.assert_array_equal(concept_counts(LABELS, CONCEPTS).numpy(), SHOWN.sum((2, 3)))
    assert (LABELS[:, 0] == LABELS[:, 1]).any()


@pytest.mark.parametrize("maps", [1, 3])
def test_only_pixels_that_are_read_count(maps: int) -> None:
    read = torch.rand(maps, 9, 12, generator=GENERATOR) < 0.3
    expected = (SHOWN & read.numpy()[:, None]).sum((2, 3))
    np.testing.assert_array_equal(concept_counts(LABELS, CONCEPTS, read).numpy(), expected)


def owner(pixel: int, pixels: int, places: int) -> int:
    """The place in which the centre of a pixel lies."""
    return int((pixel + 0.5) / pixels * places)


@pytest.mark.parametrize("grid", [(1, 1), (3, 4), (2, 5), (9, 12)])
def test_every_pixel_belongs_to_the_place_of_its_centre(grid: tuple[int, int]) -> None:
    found = place_of_pixels((9, 12), grid, torch.device("cpu"))
    counts = place_counts(LABELS, CONCEPTS, grid).numpy()
    means = place_means(torch.from_numpy(SHOWN[:, 2].astype(np.float64)), grid).numpy()
    expected = np.zeros((3, CONCEPTS, *grid), int)
    for y in range(9):
        for x in range(12):
            row, column = owner(y, 9, grid[0]), owner(x, 12, grid[1])
            assert int(found[0, y, x]) == row * grid[1] + column
            expected[:, :, row, column] += SHOWN[:, :, y, x]
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_allclose(means, expected[:, 2] / expected[:, 0])


def test_images_smaller_than_the_grid_are_read_at_its_size() -> None:
    counts = place_counts(LABELS[:, :, :2, :3], CONCEPTS, (4, 3)).numpy()
    assert (counts[:, 0] == 1).all()
    np.testing.assert_array_equal(counts[:, 1:], SHOWN[:, 1:, :2, :3].repeat(2, axis=2))
    means = place_means(torch.from_numpy(SHOWN[:, 1, :2, :3].astype(np.float32)), (4, 3))
    np.testing.assert_array_equal(means.numpy(), SHOWN[:, 1, :2, :3].repeat(2, axis=1))


def test_means_of_places_are_differentiable() -> None:
    scores = torch.rand(1, 4, 6, dtype=torch.float64, generator=GENERATOR).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda each: place_means(each, (2, 4)), scores)
