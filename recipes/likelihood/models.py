"""What is trained: a variational autoencoder and a normalising flow, each with its loss and its honest numbers."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.models.generators.flow import RealNVP
from ganatomy.models.generators.vae import decoder
from ganatomy.models.segmenters.unet import UNet
from ganatomy.models.weights import bundled, fit_state, read_state

PIXELS, EYES = 1500.0, 150.0
"""What a difference of 1 in every pixel costs, and one in the features of every scale, in nats."""
LEVELS = 32
"""Grey levels that the flow tells apart: with all 256 a small one learns little but the last bits."""


class Vae(nn.Module):
    """A decoder, with an encoder that is used in training only."""

    longest_step = 1e4  # of the gradient

    def __init__(self, side: int, latent: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.latent = latent
        self.network = decoder(latent, [width for width in widths for _ in range(2)])
        finest_first = (3, *reversed(widths))
        halving = [nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(finest_first[:-1])]
        self.encoder = nn.Sequential(
            *(part for conv in halving for part in (conv, nn.LeakyReLU(0.2))),
            nn.Conv2d(finest_first[-2], widths[0], 3, padding=1), nn.LeakyReLU(0.2), nn.Flatten(),
            nn.Linear(widths[0] * (side >> len(halving)) ** 2, 2 * latent),
        )  # fmt: skip
        eyes = read_state(bundled("scenes"))
        self.eyes = [UNet([24, 48, 96, 160], len(eyes["head.bias"])).eval().requires_grad_(False)]  # no part of it
        fit_state(self.eyes[0], eyes, "scenes")

    def loss(self, images: Tensor, source: torch.Generator) -> Tensor:
        """Return the mean number of nats: differences of pixels and of features, and the divergence from N(0, 1)."""
        mean, log_std = self.code(images)
        z = mean + log_std.exp() * torch.randn(mean.shape, generator=source)
        drawn = self.network(z)
        seen, target = self.eyes[0].scales(drawn), self.eyes[0].scales(images)
        eyes = sum((a - b).abs().mean() / b.abs().mean() for a, b in zip(seen, target, strict=True))
        return PIXELS * (drawn - images).abs().mean() + EYES * eyes + divergence(mean, log_std).mean()

    def code(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the logarithm of the standard deviation of the latents of images."""
        mean, log_std = self.encoder(images).float().chunk(2, 1)
        return mean, log_std.clamp(-8, 4)

    @torch.inference_mode()
    def measure(self, images: Tensor, _: torch.Generator) -> dict[str, Any]:
        """Return how far reconstructions of held-out images are off, of 255 grey levels, and the divergence."""
        mean, log_std = self.code(images)
        difference = (self.network(mean) - images).float()
        return {
            "reconstruction": {
                "mean difference of 255": float(difference.abs().mean() * 127.5),
                "PSNR in dB": float(10 * torch.log10(4 / difference.square().mean())),
            },
            "divergence in nats": float(divergence(mean, log_std).mean()),
        }


def divergence(mean: Tensor, log_std: Tensor) -> Tensor:
    """Return KL(N(mean, std²) ‖ N(0, 1)) of every image, in nats."""
    return (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(1) / 2


class Flow(nn.Module):
    """A RealNVP; images are known to `LEVELS` grey levels, and lie anywhere within theirs (dequantisation)."""

    longest_step = 1.0

    def __init__(self, side: int, widths: Sequence[int], steps: int) -> None:
        super().__init__()
        self.network = RealNVP(side, widths, steps)
        self.latent = self.network.latent

    def loss(self, images: Tensor, source: torch.Generator) -> Tensor:
        """Return the mean number of bits per value."""
        bytes_ = ((images + 1) * 127.5).round()
        levels = torch.floor(bytes_ * (LEVELS / 256)) + torch.rand(images.shape, generator=source)
        z, log_det = self.network.inverse(2 * levels / LEVELS - 1)
        nats = z.square().sum(1) / 2 + z.shape[1] * math.log(2 * math.pi) / 2 - log_det
        return nats.mean() / (z.shape[1] * math.log(2)) - math.log2(2 / LEVELS)

    @torch.inference_mode()
    def measure(self, images: Tensor, source: torch.Generator) -> dict[str, Any]:
        """Return the bits per value of held-out images."""
        bits = [self.loss(part, source) for part in images.split(128)]
        return {f"bits per value of {LEVELS} levels": float(torch.stack(bits).mean())}
