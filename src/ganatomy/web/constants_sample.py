"""Constants of any concept at once, from some images of the pool: what a brush sets units to until it is measured."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Labels, PerUnit
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.insertion import Part
from ganatomy.experiments.causal.pool import LayerMeans, PlaceMeans, PoolSpec, with_shares

IMAGES = 256
"""Images of a sample."""
BYTES = 1 << 27
"""A sample takes no more memory, and so has fewer images where layers are large."""


class ConstantsSample:
    """The features of some layers and the labels of some images of the pool.

    Args:
        source: whose images.
        layers: all of them are set at once.
    """

    def __init__(self, source: DissectedModel, layers: Sequence[str]) -> None:
        self._source, self._layers = source, list(layers)
        self._shapes = [source.shape(layer) for layer in layers]
        each = 4 * sum(map(math.prod, self._shapes))
        images = max(16, min(IMAGES, BYTES // each))
        self._left = source.parts(range(PoolSpec.first, PoolSpec.first + images))
        self._seen: list[tuple[list[Tensor], Labels]] = []

    @property
    def batches(self) -> int:
        """How many calls of `draw` are left."""
        return len(self._left)

    def draw(self) -> None:
        """Draw the next batch of images; nothing where all are there."""
        if not self._left:
            return
        models = self._source.models
        seen = models.generator.observe(models.generator.latents(self._left[0], PoolSpec.seed), self._layers)
        features = [seen.features[layer].cpu() for layer in self._layers]
        self._seen.append((features, models.segmenter(seen.images).to(torch.int16).cpu()))
        del self._left[0]

    def parts(self, concept: int) -> list[Part]:
        """Return all units of each layer at k(place) of a concept, and what they are at each place without it.

        Raises:
            BadValue: none of the images shows the concept.
        """
        parts = []
        for layer, shape, means in zip(self._layers, self._shapes, self._means(concept), strict=True):
            parts.append(Part(layer, shape, tuple(range(shape.units)), means.constant(means.mean()), means.absent()))
        return parts

    def constants(self, concept: int) -> dict[str, PerUnit]:
        """Return k of a concept at each layer.

        Raises:
            BadValue: none of the images shows the concept.
        """
        return {layer: means.mean() for layer, means in zip(self._layers, self._means(concept), strict=True)}

    def frequency(self, concept: int) -> Tensor:
        """Return how much of each place of the last layer's grid shows a concept in the mean of all images, [h, w]."""
        mass: Tensor = self._means(concept)[-1].mass
        return mass / sum(len(labels) for _, labels in self._seen)

    def _means(self, concept: int) -> list[LayerMeans]:
        while self._left:
            self.draw()
        means = PlaceMeans(self._shapes)
        for features, labels in self._seen:
            means.update(*with_shares(features, labels, concept))
        if not float(means.mass.sum()) > 0:
            name = self._source.named(concept).name
            raise BadValue(f"none of the first {sum(len(own) for _, own in self._seen)} pooled images shows {name}")
        return [means.of(self._shapes, i) for i in range(len(self._shapes))]
