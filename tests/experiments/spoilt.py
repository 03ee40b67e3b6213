"""A generator with a unit that spoils images, real images that are like its own without it, a small network."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from small_runs import write_real
from torch import Tensor, nn

import ganatomy

FAULTY = 4
D = 12
"""Numbers by which the network describes an image."""


class Painter(nn.Module):
    """Units 0 to 2 are soft colours; where unit 4 is great, all is stripes; 3 and 5 do nothing."""

    def __init__(self, faulty: bool = True) -> None:
        super().__init__()
        self.units = nn.Identity()
        self.register_buffer("faulty", torch.tensor(float(faulty)))

    def forward(self, z: Tensor) -> Tensor:
        r = self.units(z)
        soft = F.interpolate(r[:, :3], 16, mode="bilinear").tanh() / 2
        spoilt = (r[:, FAULTY].amax((1, 2)) > 2)[:, None, None, None] * self.faulty
        stripes = (torch.arange(16, device=z.device) % 2 * 2.0 - 1).expand_as(soft)
        return torch.lerp(soft, stripes, spoilt)


def painter(faulty: bool = True) -> Any:
    return ganatomy.as_generator(Painter(faulty), latent=(6, 4, 4), bounds=(-1, 1), layers=("units",))


def spoilt_place(place: Path) -> None:
    """Put real images, the network and a dissection of the painter there: real/, net.safetensors and study/."""
    write_real(place, painter(faulty=False), 100)
    ganatomy.dissect(painter(), segmenter="colors", images=40, out=place / "study")
