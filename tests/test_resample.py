"""Feature grids, label maps and images line up by the centres of their pixels; strokes, by areas."""

import math

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from torch import Tensor

from ganatomy.core.resample import Grid, bilinear_axis, labels_at, pooled, upsample

SIZES = [((1, 1), (6, 6)), ((3, 5), (8, 9)), ((4, 4), (16, 16)), ((8, 8), (8, 8)), ((16, 12), (8, 5)), ((7, 2), (7, 9))]


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_upsampling_is_bilinear_between_pixel_centres(shape: tuple[int, int], size: tuple[int, int]) -> None:
    r = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    up = upsample(r, Grid(*size))
    assert up.dtype == torch.float64
    expected = F.interpolate(r.double(), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(up, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_what_is_constant_stays_so_to_the_last_bit(shape: tuple[int, int], size: tuple[int, int]) -> None:
    values = torch.randn(1, 500, 1, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(upsample(values.expand(-1, -1, *shape), Grid(*size)), values.double().expand(-1, -1, *size))


def test_the_same_size_changes_nothing() -> None:
    r = torch.randn(2, 3, 5, 7)
    assert torch.equal(upsample(r, Grid(5, 7)), r.double())


@pytest.mark.parametrize("source", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("size", [1, 2, 5, 64, 100])
def test_an_axis_stays_within_its_border(source: int, size: int) -> None:
    axis = bilinear_axis(source, size)
    assert len(axis.low) == len(axis.weight) == size
    assert axis.low.max() <= source - 1
    assert 0 <= axis.weight.min() <= axis.weight.max() < 1
    assert not axis.weight[axis.low == source - 1].any(), "the last one has no neighbour to lean on"


def test_labels_are_those_under_the_centres() -> None:
    labels = torch.arange(16).view(1, 1, 4, 4)
    assert labels_at(labels, (2, 2)).tolist() == [[[[5, 7], [13, 15]]]]
    assert labels_at(labels, (1, 4)).tolist() == [[[[8, 9, 10, 11]]]]
    assert labels_at(labels, (4, 8))[0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert labels_at(labels, (4, 4)) is labels


@pytest.mark.parametrize(("source", "size"), [(4, 8), (5, 3), (9, 9), (3, 7)])
def test_labels_are_resampled_as_nearest_exact(source: int, size: int) -> None:
    labels = torch.randint(99, (2, 3, source, source + 1), generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(labels.float(), (size, size + 2), mode="nearest-exact").long()
    assert torch.equal(labels_at(labels, (size, size + 2)), expected)


def overlapping(source: int, size: int, i: int) -> slice:
    """The pixels of an axis that overlap place i."""
    return slice(i * source // size, math.ceil((i + 1) * source / size))


def pooled_place_by_place(stroke: Tensor, grid: tuple[int, int], how: str) -> Tensor:
    result = torch.empty(len(stroke), *grid)
    for i in range(grid[0]):
        for j in range(grid[1]):
            part = stroke[:, overlapping(stroke.shape[1], grid[0], i), overlapping(stroke.shape[2], grid[1], j)]
            result[:, i, j] = part.amax((1, 2)) if how == "max" else part.mean((1, 2))
    return result


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize(
    ("size", "grid"),
    [((8, 8), (4, 2)), ((7, 9), (3, 4)), ((5, 6), (5, 6)), ((3, 2), (7, 5)), ((1, 1), (3, 4)), ((6, 5), (1, 1))],
)
def test_a_stroke_takes_the_pixels_that_overlap_each_place(
    how: str, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    stroke = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pooled(stroke, grid, how), pooled_place_by_place(stroke, grid, how))


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (64, 64), (100, 7)])
def test_pooled_strokes_stay_between_nothing_and_all(how: str, grid: tuple[int, int]) -> None:
    for value in (0.0, 1.0):
        assert torch.equal(pooled(torch.full((1, 64, 64), value), grid, how), torch.full((1, *grid), value))
    random = pooled(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)), grid, how)
    assert 0 <= random.min() <= random.max() <= 1


def test_max_keeps_a_thin_stroke_and_mean_its_area() -> None:
    stroke = torch.zeros(1, 64, 64)
    stroke[0, 10, 20] = 1
    assert pooled(stroke, (8, 8), "max").nonzero().tolist() == [[0, 1, 2]]
    assert float(pooled(stroke, (8, 8), "max").sum()) == 1
    assert float(pooled(stroke, (8, 8), "mean")[0, 1, 2]) == 1 / 64


def test_another_pooling_is_refused() -> None:
    with mistake("unknown-name", "median", "mean"):
        pooled(torch.zeros(1, 4, 4), (2, 2), "median")


@pytest.mark.parametrize(("image", "size"), [(8, 4), (9, 3), (10, 4), (7, 5)])
def test_features_are_read_where_labels_are_sampled(image: int, size: int) -> None:
    """A feature map as large as the image and labels that are its pixels' numbers: each point reads its own pixel."""
    pixels = torch.arange(image * image, dtype=torch.float64).view(1, 1, image, image)
    points = upsample(pixels.float(), Grid(size, size, (image, image)))
    assert torch.equal(points.long(), labels_at(pixels.long(), (size, size)))
    assert torch.equal(points, points.round())
