"""Maps between grids as matrices, against the operations that they stand for."""

import pytest
import torch
import torch.nn.functional as F
from plain_parsers import hats

from ganatomy.models.segmenters.pooling_ops import bilinear, convolve_upsampled, precise_bins

LIKE = torch.zeros(0, dtype=torch.float64)


@pytest.mark.parametrize(("given", "made"), [(1, 1), (1, 5), (4, 16), (5, 13), (7, 7), (13, 5), (64, 3)])
def test_resizing_is_that_of_torch(given: int, made: int) -> None:
    x = torch.randn(2, 3, given, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x @ bilinear(given, made, LIKE).T, F.interpolate(x, made, mode="linear"))


@pytest.mark.parametrize(("given", "bins"), [(1, 6), (2, 1), (3, 2), (8, 3), (8, 6), (10, 6), (17, 3)])
def test_bins_are_means_of_the_line(given: int, bins: int) -> None:
    expected = torch.from_numpy(hats(given, bins))
    torch.testing.assert_close(precise_bins(given, bins, LIKE), expected, rtol=0, atol=1e-6)


def test_a_bin_of_everything_loses_half_a_pixel_at_the_start() -> None:
    """Pixel 0 lies on the border, so half of its hat is outside; the last pixel's hat ends at the border."""
    assert precise_bins(4, 1, LIKE).tolist() == [[0.125, 0.25, 0.25, 0.25]]


@pytest.mark.parametrize(("given", "size"), [((1, 1), (5, 4)), ((3, 4), (12, 16)), ((5, 3), (9, 7)), ((6, 6), (6, 6))])
def test_a_convolution_after_upsampling(given: tuple[int, int], size: tuple[int, int]) -> None:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, *given, dtype=torch.float64, generator=source)
    weight = torch.randn(4, 5, 3, 3, dtype=torch.float64, generator=source)
    expected = F.conv2d(F.interpolate(x, size, mode="bilinear"), weight, padding=1)
    torch.testing.assert_close(convolve_upsampled(x, weight, size), expected)


def test_matrices_are_of_the_kind_that_is_asked_for() -> None:
    like = torch.zeros(0, dtype=torch.bfloat16, device="meta")
    for matrix in (bilinear(2, 5, like), precise_bins(4, 2, like)):
        assert (matrix.dtype, matrix.device) == (like.dtype, like.device)
