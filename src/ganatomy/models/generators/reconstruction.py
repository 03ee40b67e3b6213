"""How well an autoencoder rebuilds the layer of a model that its features stand in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.models.generators.directions import SAMPLE, Directions
from ganatomy.models.generators.protocol import within_image

if TYPE_CHECKING:
    from ganatomy.models.generators.basis import BasisSubject

IMAGES = 8


@dataclass(frozen=True)
class Reconstruction:
    """How well an autoencoder rebuilds a layer, over a sample of images that no dissection looks at.

    Attributes:
        explained: the part of the features' variance; less than 0 if their mean alone would do better.
        active: features that are not 0 at a place, on average (L0).
        dead: the part of the features that are 0 everywhere.
        images: how many.
    """

    explained: float
    active: float
    dead: float
    images: int

    def __str__(self) -> str:
        """Say it in a line, with a warning where the autoencoder is of no use."""
        found = (
            f"explains {100 * self.explained:.1f} % of the variance, with {self.active:.1f} features active at a place "
            f"and {100 * self.dead:.1f} % active nowhere, over {self.images} images."
        )
        return found + ("" if self.explained >= 0 else " That is worse than the mean: is it of this model and layer?")


class ImageSums(NamedTuple):
    """Of each image, over its places, with the features of one dictionary.

    Attributes:
        total: float64 [n, units], the layer.
        square: float64 [n], its squares.
        error: float64 [n], squared errors of what is rebuilt.
        active: int64 [n], features that are not 0.
        used: bool [n, features], those that are not 0 at some place.
        places: of an image.
    """

    total: Tensor
    square: Tensor
    error: Tensor
    active: Tensor
    used: Tensor
    places: int

    def scores(self, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return explained variance, mean number of active features and share of dead ones, float64 [draws] each.

        Args:
            times: float64 [draws, n], how often each draw takes each image.
        """
        count = times.sum(1) * self.places
        variance = times @ self.square - (times @ self.total).square().sum(1) / count
        variance = variance.where(variance > 0, torch.nan)
        dead = 1 - ((times > 0).double() @ self.used.double() > 0).double().mean(1)
        return 1 - (times @ self.error) / variance, (times @ self.active.double()) / count, dead


@torch.no_grad()
def image_sums(
    model: "BasisSubject", dictionaries: Mapping[str, Directions], ids: range, seed: int
) -> dict[str, ImageSums]:
    """Return the sums of each dictionary of the model's layer; one image is in memory at a time.

    Raises:
        BadModel: the layer is NaN or Inf, or the same everywhere.
    """
    inner, layer = model.subject, model.layer
    found: dict[str, list[list[Tensor]]] = {name: [] for name in dictionaries}
    places = 0
    for i in ids:
        r = within_image(inner, inner.observe(inner.latents(range(i, i + 1), seed), [layer])).features[layer].float()
        x = r[0].double().flatten(1)
        places = x.shape[1]
        for name, own in dictionaries.items():
            directions = own.to(r.device)
            c = directions.encode(r)
            on = (c[0] != 0).flatten(1)
            error = (r - directions.rebuilt(r, c)).double().square().sum()
            found[name].append([each.cpu() for each in (x.sum(1), x.square().sum(), error, on.sum(), on.any(1))])
    sums = {}
    for name, rows in found.items():
        total, square, error, active, used = (torch.stack(each) for each in zip(*rows, strict=True))
        sums[name] = ImageSums(total, square, error, active, used, places)
        if not bool(sums[name].scores(torch.ones(1, len(ids), dtype=torch.float64))[0].isfinite()):
            raise BadModel(f"layer {layer} has no variance to explain: it is NaN, Inf or the same everywhere")
    return sums


def reconstruction(model: "BasisSubject", images: int = IMAGES, seed: int = 0) -> Reconstruction:
    """Return how well the autoencoder of a model rebuilds its layer.

    Raises:
        BadModel: the layer is NaN or Inf, or the same everywhere.
    """
    sums = image_sums(model, {model.layer: model.directions}, range(images), seed + SAMPLE)[model.layer]
    explained, active, dead = (float(each) for each in sums.scores(torch.ones(1, images, dtype=torch.float64)))
    return Reconstruction(explained, active, dead, images)
