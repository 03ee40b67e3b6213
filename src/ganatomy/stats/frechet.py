"""How far the images of a generator are from real ones: the Fréchet distance of their features (SPEC 7).

Heusel et al. 2017: both sets of features are taken for samples of Gaussians, and the distance is that of these two.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.stats.base import Accumulator, Merge, add

M = TypeVar("M", bound="FeatureMoments")

CHUNK = 4096
"""How many images are converted to double precision at once."""


class FeatureMoments(Accumulator):
    """Means and covariances of the features of a sample, kept as float64 sums.

    ``total`` [d] and ``products`` [d, d] are sums of features - origin, the features of the first image, so that
    features far from zero lose no digits.

    >>> moments = FeatureMoments(2)
    >>> moments.update(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    >>> moments.mean().tolist(), moments.covariance().tolist()
    ([2.0, 5.0], [[2.0, 0.0], [0.0, 0.0]])
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = dict.fromkeys(("images", "origin", "total", "products"), add)

    def __init__(self, features: int, device: torch.device | str = "cpu") -> None:
        self.images = torch.zeros(1, dtype=torch.long, device=device)
        self.origin = torch.zeros(features, dtype=torch.float64, device=device)
        self.total = torch.zeros(features, dtype=torch.float64, device=device)
        self.products = torch.zeros(features, features, dtype=torch.float64, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (features [b, d],)."""
        (features,) = batch
        if features.ndim != 2 or features.shape[1] != len(self.total):
            raise BadValue(
                f"features must be vectors of {len(self.total)} numbers, one an image, but are of shape "
                f"{list(features.shape)}; maps must be averaged over their places"
            )
        for part in torch.split(features, CHUNK):
            x = part.to(self.total)
            if not math.isfinite(float(x.sum())):
                raise BadValue("the features of an image are NaN or Inf; the distance cannot be computed")
            if not self.images and len(x):
                self.origin = x[0].clone()
            x = x - self.origin
            self.images += len(x)
            self.total += x.sum(0)
            self.products.addmm_(x.T, x)

    def merge(self: M, other: M) -> M:
        """Return the moments of both samples together, about the origin of the first that is not empty."""
        super().merge(other)  # checks that they fit
        one, two = (self, other) if self.images else (other, self)
        shift = two.origin - one.origin
        cross = torch.outer(shift, two.total)
        moved = two.products + cross + cross.T + two.images * torch.outer(shift, shift)
        return self.from_state(
            {
                "images": one.images + two.images,
                "origin": one.origin,
                "total": one.total + two.total + two.images * shift,
                "products": one.products + moved,
            }
        )

    def mean(self) -> Float64[Tensor, " d"]:
        """Return μ."""
        return self.origin + self.total / self.images

    def covariance(self) -> Float64[Tensor, "d d"]:
        """Return Σ, with n - 1."""
        n = int(self.images)
        if n < 2:
            raise BadValue(f"a covariance takes the features of at least two images; there are {n}")
        return (self.products - torch.outer(self.total, self.total) / n) / (n - 1)


class Frechet(NamedTuple):
    """One Fréchet distance, or one for each unit.

    Attributes:
        distance: float64 [] or [u], the two following together; never negative.
        means: ‖μ₁-μ₂‖².
        covariances: Tr(Σ₁+Σ₂-2(Σ₁Σ₂)^½).
    """

    distance: Tensor
    means: Tensor
    covariances: Tensor


def frechet_distance(real: FeatureMoments, made: FeatureMoments) -> Frechet:
    """Return ‖μ₁-μ₂‖² + Tr(Σ₁+Σ₂-2(Σ₁Σ₂)^½).

    The distance of two samples of one distribution is not 0; `sampling_bias` says what to expect.

    >>> a, b = FeatureMoments(1), FeatureMoments(1)
    >>> a.update(torch.tensor([[-1.0], [0.0], [1.0]]))
    >>> b.update(torch.tensor([[-2.0], [1.0], [4.0]]))
    >>> found = frechet_distance(a, b)  # means 0 and 1, deviations 1 and 3
    >>> round(float(found.means), 6), round(float(found.covariances), 6)
    (1.0, 4.0)
    """
    if len(real.total) != len(made.total):
        raise BadValue(f"features of {len(real.total)} and of {len(made.total)} numbers cannot be compared")
    one, two = real.covariance(), made.covariance().to(real.total.device)
    root = square_root(one)
    means = (real.mean() - made.mean().to(one.device)).square().sum()
    covariances = (one.trace() + two.trace() - 2 * root_trace(root @ two @ root)).clamp(min=0)
    return Frechet(means + covariances, means, covariances)


def square_root(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """Return the symmetric root of a symmetric matrix; what rounding made negative counts as zero."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def root_trace(products: Float64[Tensor, "... d d"]) -> Float64[Tensor, "..."]:
    """Return Tr A^½ of symmetric matrices, of which only the lower triangles are read.

    Σ₁^½ Σ₂ Σ₁^½ has the eigenvalues of Σ₁Σ₂ and is symmetric: no complex numbers, and a tenth of the time.
    """
    trace: Tensor = torch.linalg.eigvalsh(products).clamp(min=0).sqrt().sum(-1)
    return trace


def sampling_bias(covariance: Float64[Tensor, "d d"], images: tuple[int, int]) -> float:
    """Return the mean distance of two samples of one Gaussian distribution, of so many images each.

    To first order in 1/n, so for many more images than features: Tr Σ · s of the means, and
    ½ s Σᵢⱼ λᵢλⱼ(1+δᵢⱼ)/(λᵢ+λⱼ) of the covariances (the second variation of the distance, in which an entry of Σ varies
    by λᵢλⱼ(1+δᵢⱼ)/n), where s = 1/n₁ + 1/n₂ and λ are the eigenvalues. Features with heavy tails have more.

    >>> sampling_bias(torch.eye(1, dtype=torch.float64), (100, 100))  # (1 + 1/2) 2/100
    0.03
    """
    values = torch.linalg.eigvalsh(covariance).clamp(min=0)
    pairs = values[:, None] * values / (values[:, None] + values).clamp(min=torch.finfo(values.dtype).tiny)
    share = sum(1 / n for n in images)
    return float(values.sum() + (pairs.sum() + pairs.trace()) / 2) * share
