"""Generators and segmenters, good and bad, for the tests of bad input."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ganatomy.models.generators.latents import standard_normal


class Good(nn.Module):
    """Noise [b, 4, 1, 1] to images of 8 x 8, by two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(4, 6, 4)
        self.second = nn.ConvTranspose2d(6, 3, 4, stride=2, padding=1)
        self.flat = nn.Flatten()
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(torch.linspace(-1, 1, p.numel()).reshape(p.shape).sin() * (i + 1) / 4)

    def forward(self, z: Tensor) -> Tensor:
        x = self.first(z.reshape(len(z), 4, 1, 1))
        self.flat(x)
        return self.second(torch.relu(x)).tanh()


class Loud(Good):
    def forward(self, z: Tensor) -> Tensor:
        print("drawing", len(z))  # noqa: T201  that is its fault
        return super().forward(z)


class NanOnce(Good):
    """Unit 2 of the layer `first` is NaN on the one image whose latent has number 21."""

    def __init__(self) -> None:
        super().__init__()
        self.first.register_forward_hook(self.spoil)

    def spoil(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        it = standard_normal(range(21, 22), 0, [4], torch.device("cpu"))
        hit = (inputs[0].reshape(-1, 4) == it).all(1)
        output[hit, 2] = float("nan")
        return output


class Raises(Good):
    def forward(self, z: Tensor) -> Tensor:
        raise RuntimeError("no such luck\nsecond line")


class NoImage(Good):
    def forward(self, z: Tensor) -> Tensor:
        return self.first(z.reshape(len(z), 4, 1, 1))


def none() -> None:
    pass


def raises() -> None:
    raise OSError("cannot build")


def leaves() -> None:
    sys.exit(3)


def halves() -> Callable[[Tensor], Tensor]:
    """A segmenter: label 1 on the left, 2 on the right."""

    def labels(images: Tensor) -> Tensor:
        out = torch.ones(len(images), *images.shape[2:], dtype=torch.long)
        out[:, :, images.shape[3] // 2 :] = 2
        return out

    return labels
