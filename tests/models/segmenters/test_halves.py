"""Part expansion: parity with the published one, its last-region mistake aside, and with a plain restatement."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ganatomy.models.segmenters.part_quadrants import expand


def test_parity(shared: Path) -> None:
    vectors = np.load(shared / "parity" / "parts" / "parts.npz")
    objects = torch.from_numpy(vectors["object"]).long()
    halves = expand(objects, int(vectors["object_classes"]))
    assert torch.equal(halves, torch.from_numpy(vectors["expanded"]).long())


@pytest.mark.parametrize(
    ("objects", "vertical", "horizontal"),
    [
        ([[1]], [[7]], [[9]]),  # (0 + 0 + 1) // 2 = 0: a lone pixel is bottom right
        ([[1, 1]], [[7, 7]], [[5, 9]]),
        ([[1], [1], [1]], [[3], [7], [7]], [[9], [9], [9]]),
        ([[1, 0], [0, 1]], [[3, 0], [0, 7]], [[5, 0], [0, 9]]),  # joined by their corners
        ([[1, 2], [2, 1]], [[3, 4], [8, 7]], [[5, 10], [6, 9]]),  # of two classes, that cross
        ([[1, 0, 1]], [[7, 0, 7]], [[9, 0, 9]]),  # two regions of one class
    ],
)
def test_small_maps(objects: list, vertical: list, horizontal: list) -> None:
    assert expand(torch.tensor([objects]), 2).tolist() == [[vertical, horizontal]]


def plain(objects: np.ndarray, classes: int) -> np.ndarray:
    """Fill one region at a time."""
    out = np.zeros((2, *objects.shape), np.int64)
    seen = objects == 0
    for y, x in np.argwhere(objects > 0):
        if seen[y, x]:
            continue
        region, edge = {(y, x)}, [(y, x)]
        while edge:
            a, b = edge.pop()
            for p in [(a + i, b + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                inside = 0 <= p[0] < objects.shape[0] and 0 <= p[1] < objects.shape[1]
                if inside and p not in region and objects[p] == objects[y, x]:
                    region.add(p)
                    edge.append(p)
        ys, xs = zip(*region, strict=True)
        for a, b in region:
            seen[a, b] = True
            out[0, a, b] = objects[y, x] + classes * (1 if a < (min(ys) + max(ys) + 1) // 2 else 3)
            out[1, a, b] = objects[y, x] + classes * (2 if b < (min(xs) + max(xs) + 1) // 2 else 4)
    return out


@pytest.mark.parametrize("classes", [1, 3])
def test_random_maps(classes: int) -> None:
    source = torch.Generator().manual_seed(classes)
    objects = torch.randint(0, classes + 1, (6, 17, 23), generator=source)
    expected = np.stack([plain(each.numpy(), classes) for each in objects])
    assert torch.equal(expand(objects, classes), torch.from_numpy(expected))


def test_a_map_that_is_no_whole_block_of_memory() -> None:
    objects = torch.randint(0, 4, (2, 8, 12), generator=torch.Generator().manual_seed(0))
    assert torch.equal(expand(objects.mT, 3), expand(objects.mT.clone(), 3))
