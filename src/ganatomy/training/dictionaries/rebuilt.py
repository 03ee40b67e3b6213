"""How well dictionaries rebuild a layer, and with how many features at a place, on images that nothing else reads."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganatomy.experiments.bootstrap import block_weights
from ganatomy.experiments.sampling import batch_size
from ganatomy.models.generators.basis import BasisSubject
from ganatomy.models.generators.directions import SAMPLE, Directions
from ganatomy.models.generators.protocol import listed_layers, within_image
from ganatomy.training.dictionaries.measure import Drawn, Measure

IMAGES = 64


class _Sums(NamedTuple):
    """Sums over the places of each image: squared errors [n], active features [n], whether each is active [n, k]."""

    error: Tensor
    active: Tensor
    used: Tensor


class _Layer(NamedTuple):
    """Of each image: the sum of its places [n, u], of their squares [n], and how many there are."""

    total: Tensor
    square: Tensor
    places: int


def fit_measures(model: BasisSubject, others: Mapping[str, Directions], draws: int, seed: int) -> list[Measure]:
    """Return explained variance, mean number of active features, and share of features that are never active.

    Args:
        model: whose layer it is; of directions of its own, which are not used.
        others: the dictionaries.
        draws, seed: resamples of the images, the same for all.
    """
    layer, sums = _sums(model, others, seed)
    weights = image_weights(IMAGES, draws, seed)
    values: dict[str, list[Drawn]] = {name: _read(layer, own, weights) for name, own in sums.items()}

    def measure(i: int, name: str, title: str, text: str, **how: Any) -> Measure:
        return Measure(name, title, text, {each: own[i] for each, own in values.items()}, IMAGES - 1, **how)

    text = "of the layer, over all places; below 0 is worse than the mean"
    dead = f"share of the features that are active nowhere in {IMAGES} images"
    return [
        measure(0, "explained", "variance explained", text, share=True),
        measure(1, "active", "active features (L0)", "features that are not 0 at a place, on average", alike=True),
        measure(2, "dead", "dead features", dead, share=True, low_is_good=True),
    ]


def mean_active(model: BasisSubject, seed: int) -> float:
    """Return how many features are active at a place, on average (L0)."""
    layer, sums = _sums(model, {"own": model.directions}, seed)
    return float(sums["own"].active.sum()) / (IMAGES * layer.places)


def image_weights(images: int, draws: int, seed: int) -> Drawn:
    """Return how often each image is taken, [1 + draws, images]: first each once."""
    return np.vstack([np.ones(images), block_weights(images, 1.0, draws, (seed, images))])


@torch.no_grad()
def _sums(model: BasisSubject, dictionaries: Mapping[str, Directions], seed: int) -> tuple[_Layer, dict[str, _Sums]]:
    inner, name = model.subject, model.layer
    size, totals, squares, places = batch_size(16, listed_layers(inner)), [], [], 0
    parts: dict[str, list[_Sums]] = {each: [] for each in dictionaries}
    for start in range(0, IMAGES, size):
        z = inner.latents(range(start, min(start + size, IMAGES)), seed + 2 * SAMPLE)
        r = within_image(inner, inner.observe(z, [name])).features[name].float()
        x, places = r.double().flatten(2), r[0, 0].numel()
        totals.append(x.sum(2))
        squares.append(x.square().sum((1, 2)))
        for each, own in dictionaries.items():
            directions = own.to(r.device)
            c = directions.encode(r)
            error = (r - directions.rebuilt(r, c)).double().square().sum((1, 2, 3))
            used = (c != 0).flatten(2)
            parts[each].append(_Sums(error, used.double().sum((1, 2)), used.any(2)))
    layer = _Layer(torch.cat(totals).cpu(), torch.cat(squares).cpu(), places)
    joined = {each: _Sums(*(torch.cat(own).cpu() for own in zip(*found, strict=True))) for each, found in parts.items()}
    return layer, joined


def _read(layer: _Layer, own: _Sums, weights: Drawn) -> list[Drawn]:
    """Return variance explained, mean number of active features, and share of dead ones, [1 + draws] each."""
    w, places = torch.from_numpy(weights), float(layer.places)
    count = w.sum(1) * places
    variance = w @ layer.square - (w @ layer.total).square().sum(1) / count
    dead = 1 - ((w > 0).double() @ own.used.double() > 0).double().mean(1)
    found = (1 - (w @ own.error) / variance, (w @ own.active) / count, dead)
    return [each.numpy() for each in found]
