"""Real features of one image, put into another: what a layer holds of a concept besides its units' mean.

A class constant is one value a unit, the same at every place. A thing may be a pattern over several places, which no
constant draws, whatever the units. So the features of an image that shows the concept are put at the same places of
images that do not: what appears then, the layer can draw. Places are the donor's own, and what stood around the thing
comes along; so all units are set to k in the very same patches too, and the gap between the two is the pattern's alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor

from ganatomy.core.tensor_types import Features, Where
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec
from ganatomy.experiments.causal.places import cell_counts, draw_place, masks
from ganatomy.experiments.causal.pool import Pool, PoolSpec
from ganatomy.experiments.sampling import latents_of


@dataclass(frozen=True, kw_only=True)
class DonorSpec(SampleSpec):
    """Which images lend their features.

    Attributes:
        cells: a place is cell × cell of the layer's grid.
        least: an image lends nothing where no place shows the concept on so large a share of its pixels.
        donors: how many images lend at most: those that show most of the concept at one place.
        margin: so many places around the one that is read are put in too, as the outline of a thing is part of how it
            is drawn.
    """

    cells: tuple[int, ...] = (1, 2, 3)
    least: float = 0.2
    donors: int = 64
    margin: int = 1


class Donors(NamedTuple):
    """Images that show the concept, for one layer and one size of a place; there may be none.

    Attributes:
        place: int64 [n, 2], row and column of the top left of the place of each that shows most of it.
        corner: int64 [n, 2], the same of the patch: the place and the margin, moved to lie in the grid.
        patch: [n, side, side, u], the features there.
    """

    place: Tensor
    corner: Tensor
    patch: Tensor

    def taken(self, free: Tensor, ids: Sequence[int], seed: int) -> Int64[Tensor, " b"]:
        """Draw for each image one of the donors whose place is free in it, see `draw_place`; -1 where there is none."""
        return draw_place(free[:, self.place[:, 0], self.place[:, 1]][:, :, None], ids, seed)[:, 0]

    def patches(self, donor: Int64[Tensor, " b"], grid: tuple[int, int]) -> Where:
        """Return the map of each donor's patch."""
        return masks(grid, self.corner[donor], self.patch.shape[1])

    def put(self, r: Features, donor: Int64[Tensor, " b"]) -> Features:
        """Return features with the patch of a donor in each image, at the place where it was in the donor's."""
        r = r.clone()
        image, row, column = _spots(self.corner[donor], self.patch.shape[1])
        r[image, :, row, column] = self.patch[donor].to(r)
        return r


def find_donors(
    source: DissectedModel, spec: DonorSpec, pools: Mapping[str, Pool], concept: int
) -> dict[tuple[str, int], Donors]:
    """Return the donors by layer and cell: the same pooled images for all, each at the place that is best there.

    The pool of the coarsest layer says which images show most of the concept at one place: in a fine grid specks fill
    a place.
    """
    best = min(pools.values(), key=lambda pool: pool.occupancy[0].numel()).best[:, concept].cpu()
    rows = [row for row in best.argsort(descending=True, stable=True)[: spec.donors].tolist() if best[row] > 0]
    generator, ids = source.models.generator, [PoolSpec.first + row for row in rows]
    z = latents_of(generator, ids, PoolSpec.seed)
    found: dict[tuple[str, int], list[Donors]] = {(layer, cell): [] for layer in pools for cell in spec.cells}
    for few in torch.split(z, source.batch()):
        seen = generator.observe(few, list(pools))
        labels = source.models.segmenter(seen.images)
        for (layer, cell), parts in found.items():
            r = seen.features[layer]
            counts = cell_counts(labels, [concept], (r.shape[2], r.shape[3]), cell).double()
            parts.append(_cut(r, counts[:, 1] / counts[:, 0], cell, spec))
    return {key: Donors(*map(torch.cat, zip(*parts, strict=True))) for key, parts in found.items()}


def _cut(r: Features, share: Float64[Tensor, "b rows columns"], cell: int, spec: DonorSpec) -> Donors:
    """Take the patch around the place with the greatest share out of each image that has a share of `least`."""
    around = F.avg_pool2d(share[:, None], 3, stride=1, padding=1)[:, 0]
    most, best = (share + 1e-6 * around).flatten(1).max(1)  # of equals, the one in the midst of others
    shows = most >= spec.least
    r, best = r[shows], best[shows].cpu()
    place = torch.stack([best // share.shape[2], best % share.shape[2]], 1)
    side = min(cell + 2 * spec.margin, r.shape[2], r.shape[3])
    room = torch.tensor(r.shape[2:]) - side
    corner = torch.minimum((place - spec.margin).clamp(min=0), room)
    image, row, column = _spots(corner, side)
    return Donors(place, corner, r[image, :, row, column].cpu())


def _spots(corner: Int64[Tensor, "n 2"], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, row and column of every place of the squares of n images, each [n, side, side] or less."""
    steps = torch.arange(side)
    rows, columns = corner[:, :1] + steps, corner[:, 1:] + steps
    return torch.arange(len(corner))[:, None, None], rows[:, :, None], columns[:, None, :]
