"""A top-k sparse autoencoder of the places of a layer, and one step of its training (Gao et al. 2024)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

NAMES = ("W_enc", "b_enc", "W_dec", "b_dec")


class Loss(NamedTuple):
    """What a batch of places costs, and what was seen of it.

    Attributes:
        value: to be lowered.
        missed: what the reconstruction misses of each place.
        active: which features were active there.
    """

    value: Float[Tensor, ""]
    missed: Float[Tensor, "n u"]
    active: Bool[Tensor, "n k"]


class Autoencoder(nn.Module):
    """x ≈ W_dec c + b_dec, where c are the greatest positive of W_enc (x - b_dec) + b_enc, others 0.

    Places are multiplied by one number before, so that they have variance 1 a unit. The decoder's rows have length 1.
    An encoder begins as its decoder, random directions; b_dec as the mean.

    Attributes:
        sparsity: how many features may be active at a place.
        scale: the number.
    """

    def __init__(self, places: Float[Tensor, "n u"], features: int, sparsity: int, seed: int) -> None:
        super().__init__()
        self.sparsity = sparsity
        units, mean = places.shape[1], places.mean(0)
        spread = (places - mean).square().mean().sqrt()
        self.scale: Tensor
        self.register_buffer("scale", 1 / spread if spread > 0 else torch.ones_like(spread))
        source = torch.Generator().manual_seed(seed)
        directions = torch.randn(features, units, generator=source).to(places.device)
        directions = functional.normalize(directions, dim=1)
        self.W_enc, self.b_enc = nn.Parameter(directions.T.contiguous()), nn.Parameter(places.new_zeros(features))
        self.W_dec, self.b_dec = nn.Parameter(directions), nn.Parameter(mean * self.scale)

    def loss(self, places: Float[Tensor, "n u"]) -> Loss:
        """Return the mean squared error of places, which is the share of the variance that is missed."""
        x = places * self.scale
        c = greatest((x - self.b_dec) @ self.W_enc + self.b_enc, self.sparsity)
        missed = x - c @ self.W_dec - self.b_dec
        return Loss(missed.square().mean(), missed.detach(), c.detach() > 0)

    @torch.no_grad()
    def begin_anew(self, dead: Int64[Tensor, " d"], missed: Float[Tensor, "n u"], source: torch.Generator) -> None:
        """Point features at what is missed of places, drawn in proportion to the squared error."""
        drawn = torch.multinomial(missed.square().sum(1).cpu(), len(dead), replacement=True, generator=source)
        directions = functional.normalize(missed[drawn.to(missed.device)], dim=1)
        self.W_dec[dead], self.W_enc[:, dead], self.b_enc[dead] = directions, directions.T, 0.0

    @torch.no_grad()
    def project_gradient(self) -> None:
        """Take out of the decoder's gradient what would only change the lengths of its rows."""
        if (gradient := self.W_dec.grad) is not None:
            gradient -= (gradient * self.W_dec).sum(1, keepdim=True) * self.W_dec

    @torch.no_grad()
    def normalise(self) -> None:
        """Bring the decoder's rows back to length 1."""
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True).clamp(min=1e-12))

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """Return the weights for places as they are: the scale is in the biases, and coefficients are in its units."""
        found = {name: getattr(self, name).detach().cpu().clone() for name in NAMES}
        for name in ("b_enc", "b_dec"):
            found[name] /= self.scale.cpu()
        return found


def greatest(read: Float[Tensor, "n k"], number: int) -> Float[Tensor, "n k"]:
    """Return the greatest positive numbers of each row, others 0; their gradient is a product, which is exact."""
    kept = torch.zeros_like(read).scatter(1, read.detach().topk(number, dim=1, sorted=False).indices, 1.0)
    return read.relu() * kept


class Scores(NamedTuple):
    """How well an autoencoder stands for places that it was not trained on.

    Attributes:
        variance_explained: 1 - squared error / variance.
        l0: mean number of active features of a place.
        dead_share: share of features that were active nowhere.
    """

    variance_explained: float
    l0: float
    dead_share: float

    def by_name(self) -> dict[str, float]:
        """Return them as cards name them."""
        return dict(zip(("variance explained", "L0", "dead share"), self, strict=True))


@torch.no_grad()
def measured(weights: Mapping[str, Tensor], sparsity: int, places: Float[Tensor, "n u"]) -> Scores:
    """Return the scores of weights on places."""
    w_enc, b_enc, w_dec, b_dec = (weights[name].to(places) for name in NAMES)
    error, count, active = 0.0, 0, torch.zeros(len(b_enc), dtype=torch.bool, device=places.device)
    for x in torch.split(places, 4096):
        c = greatest((x - b_dec) @ w_enc + b_enc, sparsity)
        error += float((x - c @ w_dec - b_dec).double().square().sum())
        count += int((c > 0).sum())
        active |= (c > 0).any(0)
    total = float((places - places.mean(0)).double().square().sum())
    return Scores(1 - error / total if total else float("nan"), count / len(places), 1 - float(active.double().mean()))
