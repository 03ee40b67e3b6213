"""Which units spoil the images: a Fréchet distance for every unit of a layer at once (S-6.1, SPEC 7).

A unit's distance is that of the m images, of M, in which its greatest activation is greatest. The features of the M
images are computed once; a unit's sample is a row of indices.
"""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import report_progress
from ganatomy.stats.frechet import FeatureMoments, Frechet, root_trace

WORKSPACE = 1 << 25
"""Bytes that one batch of units may take, where one unit does not need more; more of them leave the caches."""

ROWS = 512
"""Rows that are multiplied in single precision at once."""


@torch.no_grad()
def unit_frechet(
    features: Float[Tensor, "M d"],
    tops: Int64[Tensor, "u m"],
    real: FeatureMoments,
    overwrite: bool = False,
) -> Frechet:
    """Return the distance of every unit's images from the real ones, on the features' device.

    With C = RRᵀ the real covariance, images are multiplied by R once: the covariance of a unit's rows is then RᵀΣR,
    whose eigenvalues give Tr(CΣ)^½.

    Args:
        features: of all images.
        tops: for each unit the numbers of its images, as `TopImages` finds them.
        real: of the real images.
        overwrite: whether the features may be written over, so that no other table of their size is needed.
    """
    _check(features, tops, real)
    used, places = torch.unique(tops.to(features.device), return_inverse=True)
    covariance, mean = (each.to(features.device) for each in (real.covariance(), real.mean()))
    rows, together = _batch(tops.shape[1], features.shape[1])
    overwrite = overwrite and features.dtype == torch.float32
    projected, middles, means, traces = _project(features, used, places, _half(covariance), overwrite)
    lines = tops.to(features.device) if overwrite else places
    roots = []
    for own, middle in zip(*(torch.split(each, together) for each in (lines, middles)), strict=True):
        roots.append(_roots(projected, own, middle, rows))
        report_progress(len(own))
    distances = (means - mean).square().sum(1)
    covariances = (covariance.trace() + traces - 2 * torch.cat(roots)).clamp(min=0)
    return Frechet(distances + covariances, distances, covariances)


def _half(covariance: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """Return R with RRᵀ = C by its eigenvectors: directions in which features hardly vary keep their digits."""
    values, vectors = torch.linalg.eigh(covariance)
    half: Tensor = vectors * values.clamp(min=0).sqrt()
    return half


def _project(
    features: Float[Tensor, "M d"],
    used: Int64[Tensor, " n"],
    places: Int64[Tensor, "u m"],
    root: Float64[Tensor, "d d"],
    overwrite: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Multiply the used images, less their mean, by the root, in a table of their own or in place.

    Returns:
        The products, in single precision, which moves a distance by no more than the features' own rounding does; and
        by unit their means, the means of the features, and Tr Σ.
    """
    m, d = places.shape[1], features.shape[1]
    rows = max(1, WORKSPACE // (8 * (len(places) + 3 * d)))
    chunks = [slice(start, start + rows) for start in range(0, len(used), rows)]
    centre = sum((features[used[own]].sum(0, dtype=torch.float64) for own in chunks), root.new_zeros(d)) / len(used)
    if not centre.isfinite().all():
        raise BadValue("the features of an image are NaN or Inf; the distances cannot be computed")
    of_unit = torch.zeros(len(places), len(used), dtype=torch.bool, device=root.device).scatter_(1, places, True)
    if int(of_unit.sum()) < places.numel():
        raise BadValue("a unit has the same image twice")
    projected = features if overwrite else torch.empty(len(used), d, device=root.device)
    sums, squares = root.new_zeros(len(places), d), root.new_zeros(len(places))
    for own in chunks:
        x = features[used[own]].double().sub_(centre)
        projected[used[own] if overwrite else own] = (x @ root).to(projected.dtype)
        belongs = of_unit[:, own].double()
        sums += belongs @ x
        squares += belongs @ x.square_().sum(1)
    shift = sums / m
    return projected, shift @ root, centre + shift, (squares - m * shift.square().sum(1)) / (m - 1)


def _roots(
    projected: Float[Tensor, "rows d"], own: Int64[Tensor, "k m"], middle: Float64[Tensor, "k d"], rows: int
) -> Float64[Tensor, " k"]:
    """Return Tr(CΣ)^½ of some units, by the rows of their images.

    Products of a few hundred rows are exact enough in single precision; where there are hardly more images than
    features some eigenvalues are next to zero, and all is in double precision.
    """
    m, d = own.shape[1], projected.shape[1]
    small = min(m, d)
    products = middle.new_zeros(len(own), small, small)
    coarse = torch.get_float32_matmul_precision() != "highest" or m < 2 * d
    dtype = torch.float64 if coarse else torch.float32
    middle = middle.to(projected)
    for part in torch.split(own, rows, 1):
        y = projected[part].sub_(middle[:, None]).to(dtype)
        _add_lower(products, y.mT if m < d else y)  # with m < d all rows come at once
    return root_trace(products.div_(m - 1))


def _add_lower(total: Float64[Tensor, "k d d"], y: Float[Tensor, "k m d"]) -> None:
    """Add yᵀy where it is read, on and below the diagonal, by a few hundred rows at a time."""
    block = _block(y.shape[2])
    for rows in torch.split(y, ROWS, 1):
        for start in range(0, y.shape[2], block):
            total[:, start:, start : start + block] += rows[:, :, start:].mT @ rows[:, :, start : start + block]


def _block(features: int) -> int:
    """Return how many columns are multiplied together: few save work above the diagonal, many are faster each."""
    return max(64, features // 8)


def _batch(top: int, features: int) -> tuple[int, int]:
    """Return how many images of a unit, and how many units, are worked on together."""
    spare = (WORKSPACE - unit_bytes(0, top, features)) // (12 * features)
    rows = min(top, max(features, spare))
    return rows, max(1, WORKSPACE // unit_bytes(rows, top, features))


def unit_bytes(rows: int, top: int, features: int) -> int:
    """Return the memory of one unit: its rows, in both precisions where need be; products, a block, a working copy."""
    small = min(top, features)
    return (4 if top >= 2 * features else 12) * rows * features + 8 * small * (2 * small + _block(small))


def _check(features: Float[Tensor, "M d"], tops: Int64[Tensor, "u m"], real: FeatureMoments) -> None:
    if features.shape[1] != len(real.total):
        raise BadValue(
            f"features of {features.shape[1]} numbers cannot be compared with real ones of {len(real.total)}"
        )
    if tops.shape[0] < 1 or tops.shape[1] < 2:
        raise BadValue(f"a distance takes at least two images of a unit; there are {list(tops.shape)} (units, images)")
    if int(tops.min()) < 0 or int(tops.max()) >= len(features):
        raise BadValue(
            f"images {int(tops.min())} to {int(tops.max())} are asked for, but there are features of {len(features)}; "
            "draw more images, or take fewer of each unit"
        )
