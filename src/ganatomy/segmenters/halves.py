"""Top, left, bottom and right halves of the connected regions of a label map (Section 4; SPEC 3, part expansion)."""

from typing import no_type_check

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Integer
from numba import njit
from torch import Tensor


def expand(objects: Integer[Tensor, "b H W"], classes: int) -> Integer[Tensor, "b 2 H W"]:
    """Say in which halves of its region's bounding box each pixel lies.

    A region is an 8-connected component of one class; rows above (top + bottom + 1) // 2 are its top, columns left of
    (left + right + 1) // 2 its left. For a pixel of class c the first plane holds c + 1·classes (top) or c + 3·classes
    (bottom), the second c + 2·classes (left) or c + 4·classes (right); for class 0 both hold 0.
    """
    if objects.device.type == "cpu":
        halves = np.empty((len(objects), 2, *objects.shape[1:]), np.int64)
        whole = objects.long().contiguous()  # one type and layout: one compilation
        _halve_regions(whole.numpy(), classes, halves)
        return torch.from_numpy(halves)
    return _expand_on_device(objects.long(), classes)


@njit(cache=True, nogil=True)
@no_type_check  # the compiler reads the function itself
def _halve_regions(objects, classes, halves):
    """Join pixels into regions, measure the regions, write: int64 [b, H, W] to int64 [b, 2, H, W]."""
    count, height, width = objects.shape
    parent = np.empty(height * width, np.int64)
    box = np.empty((height * width, 4), np.int64)  # top, bottom, left, right of the region that a pixel leads to
    for n in range(count):
        _join(objects[n], parent)
        for pixel in range(height * width):
            y, x = pixel // width, pixel % width
            parent[pixel] = root = parent[parent[pixel]]  # a parent comes earlier, so it already points to its root
            if root == pixel:
                box[root] = y, y, x, x
            box[root, 1] = y
            box[root, 2] = min(box[root, 2], x)
            box[root, 3] = max(box[root, 3], x)
        for pixel in range(height * width):
            y, x = pixel // width, pixel % width
            label = objects[n, y, x]
            top, bottom, left, right = box[parent[pixel]]
            upper, lefter = y < (top + bottom + 1) // 2, x < (left + right + 1) // 2
            halves[n, 0, y, x] = 0 if label == 0 else label + classes * (1 if upper else 3)
            halves[n, 1, y, x] = 0 if label == 0 else label + classes * (2 if lefter else 4)


@njit(cache=True, nogil=True)
@no_type_check  # the compiler reads the function itself
def _join(objects, parent):
    """Union-find over the neighbours that come earlier; the root of a region is its first pixel."""
    height, width = objects.shape
    for y in range(height):
        for x in range(width):
            pixel = y * width + x
            parent[pixel] = pixel
            for dy, dx in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
                if y + dy >= 0 and 0 <= x + dx < width and objects[y + dy, x + dx] == objects[y, x]:
                    one, other = _root(parent, pixel), _root(parent, pixel + dy * width + dx)
                    parent[max(one, other)] = min(one, other)


@njit(cache=True, nogil=True)
@no_type_check  # the compiler reads the function itself
def _root(parent, pixel):
    while parent[pixel] != pixel:
        parent[pixel] = parent[parent[pixel]]
        pixel = parent[pixel]
    return pixel


def _expand_on_device(objects: Integer[Tensor, "b H W"], classes: int) -> Integer[Tensor, "b 2 H W"]:
    """Do the same without leaving the device: the least pixel number spreads through each region, by leaps."""
    region = regions(objects)
    _, height, width = objects.shape
    middle = []
    for axis, size in ((1, height), (2, width)):
        at = torch.arange(size, device=objects.device).reshape([1, -1, 1] if axis == 1 else [1, 1, -1])
        at = at.expand_as(objects).flatten()
        first = torch.full_like(at, size).scatter_reduce(0, region, at, "amin")
        last = torch.zeros_like(at).scatter_reduce(0, region, at, "amax")
        middle.append((at < ((first + last + 1) // 2)[region]).reshape(objects.shape))
    upper, lefter = middle
    halves = torch.stack([torch.where(upper, 1, 3), torch.where(lefter, 2, 4)], 1) * classes + objects[:, None]
    return torch.where(objects[:, None] == 0, 0, halves)


def regions(objects: Integer[Tensor, "b H W"]) -> Integer[Tensor, " pixels"]:
    """Return for each pixel of the batch the number of the first pixel of its 8-connected region of one class."""
    region = torch.arange(objects.numel(), device=objects.device).reshape(objects.shape)
    same = F.pad(objects, (1, 1, 1, 1), value=-1)
    _, height, width = objects.shape
    shifts = [(dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)]
    while True:
        least, padded = region, F.pad(region, (1, 1, 1, 1))
        for dy, dx in shifts:
            window = (..., slice(dy, dy + height), slice(dx, dx + width))
            least = torch.where(same[window] == objects, torch.minimum(least, padded[window]), least)
        least = least.flatten()[least]  # leap: a pixel's first pixel may know an earlier one
        if bool((least == region).all()):
            return region.flatten()
        region = least
