"""How well dictionaries rebuild a layer, and with how many features at a place, on images that nothing else reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ganatomy.experiments.bootstrap import block_weights
from ganatomy.models.generators.basis import BasisSubject
from ganatomy.models.generators.directions import SAMPLE, Directions
from ganatomy.models.generators.reconstruction import image_sums, joined_sums, reconstructions
from ganatomy.training.dictionaries.measure import Drawn, Measure

IMAGES = 64


def fit_measures(model: BasisSubject, others: Mapping[str, Directions], draws: int, seed: int) -> list[Measure]:
    """Return explained variance, mean number of active features, and share of features that are never active.

    Args:
        model: whose layer it is, or block at several steps; of directions of its own, which are not used.
        others: the dictionaries.
        draws, seed: resamples of the images, the same for all.
    """
    times = torch.from_numpy(image_weights(IMAGES, draws, seed))
    dictionaries = {f"{name} {layer}": (layer, own) for name, own in others.items() for layer in model.at}
    each_layer = image_sums(model.subject, dictionaries, range(IMAGES), seed + 2 * SAMPLE)
    sums = {name: joined_sums([each_layer[f"{name} {layer}"] for layer in model.at]) for name in others}
    values = {name: [each.numpy() for each in own.scores(times)] for name, own in sums.items()}

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
    found = reconstructions(model, IMAGES, seed + SAMPLE)
    return sum(own.active for own in found.values()) / len(found)


def image_weights(images: int, draws: int, seed: int) -> Drawn:
    """Return how often each image is taken, [1 + draws, images]: first each once."""
    return np.vstack([np.ones(images), block_weights(images, 1.0, draws, (seed, images))])
