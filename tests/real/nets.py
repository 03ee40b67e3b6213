"""The few lines that each of other people's models needs to be opened: their modules as published, nothing of ganatomy.

Each is named on the command line as ``torch:nets:FaceGAN?weights=face-gan.pt``.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ganatomy.models.weights import fit_state, read_state
from ganatomy.scenes import render


class FaceGAN(nn.Module):
    """A DCGAN of faces, 32 px: latents [b, 100, 1, 1] to images in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.generator_deconv = nn.Sequential(
            nn.Sequential(nn.ConvTranspose2d(100, 256, 4, bias=False), nn.BatchNorm2d(256)),
            nn.Sequential(nn.Conv2d(256, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2)),
            nn.Sequential(nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2)),
            nn.Sequential(nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2)),
            nn.Sequential(nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.generator_deconv(z)


class FaceVAE(nn.Module):
    """The decoder of a VAE of faces, 64 px: latents [b, 10] to images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.lin1, self.lin2, self.lin3 = nn.Linear(10, 256), nn.Linear(256, 256), nn.Linear(256, 512)
        self.convT_64, self.convT1, self.convT2 = (nn.ConvTranspose2d(32, 32, 4, 2, 1) for _ in range(3))
        self.convT3 = nn.ConvTranspose2d(32, 3, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        for dense in (self.lin1, self.lin2, self.lin3):
            z = dense(z).relu()
        x = z.view(-1, 32, 4, 4)
        for conv in (self.convT_64, self.convT1, self.convT2):
            x = conv(x).relu()
        return self.convT3(x).sigmoid()


class Block(nn.Module):
    """Three convolutions around which the input is passed on; some add a wide pointwise branch first."""

    def __init__(self, pool: bool) -> None:
        super().__init__()
        first, second, third = (nn.Conv2d(64, 64, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        self.pool = None
        if pool:
            wide = (
                nn.Conv2d(64, 256, 1, bias=False),
                nn.GroupNorm(4, 256),
                nn.ReLU(),
                nn.Conv2d(256, 64, 1, bias=False),
            )
            self.pool = nn.Sequential(*wide)
        self.fuse = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return self.fuse(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


def blocks(count: int = 3, pool: bool = False) -> list[nn.Module]:
    return [Block(pool) for _ in range(count)]


def plain(stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(64, 64, 3, stride, 1, bias=False)


class Encoder(nn.Sequential):
    """Images in [0, 1] to latents at an eighth of their size."""

    def __init__(self) -> None:
        stages = [stage for i in range(3) for stage in (plain(stride=2), *blocks(pool=i == 2))]
        super().__init__(nn.Conv2d(3, 64, 3, padding=1), *blocks(1), *stages, nn.Conv2d(64, 32, 3, padding=1))


class LatentDecoder(nn.Sequential):
    """The decoder of a latent diffusion model. Its sample is no noise: it is the latents of rendered churches."""

    def __init__(self, encoder: str, size: int = 64) -> None:
        super().__init__(
            *(Clamp(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), *blocks(pool=True)),
            *(nn.Upsample(scale_factor=2), plain(), *blocks()),
            *(nn.Upsample(scale_factor=2), plain(), *blocks()),
            *(nn.Upsample(scale_factor=2), plain(), *blocks(1), nn.Conv2d(64, 3, 3, padding=1)),
        )
        self.size = size
        self._encode = [Encoder().eval()]  # in a list, so that its weights are not the decoder's
        fit_state(self._encode[0], read_state(Path(encoder)), encoder)

    @torch.no_grad()
    def latents(self, ids: range, seed: int) -> Tensor:
        images = torch.from_numpy(render("church", ids, size=self.size, seed=seed).images)
        return self._encode[0](images.float() / 255)


class Skin(nn.Module):
    """A segmenter of two words: skin, by the chroma of faces (Chai and Ngan, 1999), and dark, luma under 64."""

    def forward(self, images: Tensor) -> Tensor:
        red, green, blue = ((images + 1) * 127.5).unbind(1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        cb, cr = 128 + 0.564 * (blue - luma), 128 + 0.713 * (red - luma)
        skin = (cb - 102).abs().le(25) & (cr - 153).abs().le(20)  # Cb 77 to 127, Cr 133 to 173
        return torch.where(luma < 64, 2, skin.long())
