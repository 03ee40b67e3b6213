"""How close generated images come to rendered ones: Fréchet distance, and the share of every label."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.models.segmenters import open_segmenter
from ganatomy.scenes import render
from ganatomy.stats.frechet import FeatureMoments, frechet_distance

UNSEEN = 1 << 30
"""Ids from here on are never trained on."""


class SegmenterEvaluation:
    """Compares with rendered images that no training sees, by the bundled segmenter."""

    def __init__(self, category: str, seed: int, latent: int, size: int, images: int = 1000) -> None:
        self.segmenter: Any = open_segmenter("bundled:scenes?size=64")  # the size that it was trained at
        self.latent, self.images = latent, images
        self.features, self.shares = self._measure(lambda ids: _unseen(category, ids, size, seed))

    def __call__(self, draw: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Return the distance, [rendered, generated] share of every object, and the objects that fail the gate."""
        source = torch.Generator().manual_seed(2)
        features, shares = self._measure(
            lambda ids: draw(torch.randn(len(ids), self.latent, generator=source)).clamp(-1, 1)
        )
        named = {
            concept.name: [float(real), float(made)]
            for concept, real, made in zip(self.segmenter.vocabulary, self.shares, shares, strict=True)
            if concept.category == "object" and real > 0
        }
        distance = float(frechet_distance(self.features, features).distance)
        return {"frechet": distance, "shares": named, "failing": failing(named)}

    def _measure(self, draw: Callable[[range], Tensor]) -> tuple[FeatureMoments, Float64[Tensor, " concepts"]]:
        """Return the moments of the images' features, and the share of pixels of every concept."""
        features, counts = [], torch.zeros(len(self.segmenter.vocabulary), dtype=torch.long)
        for start in range(0, self.images, 100):
            images = draw(range(start, min(start + 100, self.images)))
            features.append(self.segmenter.features(images))
            labels = self.segmenter(images)
            counts += labels.flatten().bincount(minlength=len(counts))
        moments = FeatureMoments(features[0].shape[1])
        moments.update(torch.cat(features))
        return moments, (counts / (self.images * labels[0, 0].numel())).double()


def _unseen(category: str, ids: range, size: int, seed: int) -> Tensor:
    images = render(category, range(UNSEEN + ids.start, UNSEEN + ids.stop), size, seed).images
    return torch.from_numpy(images).float() / 127.5 - 1


def failing(shares: dict[str, list[float]]) -> list[str]:
    """Return the objects of at least 1 % of the rendered pixels whose generated share is not 0.5 to 2 times that."""
    return [name for name, (real, made) in shares.items() if real >= 0.01 and not 0.5 <= made / real <= 2]
