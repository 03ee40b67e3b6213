"""What an inversion is asked and finds, and where photographs are among the images of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.experiments.base import Tensors
from ganatomy.experiments.causal.dissected_model import JoinedRows, SampleSpec, at_least
from ganatomy.experiments.option_groups import Sample
from ganatomy.experiments.real_comparison import FEATURES
from ganatomy.models.inversion.optimisation import Optimisation
from ganatomy.stats.base import concat

INSIDE, EDGE, FAR = "inside", "at the edge", "far outside"
"""Where a photograph is among the images of a model."""


@dataclass(frozen=True)
class InvertSpec(SampleSpec):
    """Which photographs are inverted, and how.

    Attributes:
        layer: where an offset is added, of a generator whose latents are not found otherwise; the last layer of at
            most 8 × 8 places, if none is given.
        image: a photograph, or a directory of them; each is cut to the shape of the model's images.
        contents: sha256 of the photographs.
        images: how many images of the model a photograph is compared with; it starts from the nearest of them.
        features: name of the feature network, as in `open_features`, by which they are compared.
        prompt: of the photographs, one of the model's, where it draws from prompts; that of the nearest image, if none
            is given.
        steps: of optimisation of the offset, at most; a photograph whose loss stops falling takes fewer.
        latent_steps: of optimisation of the latent before, at most; with 0 it stays that of the nearest image.
    """

    layer: str = ""
    image: str = ""
    contents: str = ""
    images: Sample[int] = 128
    features: str = FEATURES
    prompt: str | None = None
    steps: int = Optimisation.steps
    latent_steps: int = Optimisation.latent_steps

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, steps=1, latent_steps=0)


class FoundLatents(JoinedRows):
    """Photographs, their latents and reconstructions, one row each; see `Inverted`.

    Attributes:
        z, offset: as in `Inverted`, z with one row a photograph, flat.
        photographs, images: float32 [n, 3, H, W], photographs and reconstructions.
        distance: of the features of each to those of the nearest image of the model, float32 [n].
    """

    FIELDS: ClassVar = dict.fromkeys(("z", "offset", "photographs", "images", "distance"), concat)

    def __init__(self, latent: int, offset: Sequence[int], image: Sequence[int]) -> None:
        self.z, self.offset = torch.zeros(0, latent), torch.zeros(0, *offset)
        self.photographs, self.images, self.distance = torch.zeros(0, *image), torch.zeros(0, *image), torch.zeros(0)


@dataclass(frozen=True, eq=False)
class ModelImages(Tensors):
    """What photographs are compared with: images of the model.

    Attributes:
        features: float32 [n, d], each divided by its standard deviation.
        spread: float32 [d], that.
        nearest: float32 [n], the distance of each to the nearest other one.
    """

    features: Tensor
    spread: Tensor
    nearest: Tensor

    @classmethod
    def of(cls, features: Float[Tensor, "n d"]) -> "ModelImages":
        """Return images of the model, given their features."""
        spread = features.std(0).clamp(min=1e-6)
        between = torch.cdist(features / spread, features / spread).fill_diagonal_(torch.inf)
        return cls(features / spread, spread, between.min(1).values)

    def distances(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
        """Return the distance of other features to those of each image."""
        return torch.cdist(features.cpu() / self.spread, self.features)


def place_among(distance: float, nearest: Tensor) -> str:
    """Say where an image is, among those of a model, by its distance to the nearest of them.

    Inside: as near as 95 % of the model's images are to each other; far outside: half as far again as all of them.

    >>> [place_among(x, torch.linspace(1, 2, 101)) for x in (1.5, 2.2, 3.1)]
    ['inside', 'at the edge', 'far outside']
    """
    if distance <= float(nearest.quantile(0.95)):
        return INSIDE
    return FAR if distance > 1.5 * float(nearest.max()) else EDGE
