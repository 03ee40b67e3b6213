"""How well an autoencoder rebuilds the layer of a model that its features stand in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ganatomy.core.errors import BadModel
from ganatomy.models.generators.directions import SAMPLE

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


@torch.no_grad()
def reconstruction(model: "BasisSubject", images: int = IMAGES, seed: int = 0) -> Reconstruction:
    """Return how well the autoencoder of a model rebuilds its layer; one image is in memory at a time.

    Raises:
        BadModel: the layer is NaN or Inf, or the same everywhere.
    """
    inner, layer, units = model.subject, model.layer, model.subject.layers[model.layer].units
    total, features = torch.zeros(units, dtype=torch.float64), model.directions.reads.shape[0]
    used, square, error, active, places = torch.zeros(features, dtype=torch.bool), 0.0, 0.0, 0, 0
    for i in range(images):
        r = inner.observe(inner.latents(range(i, i + 1), seed + SAMPLE), [layer]).features[layer].float()
        c = model.directions.encode(r)
        error += float((r - model.directions.rebuilt(r, c)).double().square().sum())
        x, on = r.double().flatten(2), (c != 0).flatten(2)
        total += x.sum((0, 2)).cpu()
        square += float(x.square().sum())
        used |= on.any(2).any(0).cpu()
        active += int(on.sum())
        places += x.shape[2]
    variance = square - float(total.square().sum()) / places
    if not 0 < variance < float("inf") or not error < float("inf"):
        raise BadModel(f"layer {layer} has no variance to explain: it is NaN, Inf or the same everywhere")
    dead = float((~used).double().mean())
    return Reconstruction(1 - error / variance, active / places, dead, images)
