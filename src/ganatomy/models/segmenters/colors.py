"""The eleven basic colour names of Network Dissection, for any image, without weights.

A pixel has the name of the nearest of a few dozen typical colours, by Euclidean distance in Oklab (Ottosson, "A
perceptual color space for image processing", 2020), where equal distances look about equally different.
"""

import torch
from torch import Tensor

from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import NOTHING, Concept, Vocabulary
from ganatomy.models.segmenters.protocol import check_concept
from ganatomy.models.segmenters.registry import SEGMENTERS

TYPICAL = {
    "black": "000000 101014 1a1512 1c1f1a",
    "blue": "0000ff 000080 1e3c78 3264c8 5a9be6 87c3f0 b4dcfa 0096c8 00d2f0 5a78a0 2a3c5a 8296d2 007882 46a0aa 003c50",
    "brown": "8b4513 643c1e a0643c 50280f 3c2314 be966e d2b48c 785046 9b7b55 5f5037",
    "grey": "303030 484848 606060 707070 808080 909090 a0a0a0 b0b0b0 c4c4c4 707880 989088",
    "green": "00ff00 008000 32a03c 00501e 8cc850 6e8228 96dc96 009b6e 3c5028 b4e6a0 1e321e 7d9b6e 00c896 004b41 46645a",
    "orange": "ff8000 ffa500 e66e1e ff9650 d2691e ffb478",
    "pink": "ffc0cb ff69b4 ff1493 e68296 f0b4c8 ff8ca0 d25a8c ffd7e1",
    "purple": "800080 5a1e8c a050c8 b48cdc c800c8 4b005a 8c64aa d7b4eb 64466e",
    "red": "ff0000 c8141e 960f14 dc3c3c 640a0f b43c37",
    "white": "ffffff ebebeb fffaf0 ebf5ff",
    "yellow": "ffff00 ffd700 f0e664 c8b41e ffffaa e6c85a f5deaa",
}
"""Typical colours of each name (sRGB): its focal colour, and others that people give the same name."""

SOFTNESS = 0.05
"""Distance in Oklab over which one name gives way to another (black to white is 1)."""
CELLS = 64
"""Colours are named on a grid of this many steps a channel."""


class Colors:
    """Colour names as a segmenter and scorer.

    Labels are looked up on a grid of 64³ colours. `score` uses no grid: it is the softmax over names of -d²/(2·0.05²),
    d the distance to the name's nearest typical colour. So the name of greatest score is the label, but for pixels
    within half a grid step (two of 255 byte levels) of a border between names.
    """

    vocabulary: Vocabulary = (NOTHING, *(Concept(name, "colour") for name in TYPICAL))
    planes: tuple[str, ...] = ("colour",)

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.fingerprint = fingerprint({}, "colors", TYPICAL, SOFTNESS, CELLS)
        codes = [bytes.fromhex(code) for codes in TYPICAL.values() for code in codes.split()]
        self._typical = _oklab(torch.tensor([list(code) for code in codes], device=device) / 255)
        self._counts = [len(codes.split()) for codes in TYPICAL.values()]
        steps = torch.linspace(0, 1, CELLS, device=device)
        self._names = self._distances(torch.cartesian_prod(steps, steps, steps)).argmin(1) + 1

    def __call__(self, images: Images) -> Labels:
        """Return the colour name of each pixel."""
        red, green, blue = ((images + 1) * ((CELLS - 1) / 2)).round().long().clamp(0, CELLS - 1).unbind(1)
        return self._names[(red * CELLS + green) * CELLS + blue][:, None]

    def score(self, images: Images, concept: int) -> Scores:
        """Return the softmax probability of a name at each pixel."""
        check_concept(self.vocabulary, concept)
        pixels = ((images + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)
        distances = self._distances(pixels.reshape(-1, 3))
        scores = (distances / (-2 * SOFTNESS**2)).softmax(1)[:, concept - 1]
        return scores.reshape(pixels.shape[:3])

    def _distances(self, pixels: Tensor) -> Tensor:
        """Return the squared distance of each sRGB colour (0 to 1) to the nearest typical colour of each name."""
        pairs = torch.cdist(_oklab(pixels), self._typical).square()
        return torch.stack([name.amin(1) for name in torch.split(pairs, self._counts, 1)], 1)


def _oklab(srgb: Tensor) -> Tensor:
    """Convert sRGB (0 to 1, last axis) to Oklab."""
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    lms = linear @ linear.new_tensor(to_lms).T
    root = lms.clamp(min=1e-4) ** (1 / 3)  # not below the darkest byte: the slope at 0 is infinite
    return root @ root.new_tensor(to_lab).T


@SEGMENTERS.register("colors", argument="none", data=True)
def open_colors(_argument: str, /, *, device: torch.device) -> Colors:
    """Open the colour names; they take no argument."""
    return Colors(device)
