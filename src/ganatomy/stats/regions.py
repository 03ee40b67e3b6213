"""How many pixels show each concept, or how much: in an image, in a part of it, at each place of a layer's grid."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64, Integer
from torch import Tensor

from ganatomy.core.resample import labels_at
from ganatomy.core.tensor_types import Labels, Scores


def concept_counts(
    labels: Labels, concepts: int, read: Bool[Tensor, "p H W"] | None = None
) -> Int64[Tensor, "b concepts"]:
    """Count the pixels of each image that show each concept; entry 0 counts all pixels that are read.

    Args:
        concepts: how many, nothing included.
        read: the pixels to read, for all images (p = 1) or for each; None for all.
    """
    if read is None:
        return _count(labels, concepts, torch.zeros_like(labels[:1, 0], dtype=torch.long), 1)[:, 0]
    return _count(labels, concepts, read.long(), 2)[:, 1]


def place_of_pixels(size: tuple[int, int], grid: tuple[int, int], device: torch.device) -> Integer[Tensor, "1 H W"]:
    """Return for each pixel of an image the place of a grid (row-major) in which its centre lies."""
    rows, columns = (
        ((torch.arange(n, device=device, dtype=torch.float64) + 0.5) * places / n).long()
        for n, places in zip(size, grid, strict=True)
    )
    return (rows[:, None] * grid[1] + columns)[None]


def place_counts(labels: Labels, concepts: int, grid: tuple[int, int]) -> Int64[Tensor, "b concepts h w"]:
    """Count the pixels of each place of a grid that show each concept; entry 0 counts the place's pixels.

    Images that are smaller than the grid are read at its size: each place then has one pixel.
    """
    height, width = (max(n, places) for n, places in zip(labels.shape[-2:], grid, strict=True))
    labels = labels_at(labels, (height, width))
    counts = _count(labels, concepts, place_of_pixels((height, width), grid, labels.device), grid[0] * grid[1])
    return counts.transpose(1, 2).reshape(len(labels), concepts, *grid)


def _count(labels: Labels, concepts: int, places: Integer[Tensor, "p H W"], count: int) -> Int64[Tensor, "b n c"]:
    """Count concepts by place; a concept that two planes show at a pixel counts once."""
    shown = labels.long()
    for plane in range(1, shown.shape[1]):
        again = (shown[:, :plane] == shown[:, plane : plane + 1]).any(1)
        shown[:, plane] = torch.where(again, 0, shown[:, plane])
    rows = torch.arange(len(shown), device=shown.device).view(-1, 1, 1) * count + places
    index = (rows[:, None] * concepts + shown).flatten()
    counts = torch.zeros(len(shown) * count * concepts, dtype=torch.long, device=shown.device)
    counts.scatter_add_(0, index, torch.ones_like(index))
    table = counts.view(len(shown), count, concepts)
    pixels = torch.zeros(len(shown) * count, dtype=torch.long, device=shown.device)
    rows = rows.flatten()
    table[:, :, 0] = pixels.scatter_add_(0, rows, torch.ones_like(rows)).view(len(shown), count)
    return table


def only(labels: Labels, among: Sequence[int], concepts: int) -> Labels:
    """Return labels that distinguish some concepts: 1, 2, … for those of `among`, and 0 for all others.

    >>> only(torch.tensor([[[[0, 7, 2, 5]]]]), [2, 7], 9).flatten().tolist()
    [0, 2, 1, 0]
    """
    table = torch.zeros(concepts, dtype=torch.long, device=labels.device)
    table[list(among)] = torch.arange(1, len(among) + 1, device=labels.device)
    return table[labels.long()]


def occurring(labels: Labels) -> list[int]:
    """Return the concepts that labels show, in order, without "nothing"."""
    found: list[int] = torch.unique(labels).tolist()
    return [c for c in found if c]


def place_means(scores: Scores, grid: tuple[int, int]) -> Float[Tensor, "b h w"]:
    """Return the mean score of each place of a grid; differentiable. Pixels and places belong together as above."""
    height, width = (_averaging(n, places, scores) for n, places in zip(scores.shape[-2:], grid, strict=True))
    return height @ scores @ width.T


def _averaging(pixels: int, places: int, like: Tensor) -> Float[Tensor, "places pixels"]:
    """Return what averages a row of pixels over places; a place that holds none takes the pixel at its centre."""
    n = max(pixels, places)
    place = ((torch.arange(n, device=like.device, dtype=torch.float64) + 0.5) * places / n).long()
    pixel = ((torch.arange(n, device=like.device, dtype=torch.float64) + 0.5) * pixels / n).long()
    matrix = torch.zeros(places, pixels, dtype=like.dtype, device=like.device)
    matrix[place, pixel] = 1
    return matrix / matrix.sum(1, keepdim=True)
