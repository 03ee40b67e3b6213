"""Top, left, bottom and right halves of the connected regions of a label map (Section 4; SPEC 3, part expansion)."""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Integer
from numba import njit
from torch import Tensor


def expand(objects: Integer[Tensor, "b H W"], classes: int) -> Integer[Tensor, "b 2 H W"]:
    """Return in which halves of its region's bounding box each pixel lies.

    A region is an 8-connected component of one class; rows above (top + bottom + 1) // 2 are its top, columns left of
    (left + right + 1) // 2 its left. For a pixel of class c the first plane holds c + 1·classes (top) or c + 3·classes
    (bottom), the second c + 2·classes (left) or c + 4·classes (right); for class 0 both hold 0.
    """
    objects, region = objects.long(), regions(objects)
    _, height, width = objects.shape
    first_half = []
    for size, shape in ((height, (-1, 1)), (width, (1, -1))):
        at = torch.arange(size, device=objects.device).reshape(shape).expand_as(objects).flatten()
        first = torch.full_like(at, size).scatter_reduce(0, region, at, "amin")
        last = torch.zeros_like(at).scatter_reduce(0, region, at, "amax")
        first_half.append((at < ((first + last + 1) // 2)[region]).reshape(objects.shape))
    top, left = first_half
    halves = torch.stack([torch.where(top, 1, 3), torch.where(left, 2, 4)], 1) * classes + objects[:, None]
    return torch.where(objects[:, None] == 0, 0, halves)


def regions(objects: Integer[Tensor, "b H W"]) -> Integer[Tensor, " pixels"]:
    """Return for each pixel of the batch the number of the first pixel of its 8-connected region of one class."""
    roots = np.empty(objects.numel(), np.int64)
    _join(objects.cpu().long().contiguous().numpy(), roots)  # one type and layout: one compilation
    return torch.from_numpy(roots).to(objects.device)


@njit(cache=True, nogil=True)
@no_type_check  # the compiler reads the function itself
def _join(objects, parent):
    """Union-find over the neighbours that come earlier; the root of a region is its first pixel."""
    count, height, width = objects.shape
    for n in range(count):
        for y in range(height):
            for x in range(width):
                pixel = (n * height + y) * width + x
                parent[pixel] = pixel
                for dy, dx in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
                    if y + dy >= 0 and 0 <= x + dx < width and objects[n, y + dy, x + dx] == objects[n, y, x]:
                        one, other = _root(parent, pixel), _root(parent, pixel + dy * width + dx)
                        parent[max(one, other)] = min(one, other)
    for pixel in range(parent.size):
        parent[pixel] = parent[parent[pixel]]  # a parent comes earlier, so it already is a root


@njit(cache=True, nogil=True)
@no_type_check  # the compiler reads the function itself
def _root(parent, pixel):
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel
