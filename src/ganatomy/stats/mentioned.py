"""What units do where a word is in the prompt, and where the thing is in the image: the one without the other, too."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, add, concat, require_equal

GROUPS = ("said_drawn", "said_absent", "unsaid_drawn", "unsaid_absent")
"""Images whose prompt says the word, or not, and that show the thing, or not."""
READS = ("max", "mean")
"""How a unit's map becomes one number an image."""
DRAWN = 0.001
"""Share of an image that a thing must cover to be drawn: a few pixels, more than segmenters see by chance."""


class SaidMeans(NamedTuple):
    """Of each group of `GROUPS`, its images, and the mean activation of units over them with its standard error.

    Attributes:
        images: int64 [concepts, 4].
        mean: float64 [2, u, concepts, 4], by `READS`; NaN of a group without images.
        error: float64 [2, u, concepts, 4]; NaN of a group of fewer than two.
    """

    images: Int64[Tensor, "concepts 4"]
    mean: Float64[Tensor, "2 u concepts 4"]
    error: Float64[Tensor, "2 u concepts 4"]


class SaidDrawn(Accumulator):
    """Sums and squares of the activations of units over `GROUPS`, for each concept that some prompt says.

    Args:
        units: of the layer.
        concepts: indices int64 [concepts] of these concepts.
        device: where it counts.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {
        "concepts": require_equal,
        **dict.fromkeys(("images", "total", "squares"), add),
    }

    def __init__(self, units: int, concepts: Tensor, device: torch.device | str = "cpu") -> None:
        self.concepts = concepts.to(device)
        shape = (units, len(concepts), len(GROUPS))
        self.images = torch.zeros(shape[1:], dtype=torch.long, device=device)
        self.total, self.squares = torch.zeros(2, len(READS), *shape, dtype=torch.float64, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (greatest activations [b, u], mean activations [b, u], said [b, concepts], drawn [b, concepts])."""
        greatest, mean, mentioned, drawn = batch
        group = 2 * (~mentioned).long() + (~drawn).long()
        within = torch.nn.functional.one_hot(group, len(GROUPS))
        read = torch.stack([greatest, mean]).double()
        self.images += within.sum(0)
        self.total += torch.einsum("kbu,bsg->kusg", read, within.double())
        self.squares += torch.einsum("kbu,bsg->kusg", read.square(), within.double())

    def read(self) -> SaidMeans:
        """Return means and errors."""
        n = self.images.double()
        mean = self.total / n
        spread = (self.squares / n - mean.square()).clamp(min=0)
        return SaidMeans(self.images, mean, torch.where(n > 1, (spread / (n - 1)).sqrt(), torch.nan))


class PixelShares(Accumulator):
    """How many pixels of each image show each concept.

    Attributes:
        pixels: int32 [images, concepts]; entry 0, the place of "nothing", counts every pixel.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"pixels": concat}

    def __init__(self, concepts: int) -> None:
        self.pixels = torch.zeros(0, concepts, dtype=torch.int32)

    def update(self, *batch: Tensor) -> None:
        """Take in (pixels [b, concepts]), as `concept_counts` gives them."""
        self.pixels = torch.cat([self.pixels, batch[0].int().cpu()])

    def read(self) -> Float64[Tensor, "images concepts"]:
        """Return the share of each image that shows each concept; 1 in the place of "nothing"."""
        return self.pixels.double() / self.pixels[:, :1].double()
