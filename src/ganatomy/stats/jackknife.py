"""The error of a number that is computed from a whole sample, such as a distance: leave out a block at a time.

Tukey's jackknife. Differences of two numbers of the same images are computed block by block, too, so what both share
cancels in their error.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ganatomy.core.errors import BadValue

BLOCKS = 10


def blocks_left_out(count: int, blocks: int = BLOCKS) -> Int64[Tensor, "blocks rest"]:
    """Return which of `count` things are left without each of some blocks of equal size.

    What is over when they are shared out is in no block, and always there.

    >>> blocks_left_out(7, 3).tolist()
    [[2, 3, 4, 5, 6], [0, 1, 4, 5, 6], [0, 1, 2, 3, 6]]
    """
    if count < 2:
        raise BadValue(f"an error takes at least two images; there are {count}")
    blocks = min(blocks, count)
    size = count // blocks
    everything = torch.arange(count)
    block = everything // size
    return torch.stack([everything[block != i] for i in range(blocks)])


def jackknife_error(left_out: Float64[Tensor, "blocks *values"]) -> Float64[Tensor, "*values"]:
    """Return the standard error of a number, from what it is without each block.

    Of a mean it is that of the means of the blocks:

    >>> x = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    >>> torch.isclose(jackknife_error(x[blocks_left_out(3)].mean(1)), x.std() / 3**0.5).item()
    True
    """
    blocks = len(left_out)
    return ((left_out - left_out.mean(0)).square().sum(0) * (blocks - 1) / blocks).sqrt()


def halves(count: int) -> Int64[Tensor, "2 half"]:
    """Return which of `count` things are in each of two halves, every other one; a last one without a partner in none.

    >>> halves(5).tolist()
    [[0, 2], [1, 3]]
    """
    return torch.arange(count - count % 2).view(-1, 2).T


def without_bias(means: Sequence[Tensor], images: Sequence[int]) -> Tensor:
    """Return the limit of a number for infinitely many images, from its means over samples of several sizes.

    Its bias is taken for a polynomial in 1/images, with a term for every sample size but the first.

    >>> without_bias([torch.tensor(7 + 30 / n) for n in (10, 5)], (10, 5)).item()
    7.0
    """
    total = torch.zeros_like(means[0])
    for mean, own in zip(means, images, strict=True):
        weight = 1.0
        for other in images:
            weight *= own / (own - other) if other != own else 1.0
        total += weight * mean
    return total


def student(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t, by its series in 1/degrees: to three digits from seven degrees on.

    >>> round(student(9), 2), round(student(15), 2), round(student(10**6), 2)
    (2.26, 2.13, 1.96)
    """
    return 1.95996 + 2.37227 / degrees + 2.82250 / degrees**2 + 2.55585 / degrees**3
