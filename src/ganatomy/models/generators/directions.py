"""Directions of a layer: another basis in place of its units.

====================  ===============================================================================================
rotation              random orthogonal directions: the control for axis alignment of Network Dissection (Bau, Zhou et
                      al. 2017, 3.2)
pca                   principal directions over a sample of images, all places alike
a file                a matrix [directions, units]
====================  ===============================================================================================
"""

import dataclasses
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ganatomy.core.errors import BadFile, BadModel, BadValue, UnknownName
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.registry import Registry
from ganatomy.core.tensor_types import Features
from ganatomy.models.generators.protocol import Subject, layers_at
from ganatomy.models.weights import State, read_state

NEARLY = 1e-5
"""Singular values, or deviations along directions, that are this much smaller than the greatest are rounding."""

SAMPLE = 1 << 32
"""Added to the seed for the images of principal directions, so that no dissection is scored on the same ones."""

BATCH = 32
NORMALISATIONS = ("none", "layer", "norm")
EPSILON = 1e-5
"""Added to deviations, as SAELens and SAeUron do."""


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of a layer with u units: c = activation(W (r - mean) + bias), and r' = r + V (c' - c).

    Where features are normalised first, r is (r - m) / s of every place, and r' = r + s V (c' - c).

    The part of r that c does not hold, the error of an autoencoder or what is orthogonal to fewer directions than
    units, is thus kept as it was, and unchanged coefficients change nothing, to the bit.

    Attributes:
        reads: W [k, u].
        writes: V [u, k].
        activation: ``none``, ``relu``, or ``topk:n``: at every place the n greatest that are positive, others 0.
        recipe: how they were computed, for the fingerprint; else that is of their numbers. Numbers that are computed
            again differ in their last bits from machine to machine.
        thresholds: [k] coefficients that are not greater are 0.
        normalisation: of every place: ``layer``, by mean and deviation of its units; ``norm``, to a length of √u.
        added: [u] what a decoder adds to V c, if that is not the mean.

    >>> turned = Directions.linear(torch.tensor([[0.6, 0.8], [-0.8, 0.6]]))
    >>> r = torch.randn(1, 2, 4, 4)
    >>> c = turned.encode(r)
    >>> bool(torch.allclose(turned.moved(r, c, 2 * c), 2 * r, atol=1e-5)), turned.orthogonal
    (True, True)
    """

    reads: Float[Tensor, "k u"]
    writes: Float[Tensor, "u k"]
    mean: Float[Tensor, " u"]
    bias: Float[Tensor, " k"]
    activation: str = "none"
    recipe: tuple[object, ...] = ()
    thresholds: Float[Tensor, " k"] | None = None
    normalisation: str = "none"
    added: Float[Tensor, " u"] | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown activation or normalisation."""
        self._kept  # noqa: B018  it raises
        if self.normalisation not in NORMALISATIONS:
            raise UnknownName("normalisation", self.normalisation, NORMALISATIONS)

    @classmethod
    def linear(
        cls, matrix: Float[Tensor, "k u"], mean: Float[Tensor, " u"] | None = None, recipe: tuple[object, ...] = ()
    ) -> "Directions":
        """Return the rows of a matrix as directions; V is its pseudo-inverse, so W r' = c', in double precision.

        Raises:
            BadValue: the directions are not independent, so one coefficient cannot be changed alone.
        """
        w = matrix.double()
        found = torch.linalg.svdvals(w)
        rank = int((found > NEARLY * found.max()).sum())
        if rank < len(w):
            raise BadValue(
                f"only {rank} of {len(w)} directions of {w.shape[1]} units are independent, so one cannot be changed "
                "without the others; leave some out, or give an autoencoder, with its decoder"
            )
        center = torch.zeros(w.shape[1]) if mean is None else mean.float()
        return cls(w.float(), torch.linalg.pinv(w).float(), center, torch.zeros(len(w)), recipe=recipe)

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over the recipe or the numbers."""
        return fingerprint({}, "directions", len(self.reads), *self.recipe) if self.recipe else self.numbers

    @cached_property
    def numbers(self) -> str:
        """Sha256 over the numbers, however they were computed."""
        normalised = () if self.normalisation == "none" else (self.normalisation,)
        return fingerprint(self._tensors(), "directions", self.activation, *normalised)

    @cached_property
    def orthogonal(self) -> bool:
        """Whether coefficients are a rotation of features, and so determine them."""
        k, u = self.reads.shape
        plain = self.activation == self.normalisation == "none" and self.thresholds is None
        return k == u and plain and torch.allclose(self.reads @ self.reads.T, torch.eye(k), atol=1e-4)

    def to(self, device: torch.device) -> "Directions":
        """Return the directions on a device."""
        moved: dict[str, Any] = {name: each.to(device) for name, each in self._tensors().items()}
        return dataclasses.replace(self, **moved)

    def _tensors(self) -> dict[str, Tensor]:
        held = {"reads": self.reads, "writes": self.writes, "mean": self.mean, "bias": self.bias}
        others = {"thresholds": self.thresholds, "added": self.added}
        return held | {name: each for name, each in others.items() if each is not None}

    def encode(self, r: Features) -> Float[Tensor, "b k h w"]:
        """Return the coefficients of features, place by place."""
        center, scale = self._scales(r)
        c = _mixed(self.reads, (r - center) / scale if self.normalisation != "none" else r)
        c = c + (self.bias - self.reads @ self.mean)[:, None, None]
        if self.activation != "none":
            c = c.clamp(min=0)
        if self.thresholds is not None:
            c = c.masked_fill(c <= self.thresholds[:, None, None], 0)
        if self._kept:
            greatest = c.topk(self._kept, dim=1)
            c = torch.zeros_like(c).scatter(1, greatest.indices, greatest.values)
        return c

    def decode(self, c: Float[Tensor, "b k h w"]) -> Features:
        """Return the features with these coefficients in orthogonal directions; differentiable in c."""
        return _mixed(self.writes, c) + self.mean[:, None, None]

    def moved(self, r: Features, c: Float[Tensor, "b k h w"], changed: Float[Tensor, "b k h w"]) -> Features:
        """Return features after their coefficients c have changed; differentiable in `changed`."""
        change = _mixed(self.writes, changed - c)
        return r + (change if self.normalisation == "none" else self._scales(r)[1] * change)

    def rebuilt(self, r: Features, c: Float[Tensor, "b k h w"]) -> Features:
        """Return what an autoencoder makes of the coefficients c of features r."""
        center, scale = self._scales(r)
        added = self.mean if self.added is None else self.added
        return scale * (_mixed(self.writes, c) + added[:, None, None]) + center

    def _scales(self, r: Features) -> tuple[Tensor, Tensor]:
        """Return what is taken from the features of every place, and what they are then divided by: [b, 1, h, w]."""
        zero = r.new_zeros(())
        if self.normalisation == "layer":
            return r.mean(1, keepdim=True), r.std(1, keepdim=True) + EPSILON
        if self.normalisation == "norm":
            return zero, r.norm(dim=1, keepdim=True).clamp(min=EPSILON) / math.sqrt(r.shape[1])
        return zero, zero + 1

    @cached_property
    def _kept(self) -> int:
        """The n of ``topk:n``; 0 for all."""
        kind, _, number = self.activation.partition(":")
        if kind == "topk" and re.fullmatch("[1-9][0-9]{0,8}", number) and int(number) <= len(self.reads):
            return int(number)
        if self.activation not in ("none", "relu"):
            raise UnknownName("activation", self.activation, ["none", "relu", f"topk:1 … topk:{len(self.reads)}"])
        return 0


def _mixed(matrix: Float[Tensor, "j i"], x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b j h w"]:
    """Return the matrix times every place: a product, as a GPU may round convolutions to ten bits."""
    return (matrix @ x.flatten(2)).view(len(x), len(matrix), *x.shape[2:])


DIRECTIONS: Registry[Directions] = Registry("direction", "subject", "layer")


@DIRECTIONS.register("rotation")
def rotation(
    _argument: str,
    /,
    *,
    subject: Subject,
    layer: str,
    seed: int = 0,
    amount: float = 1.0,
    count: int | None = None,
) -> Directions:
    """Return random orthogonal directions, uniform over all rotations Q; the features are not centred.

    Args:
        subject: the model.
        layer: of it, or a block at several steps, ``up1@1..8``.
        seed: of the rotation.
        amount: the power of Q, along the shortest way from the units (0) to Q (1).
        count: only the first so many directions.

    Raises:
        BadValue: an amount that is not within [0, 1], or more directions than units.
    """
    if not 0 <= amount <= 1:
        raise BadValue(f"amount={amount:g} is not between 0 (the units themselves) and 1 (the whole rotation)")
    q = rotation_power(random_rotation(_units(subject, layer), seed), amount)
    return Directions.linear(q[: _checked(count, len(q), "units")], recipe=("rotation", seed, amount))


def random_rotation(units: int, seed: int) -> Float64[Tensor, "u u"]:
    """Return a rotation drawn uniformly (from the Haar measure on SO(u)).

    The orthogonal factor of a normal matrix is uniform once the triangular one has a positive diagonal (Mezzadri 2007);
    where it reflects, one row changes its sign.
    """
    source = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(units, units, generator=source, dtype=torch.float64))
    uniform: Tensor = q * r.diag().sign()
    uniform[0] *= uniform.det().sign()
    return uniform


def rotation_power(q: Float64[Tensor, "u u"], amount: float) -> Float64[Tensor, "u u"]:
    """Return a rotation to a power: each of its planes rotated by that part of its angle.

    The eigenvalues of Q are e^iθ; those of i (1 - Q) (1 + Q)⁻¹ are tan(θ/2), of the same vectors, and as this matrix is
    Hermitian its computed vectors are orthogonal.
    """
    if amount in (0, 1):
        return q if amount else torch.eye(len(q), dtype=q.dtype)
    one = torch.eye(len(q), dtype=torch.complex128)
    tangents, vectors = torch.linalg.eigh(1j * torch.linalg.solve(one + q, one - q))
    turns = torch.polar(torch.ones_like(tangents), 2 * amount * tangents.atan())
    power: Tensor = (vectors * turns @ vectors.mH).real
    return power


@DIRECTIONS.register("pca")
def principal(
    _argument: str,
    /,
    *,
    subject: Subject,
    layer: str,
    seed: int = 0,
    images: int = 256,
    count: int | None = None,
) -> Directions:
    """Return the principal directions of a layer, greatest variance first, all places of all images weighted alike.

    Coefficients are of features without their mean. A direction points to its heavier tail (the third moment is
    positive). Directions without variance (units that are always 0, or sums of others) are excluded: their
    coefficients are rounding, which depends on the image.

    Args:
        subject: the model.
        layer: of it, or a block at several steps, ``up1@1..8``.
        seed: of the images.
        images: how many images.
        count: only the first so many directions.

    Raises:
        BadValue: fewer than two images, or more directions than have variance.
        BadModel: the layer is NaN or Inf, or the same everywhere.
    """
    if images < 2:
        raise BadValue(f"images={images} is too few for principal directions; give at least 2")
    parts = [range(i, min(i + BATCH, images)) for i in range(0, images, BATCH)]
    layers = layers_at(layer, subject.layers)

    def places(ids: range) -> Tensor:  # [places, u]
        seen = subject.observe(subject.latents(ids, seed + SAMPLE), layers).features
        return torch.cat([seen[name].double().movedim(1, -1).flatten(0, -2) for name in layers])

    sums = [(len(x), x.sum(0), x.T @ x) for x in map(places, parts)]
    n = sum(number for number, _, _ in sums)
    mean = torch.stack([total for _, total, _ in sums]).sum(0) / n
    covariance = torch.stack([products for _, _, products in sums]).sum(0) / n - torch.outer(mean, mean)
    if not math.isfinite(float(covariance.sum())) or not float(covariance.trace()) > 0:
        raise BadModel(f"layer {layer} has no principal directions: it is NaN, Inf or the same everywhere")
    variances, vectors = (each.flip(-1) for each in torch.linalg.eigh(covariance))
    rank = int((variances > NEARLY**2 * variances[0]).sum())
    w = vectors[:, : _checked(count, rank, f"directions of {layer} that have any variance")].T
    tails = torch.stack([((x - mean) @ w.T).pow(3).sum(0) for x in map(places, parts)]).sum(0)
    w = torch.where(tails < 0, -1, 1)[:, None] * w
    return Directions.linear(w.cpu(), mean.cpu(), recipe=("pca", seed, images))


def _units(subject: Subject, layer: str) -> int:
    return subject.layers[layers_at(layer, subject.layers)[0]].units


def _checked(count: int | None, most: int, of: str) -> int:
    if count is not None and not 1 <= count <= most:
        raise BadValue(f"count={count}: there are {most} {of}; give 1 to {most}")
    return most if count is None else count


ENCODERS = ("W_enc", "encoder.weight", "encoder.final_block.0.weight")
"""Names of the encoder of an autoencoder."""


@DIRECTIONS.register("file")
def read_directions(path: str, /, *, subject: Subject, layer: str, tensor: str = "") -> Directions:
    """Read directions from a ``.safetensors``, ``.npz``, ``.npy`` or PyTorch file.

    Args:
        path: holds one matrix [directions, units], of several that named ``directions``, and with it ``mean`` [units]
            if the features are to be centred.
        subject: the model.
        layer: of it, or a block at several steps, ``up1@1..8``.
        tensor: the name of the matrix.

    Raises:
        BadFile: unreadable, no such tensor, or of another shape.
        BadValue: the file is an autoencoder's, or the directions are not independent.
    """
    state, units = read_state(Path(path)), _units(subject, layer)
    if not tensor and any(name in state for name in ENCODERS):
        raise BadValue(f"{path}: is an autoencoder; open it as sae:GENERATOR?layer={layer}&file={path}")
    matrix = _matrix(state, units, tensor, path)
    mean = fitting(state, "mean", (units,), path) if "mean" in state else None
    try:
        return Directions.linear(matrix, mean)
    except BadValue as error:
        raise BadValue(f"{path}: {error}") from error


def _matrix(state: State, units: int, name: str, path: str) -> Float[Tensor, "k u"]:
    """Return the matrix of that name; where none is given, that named ``directions``, or the only one."""
    candidates = ["directions"] if "directions" in state else [each for each, value in state.items() if value.ndim >= 2]
    found = [name] if name else candidates or list(state)
    if len(found) != 1 or found[0] not in state:
        missing = f"no tensor {name}" if name else "no single matrix of directions"
        raise BadFile(f"{path}: holds {missing}, but {', '.join(state)}; name the matrix: tensor=NAME")
    value = _real(state, found[0], path)
    if value.ndim < 2 or not len(value) or math.prod(value.shape[1:]) != units or units not in value.shape[1:]:
        hint = " (directions of a whole map, a number for every place, are none of its units)" if value.ndim > 2 else ""
        given = f"{path}: tensor {found[0]} has shape {list(value.shape)}"
        raise BadFile(f"{given}; directions of this layer are [any, {units}]{hint}")
    return value.reshape(len(value), units).double()


def fitting(state: State, name: str, shape: tuple[int, ...], path: str) -> Tensor:
    """Return a tensor of that shape, in single precision."""
    value = _real(state, name, path)
    if tuple(value.shape) != shape or not math.prod(shape):
        raise BadFile(f"{path}: tensor {name} has shape {list(value.shape)}; of this layer it must be {list(shape)}")
    return value.float()


def _real(state: State, name: str, path: str) -> Tensor:
    if state[name].is_complex():
        raise BadFile(f"{path}: tensor {name} holds complex numbers; directions are real")
    return state[name]
