"""The images that show what a unit does: its top images, and where it is on in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganatomy.core.resample import Grid, upsample
from ganatomy.core.tensor_types import Features, Images

S = TypeVar("S", bound="Strips")


@dataclass(frozen=True, eq=False)
class Strip:
    """The top images of one unit.

    Attributes:
        ids: int64 [k], latent ids, best first.
        values: float32 [k], the unit's greatest activation in each.
        images: uint8 [k, H, W, 3].
        masks: bool [k, rows, columns], where the unit is above its threshold, at the resolution of the label maps.
    """

    ids: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]


class Strips:
    """Every unit's top images; each image is kept once, each mask in one bit a pixel.

    Attributes:
        ids: int64 [images], ascending.
        images: uint8 [images, 3, H, W].
        masks: by layer, uint8 [u, k, bytes].
        size: int64 [4], height and width of the masks, and the `image` of their grid, 0 and 0 for none.
    """

    def __init__(self, ids: Tensor, masks: dict[str, Tensor], images: Tensor, size: Tensor) -> None:
        self.ids, self.masks, self.images, self.size = ids, masks, images, size

    @classmethod
    def empty(cls, ids: Sequence[int], images: tuple[int, int], top: Mapping[str, Tensor], grid: Grid) -> "Strips":
        """Make room for images of that size and masks of that grid."""
        row = -(-grid.height * grid.width // 8)
        masks = {layer: torch.zeros(*table.shape, row, dtype=torch.uint8) for layer, table in top.items()}
        size = torch.tensor([grid.height, grid.width, *(grid.image or (0, 0))])
        return cls(torch.tensor(ids), masks, torch.zeros(len(ids), 3, *images, dtype=torch.uint8), size)

    def add(
        self,
        ids: Sequence[int],
        images: Images,
        features: Mapping[str, Features],
        top: Mapping[str, Tensor],
        thresholds: Mapping[str, Tensor],
    ) -> None:
        """Take in a batch: its images, and where the units that like them are on."""
        places = torch.searchsorted(self.ids, torch.tensor(ids))
        self.images[places] = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
        height, width, *whole = self.size.tolist()
        grid = Grid(height, width, (whole[0], whole[1]) if all(whole) else None)
        for layer, table in top.items():
            for i, image in enumerate(ids):
                units, ranks = (table == image).nonzero().unbind(1)
                if len(units):
                    cut = thresholds[layer][units, None, None].to(images.device)
                    on = upsample(features[layer][i : i + 1, units], grid)[0] > cut
                    self.masks[layer][units, ranks] = torch.from_numpy(np.packbits(on.flatten(1).cpu().numpy(), axis=1))

    def merge(self: S, other: S) -> S:
        """Return the strips of both: their images one after the other; a mask belongs to one image alone."""
        masks = {layer: own | other.masks[layer] for layer, own in self.masks.items()}
        both = ((self.ids, other.ids), (self.images, other.images))
        ids, images = (torch.cat(pair) for pair in both)
        return type(self)(ids, masks, images, self.size)

    def strip(self, layer: str, unit: int, ids: Tensor, values: Tensor) -> Strip:
        """Return the strip of one unit, given its top images."""
        places = torch.searchsorted(self.ids, ids)
        height, width = self.size[:2].tolist()
        bits = np.unpackbits(self.masks[layer][unit, : len(ids)].numpy(), axis=1, count=height * width)
        images = self.images.numpy()[places.numpy()].transpose(0, 2, 3, 1)  # torch takes thirty times as long
        return Strip(ids.numpy(), values.numpy(), images, bits.reshape(-1, height, width).astype(bool))

    def state_dict(self) -> dict[str, Tensor]:
        """Return every tensor by name."""
        masks = {f"masks/{layer}": table for layer, table in self.masks.items()}
        return {"ids": self.ids, "images": self.images, "size": self.size, **masks}

    @classmethod
    def from_state(cls: type[S], state: Mapping[str, Tensor]) -> S:
        """Build the strips from what `state_dict` returned."""
        masks = {name.removeprefix("masks/"): t for name, t in state.items() if name.startswith("masks/")}
        return cls(state["ids"], masks, state["images"], state["size"])


def top_ids(top: Mapping[str, Tensor]) -> list[int]:
    """Return the ids of all top images, ascending.

    >>> top_ids({"layer1": torch.tensor([[4, -1]]), "layer2": torch.tensor([[2, 4]])})
    [2, 4]
    """
    return sorted({i for table in top.values() for i in table.flatten().tolist() if i >= 0})
