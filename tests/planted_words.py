"""A model that compares images of the planted world with words by what they show: ``torch:planted_words:Areas``."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganatomy.models.segmenters import open_segmenter


class Areas(nn.Module):
    """An image is described by how much of it each concept covers, a word by the concept of its name.

    One more number is the same of all images, so that an empty one has a direction, too.
    """

    world = "planted"

    def __init__(self) -> None:
        super().__init__()
        self.segmenter = open_segmenter(self.world)
        self.names = [concept.name for concept in self.segmenter.vocabulary[1:]]

    def forward(self, images: Tensor) -> Tensor:
        labels = self.segmenter(images)
        covered = [(labels == i).any(1).float().mean((1, 2)) for i in range(1, len(self.names) + 1)]
        return torch.stack([*covered, torch.ones(len(images))], 1)

    def words(self, texts: Sequence[str]) -> Tensor:
        return torch.stack([torch.tensor([float(name == text) for name in [*self.names, "image"]]) for text in texts])


class Colors(Areas):
    """It sees colors, of any model's images."""

    world = "colors"


class Short(Areas):
    """Its words have one number, where images have seven."""

    def words(self, texts: Sequence[str]) -> Tensor:
        return torch.ones(len(texts), 1)


class Mute(nn.Module):
    """It describes images alone."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


class Sayer(Areas):
    """It says which concepts cover more than a fiftieth of an image."""

    def captions(self, images: Tensor) -> list[str]:
        covered = self(images)[:, :-1] > 0.02
        texts = [[name for name, has in zip(self.names, row, strict=True) if has] for row in covered.tolist()]
        return ["A picture of " + " and a ".join(names) for names in texts]
