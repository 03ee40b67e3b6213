"""Models of the paper's size, without its weights: a Progressive GAN in the published layout, and a segmenter."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTHS = (512, 512, 512, 256, 128, 64, 32)
"""Units of both layers at 4, 8, … 256 pixels."""


def generator_file(directory: Path, size: int, most: int) -> Path:
    """Write random weights of a Progressive GAN of that many pixels and at most so many units; return where."""
    from safetensors.torch import save_file

    path = directory / f"progan-{size}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        widths = [min(units, most) for units in WIDTHS[: size.bit_length() - 2]]
        shapes, inputs = {}, most
        for i, (units, at) in enumerate((units, 4 << j) for j, units in enumerate(widths) for _ in range(2)):
            kernel = 4 if i == 0 else 3
            shapes[f"layer{i + 1}"] = (units, inputs, kernel, kernel)
            inputs = units
            last = f"output_{at}x{at}"
        shapes[last] = (3, inputs, 1, 1)
        state = {f"{name}.conv.weight": torch.randn(shape) for name, shape in shapes.items()}
        state |= {f"{name}.wscale.b": 0.1 * torch.randn(shape[0]) for name, shape in shapes.items()}
        directory.mkdir(parents=True, exist_ok=True)
        save_file(state, path)
    return path


class Regions:
    """Labels images by their coarse grey values: some regions an image, each of a concept; and small spots.

    Args:
        concepts: how many there are, without "nothing".
        common: so many of them cover regions; others small spots only.
    """

    def __init__(self, concepts: int, common: int) -> None:
        from ganatomy.core.vocabulary import NOTHING, Concept

        self.vocabulary = (
            NOTHING,
            *(Concept(f"concept {i}", "object" if i % 3 else "part") for i in range(1, concepts + 1)),
        )
        self.planes = ("object", "part")
        self.fingerprint = f"regions-{concepts}-{common}"
        self.device = torch.device("cpu")
        self._rest, self._common = concepts - common, common

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return labels int64 [b, 2, H, W]."""
        grey = images.float().mean(1, keepdim=True)
        labels = []
        for cells in (6, 9):
            coarse = F.interpolate(F.adaptive_avg_pool2d(grey, cells), images.shape[2:], mode="bilinear")[:, 0]
            low, high = coarse.amin((1, 2), keepdim=True), coarse.amax((1, 2), keepdim=True)
            steps = ((coarse - low) / (high - low).clamp(min=1e-6) * 11.999).long()
            own = (1e6 * low.abs()).long() % self._common
            labels.append(1 + (own + 37 * steps) % self._common)
        spot = 1 + self._common + (1e6 * high.abs()).long()[:, 0, 0] % max(self._rest, 1)
        if self._rest:
            labels[1][:, :3, :5] = spot[:, None, None]
        return torch.stack(labels, 1)

    def score(self, images: Tensor, concept: int) -> Tensor:
        """Return scores [b, H, W], above a half where a pixel is labelled so; they follow the grey value otherwise."""
        grey = images.float().mean(1)
        return (torch.sigmoid(grey) + (self(images) == concept).any(1)) / 2
