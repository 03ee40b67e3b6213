"""How well an autoencoder rebuilds the layer of a model that its features stand in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.models.generators.directions import SAMPLE, Directions
from ganatomy.models.generators.protocol import Subject, within_image

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


def joined_sums(sums: Sequence[ImageSums]) -> ImageSums:
    """Return the sums of the same images over the places of several layers, which have the same features.

    >>> one = ImageSums(torch.ones(3, 2), torch.ones(3), torch.ones(3), torch.ones(3), torch.ones(3, 4).bool(), 16)
    >>> joined_sums([one, one]).places, joined_sums([one, one]).active
    (32, tensor([2., 2., 2.]))
    """
    *tables, places = zip(*sums, strict=True)
    total, square, error, active, used = (torch.stack(each).sum(0) for each in tables)
    return ImageSums(total, square, error, active, used > 0, sum(places))


@torch.no_grad()
def image_sums(
    subject: Subject, dictionaries: Mapping[str, tuple[str, Directions]], ids: range, seed: int
) -> dict[str, ImageSums]:
    """Return the sums of each dictionary; one image is in memory at a time.

    Args:
        subject: the model.
        dictionaries: by name, the layer and its directions.
        ids, seed: of the images.

    Raises:
        BadModel: a layer is NaN or Inf, or the same everywhere.
    """
    found: dict[str, list[list[Tensor]]] = {name: [] for name in dictionaries}
    layers = list(dict.fromkeys(layer for layer, _ in dictionaries.values()))
    for i in ids:
        seen = within_image(subject, subject.observe(subject.latents(range(i, i + 1), seed), layers))
        for name, (layer, own) in dictionaries.items():
            r, directions = seen.features[layer].float(), own.to(subject.device)
            x = r[0].double().flatten(1)
            c = directions.encode(r)
            on = (c[0] != 0).flatten(1)
            error = (r - directions.rebuilt(r, c)).double().square().sum()
            sums = (x.sum(1), x.square().sum(), error, on.sum(), on.any(1), torch.tensor(x.shape[1]))
            found[name].append([each.cpu() for each in sums])
    return {name: _stacked(rows, dictionaries[name][0]) for name, rows in found.items()}


def _stacked(rows: list[list[Tensor]], layer: str) -> ImageSums:
    total, square, error, active, used, places = (torch.stack(column) for column in zip(*rows, strict=True))
    sums = ImageSums(total, square, error, active, used, int(places[0]))
    if not bool(sums.scores(torch.ones(1, len(rows), dtype=torch.float64))[0].isfinite()):
        raise BadModel(f"layer {layer} has no variance to explain: it is NaN, Inf or the same everywhere")
    return sums


def reconstructions(model: "BasisSubject", images: int = IMAGES, seed: int = 0) -> dict[str, Reconstruction]:
    """Return how well the autoencoder of a model rebuilds each of its layers, one at each step.

    Raises:
        BadModel: a layer is NaN or Inf, or the same everywhere.
    """
    dictionaries = {name: (name, model.directions) for name in model.at}
    sums, once = image_sums(model.subject, dictionaries, range(images), seed + SAMPLE), torch.ones(1, images).double()
    scores = {name: torch.cat(own.scores(once)).tolist() for name, own in sums.items()}
    return {name: Reconstruction(*own, images=images) for name, own in scores.items()}  # type: ignore[misc]  # floats
