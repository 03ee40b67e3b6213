"""How close generated pictures come to rendered ones: Fréchet distance, and the share of every label."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganatomy.scenes import render
from ganatomy.segmenters import open_segmenter

UNSEEN = 1 << 30
"""Ids from here on are never trained on."""


class BundledJudge:
    """Compares with rendered pictures that no training sees, in the eyes of the bundled segmenter."""

    def __init__(self, category: str, seed: int, latent: int, size: int, images: int = 1000) -> None:
        self.segmenter: Any = open_segmenter("bundled:scenes")
        self.latent, self.images = latent, images
        self.features, self.shares = self._read(lambda ids: _unseen(category, ids, size, seed))

    def __call__(self, draw: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Return the distance, [rendered, generated] share of every object, and the objects that fail the gate."""
        source = torch.Generator().manual_seed(2)
        features, shares = self._read(
            lambda ids: draw(torch.randn(len(ids), self.latent, generator=source)).clamp(-1, 1)
        )
        named = {
            concept.name: [float(real), float(made)]
            for concept, real, made in zip(self.segmenter.vocabulary, self.shares, shares, strict=True)
            if concept.category == "object" and real > 0
        }
        return {"frechet": frechet(self.features, features), "shares": named, "failing": failing(named)}

    def _read(self, pictures: Callable[[range], Tensor]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the features of the pictures, and the share of pixels of every concept."""
        features, counts = [], torch.zeros(len(self.segmenter.vocabulary), dtype=torch.long)
        for start in range(0, self.images, 100):
            images = pictures(range(start, min(start + 100, self.images)))
            features.append(self.segmenter.features(images).double())
            labels = self.segmenter(images)
            counts += labels.flatten().bincount(minlength=len(counts))
        return torch.cat(features).numpy(), (counts / (self.images * labels[0, 0].numel())).double().numpy()


def _unseen(category: str, ids: range, size: int, seed: int) -> Tensor:
    pictures = render(category, range(UNSEEN + ids.start, UNSEEN + ids.stop), size, seed).images
    return torch.from_numpy(pictures).float() / 127.5 - 1


def failing(shares: dict[str, list[float]]) -> list[str]:
    """Return the objects of at least 1 % of the rendered pixels whose generated share is not 0.5 to 2 times that."""
    return [name for name, (real, made) in shares.items() if real >= 0.01 and not 0.5 <= made / real <= 2]


def frechet(real: NDArray[np.float64], made: NDArray[np.float64]) -> float:
    """Return |μ₁-μ₂|² + Tr(Σ₁+Σ₂-2(Σ₁Σ₂)^½) between two sets of features [n, d] (SPEC 7)."""
    one, two = np.cov(real, rowvar=False), np.cov(made, rowvar=False)
    # Σ₁Σ₂ has real eigenvalues, not negative but for rounding; the trace of its root is the sum of their roots
    root = np.sqrt(np.linalg.eigvals(one @ two).real.clip(0)).sum()
    return float(np.square(real.mean(0) - made.mean(0)).sum() + np.trace(one) + np.trace(two) - 2 * root)
