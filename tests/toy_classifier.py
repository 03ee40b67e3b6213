"""A classifier whose units are known, and images for it: exact, small, without training.

An image shows one square of a colour on black, and a dim stripe of another at the border; its class is the colour of
the square. Of the layer ``see``, unit 0 is on where it is red, units 1 and 2 where it is green, unit 3 where it is
blue, unit 4 everywhere, unit 5 where there is any light. The head reads units 0 to 3.
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
CLASSES = sorted(COLOURS)
NEEDS = {"red": [0], "green": [1, 2], "blue": [3]}
VOCABULARY = [["nothing", "nothing"], *([name, "object"] for name in CLASSES)]
SIDE = 24


class Toy(nn.Module):
    """Takes images in [0, 1] (mean 0, std 1)."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(inplace=True))
        self.head = nn.Linear(6, classes)
        weight = torch.tensor([[1, -1, -1], [-1, 1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0], [1, 1, 1.0]])
        self.see[0].weight.data = weight[:, :, None, None]
        self.see[0].bias.data = torch.tensor([-0.5, -0.5, -0.5, -0.5, 1, -0.5])
        self.head.weight.data.zero_()
        self.head.bias.data.zero_()
        for c, name in enumerate(CLASSES[:classes]):
            self.head.weight.data[c, NEEDS[name]] = 1 / len(NEEDS[name])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.see(x).mean((2, 3)))


def write_images(directory: Path, count: int = 60, labels: bool = True, splits: tuple[str, ...] = ("",)) -> Path:
    """Write images, and label maps of half their size."""
    numbers = np.random.default_rng(0)
    for i in range(count):
        name = CLASSES[i % 3]
        image, label = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE // 2, SIDE // 2), np.uint8)
        top, left = 2 * numbers.integers(1, 6, 2)
        image[top : top + 10, left : left + 10] = COLOURS[name]
        image[:, -2:] = np.array(COLOURS[CLASSES[numbers.integers(3)]]) // 4
        label[top // 2 : top // 2 + 5, left // 2 : left // 2 + 5] = 1 + CLASSES.index(name)
        file = Path(splits[i // 3 % len(splits)]) / name / f"{i:03d}.png"
        for folder, pixels in (("images", image), ("labels/object", label)):
            if labels or folder == "images":
                path = directory / folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    if labels:
        (directory / "vocabulary.json").write_text(json.dumps(VOCABULARY))
    return directory


def toy_spec(directory: Path, options: str = "") -> str:
    """Name the toy, looking at the images of a directory; options take the place of its own."""
    own = {"images": str(directory), "size": str(SIDE), "mean": "0,0,0", "std": "1,1,1"}
    own |= dict(each.split("=") for each in options.split("&") if each)
    return "classifier:toy_classifier:Toy?" + "&".join(f"{key}={value}" for key, value in own.items())
