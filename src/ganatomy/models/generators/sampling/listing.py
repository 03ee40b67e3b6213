"""Which blocks and steps of a sampler are listed unless some are asked for, and where tokens are a feature map."""

import math
from collections.abc import Mapping, Sequence

from ganatomy.models.generators.hooks import TokenGrid
from ganatomy.models.generators.protocol import LayerShape
from ganatomy.models.generators.survey import map_grid
from ganatomy.models.generators.word_maps import SUFFIX

SPREAD = 4
"""Steps that are listed unless some are asked for, from the first to the last: what is decided early, such as the
layout, differs from what is decided late, and neighbouring steps hardly differ."""
FEW = 4
"""Blocks that are listed unless some are asked for, at most."""


def grid_of(shape: Sequence[int], size: Sequence[int]) -> TokenGrid | None:
    """Return the grid of a feature map; tokens are one where maps of this size have as many places when made smaller.

    >>> [grid_of((tokens, 8), (32, 48)) for tokens in (24, 77, 1)]
    [TokenGrid(height=4, width=6, first=0), None, None]
    """
    for factor in range(1, max(size)) if len(shape) == 2 else ():
        height, width = (-(-side // factor) for side in size)  # rounded up, as strides do
        if height * width == shape[0]:
            return TokenGrid(height, width)
    return map_grid(shape)


def few_blocks(blocks: Mapping[str, LayerShape]) -> list[str]:
    """Return a few blocks, in their order: the last of each size of grid, the finest; of one size, evenly spread.

    Of maps of words a few as well.

    >>> few_blocks({name: LayerShape(8, side, side) for name, side in zip("abcdef", (16, 8, 4, 4, 8, 16))})
    ['d', 'e', 'f']
    >>> few_blocks({name: LayerShape(8, 4, 4) for name in "abcdefg"})
    ['a', 'c', 'e', 'g']
    """
    maps = {name: shape for name, shape in blocks.items() if name.endswith(SUFFIX)}
    if 0 < len(maps) < len(blocks):
        few = {*few_blocks(maps), *few_blocks({name: blocks[name] for name in blocks if name not in maps})}
        return [name for name in blocks if name in few]
    names = list(blocks)
    if len(names) <= FEW:
        return names
    last = {(shape.height, shape.width): name for name, shape in blocks.items()}
    if len(last) == 1:
        return [names[i - 1] for i in spread(len(names), FEW)]
    finest = [last[grid] for grid in sorted(last, key=math.prod, reverse=True)[:FEW]]
    return [name for name in names if name in finest]


def spread(steps: int, count: int = SPREAD) -> tuple[int, ...]:
    """Return a few steps from the first to the last, evenly spread.

    >>> spread(20), spread(8), spread(3), spread(1)
    ((1, 7, 14, 20), (1, 3, 6, 8), (1, 2, 3), (1,))
    """
    most = min(count, steps)
    return tuple(round(1 + i * (steps - 1) / max(most - 1, 1)) for i in range(most))
