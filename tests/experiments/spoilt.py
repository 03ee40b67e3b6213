"""A generator with a unit that spoils images, real images that are like its own without it, a small network."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import ganatomy
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.segmenters.unet import UNet, heads

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
    (place / "real").mkdir()
    generator = painter(faulty=False)
    images = generator.observe(generator.latents(range(100), 7), []).images
    for i, image in enumerate(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(place / "real" / f"{i}.png")
    vocabulary = (NOTHING, Concept("sky", "object"), Concept("tree", "object"))
    torch.manual_seed(0)
    save_file(UNet((4, 4, 8), sum(map(len, heads(vocabulary)))).state_dict(), place / "net.safetensors")
    (place / "net.json").write_text(json.dumps({"vocabulary": vocabulary}))
    ganatomy.dissect(painter(), segmenter="colors", images=40, out=place / "study")
