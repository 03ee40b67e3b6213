"""The bundled segmenter's network: a small U-Net with one head a plane, trained by ``recipes/train_segmenter.py``."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.files import read_json
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import Concept, Vocabulary, checked_vocabulary
from ganatomy.models.segmenters.protocol import check_concept, plane_names
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.weights import State, fit_state, read_state

PIXELS = 1 << 16
"""Pixels in the network at once, for memory and caches: sixteen images of 64 px."""

Norm = Callable[[int], nn.Module]


class UNet(nn.Module):
    """Two convolutions a scale on the way down, one on the way up, joined with the finer features; one linear head.

    `norm` follows each convolution in training; the file holds the network with its norms folded into the convolutions.
    """

    def __init__(self, widths: Sequence[int], classes: int, norm: Norm | None = None) -> None:
        super().__init__()

        def step(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
            parts = [nn.Conv2d(inputs, outputs, 3, stride, 1), norm(outputs) if norm else None, nn.ReLU(inplace=True)]
            return nn.Sequential(*(part for part in parts if part is not None))

        channels = (3, *widths)
        self.down = nn.ModuleList(
            nn.Sequential(step(channels[i], width, 2 if i else 1), step(width, width)) for i, width in enumerate(widths)
        )
        self.up = nn.ModuleList(step(fine + coarse, fine) for fine, coarse in itertools.pairwise(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.stride = 1 << (len(widths) - 1)

    def scales(self, images: Images) -> list[Tensor]:
        """Return the features of every scale, finest first; the sides are padded to a multiple of `stride`."""
        height, width = images.shape[-2:]
        x = F.pad(images, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        found = []
        for stage in self.down:
            x = stage(x)
            found.append(x)
        return found

    def forward(self, images: Images) -> Float[Tensor, "b c H W"]:
        """Return the logits of all heads, one after the other along the channels."""
        *finer, x = self.scales(images)
        for stage, skip in zip(reversed(self.up), reversed(finer), strict=True):
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        logits: Tensor = self.head(x)
        return logits[..., : images.shape[-2], : images.shape[-1]]


class UNetSegmenter:
    """A trained `UNet` with its vocabulary: a segmenter, a scorer, and a feature network for Fréchet distances.

    Images of any size are taken as they are, by a network that was trained at 64 px and learned objects at half to
    twice their size there. With `size` images are resized to that size: labels then go back to the images' size by
    nearest neighbour, scores by bilinear interpolation. `dtype` bfloat16 is several times faster where the
    processor has it, at the price of a few labels (docs/segmenters.md).
    """

    def __init__(self, net: UNet, vocabulary: Vocabulary, size: int | None = None, dtype: str = "float32") -> None:
        if size is not None and size < net.stride:
            raise BadValue(f"size={size} is too small; give at least {net.stride}")
        self.vocabulary = vocabulary
        self.planes = plane_names(vocabulary)
        self.fingerprint = fingerprint(net.state_dict(), vocabulary, size, dtype != "float32" and dtype)
        self._heads = heads(vocabulary)
        self._size = size
        self._dtype = find_dtype(dtype)
        self._net = net.eval().requires_grad_(False).to(self._dtype)
        self.device = next(net.parameters()).device

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return the concept of each pixel in each plane."""
        at_once = max(1, PIXELS // (images.shape[-2] * images.shape[-1]))
        return torch.cat([self._labels(chunk) for chunk in torch.split(images, at_once)])

    def score(self, images: Images, concept: int) -> Scores:
        """Return the softmax probability of a concept within its plane."""
        check_concept(self.vocabulary, concept)
        head = next(head for head in self._heads if concept in head)
        logits = self._split(self._logits(images))[self._heads.index(head)]
        score = logits.float().softmax(1)[:, head.index(concept), None]
        return F.interpolate(score, images.shape[-2:], mode="bilinear")[:, 0]

    @torch.no_grad()
    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Return the means of the two coarsest scales: the bundled features for Fréchet distances."""
        return torch.cat([scale.float().mean((2, 3)) for scale in self.maps(images)[-2:]], 1)

    def maps(self, images: Images) -> list[Tensor]:
        """Return the features of every scale, [b, d, h, w], finest first; differentiable in the images."""
        return self._net.scales(self._input(images))

    def _labels(self, images: Images) -> Labels:
        planes = self._split(self._logits(images))
        concepts = [torch.tensor(head, device=self.device) for head in self._heads]
        labels = torch.stack([own[plane.max(1).indices] for own, plane in zip(concepts, planes, strict=True)], 1)
        if self._size is not None:
            labels = F.interpolate(labels.float(), images.shape[-2:], mode="nearest-exact").long()
        return labels

    def _logits(self, images: Images) -> Tensor:
        logits: Tensor = self._net(self._input(images))
        return logits

    def _input(self, images: Images) -> Tensor:
        if self._size is not None:
            images = F.interpolate(images, (self._size, self._size), mode="bilinear", antialias=True)
        return images.to(self._dtype, memory_format=torch.channels_last)

    def _split(self, logits: Tensor) -> tuple[Tensor, ...]:
        return torch.split(logits, [len(head) for head in self._heads], 1)


def heads(vocabulary: Vocabulary) -> list[list[int]]:
    """Return the concepts of each plane's head: nothing, then those of the plane's category."""
    return [
        [0, *(i for i, concept in enumerate(vocabulary) if concept.category == plane)]
        for plane in plane_names(vocabulary)
    ]


@SEGMENTERS.register("unet", data=True)
def open_unet(
    path: str, /, *, device: torch.device, prefix: str = "", size: int | None = None, dtype: str = "float32"
) -> UNetSegmenter:
    """Open weights that ``recipes/train_segmenter.py`` made; their card (the same name, .json) holds the vocabulary."""
    file = Path(path)
    state = read_state(file, prefix)
    vocabulary = _vocabulary(file.with_suffix(".json"))
    net = UNet(_widths(state, path), sum(len(head) for head in heads(vocabulary)))
    fit_state(net, state, path)
    return UNetSegmenter(net.to(device), vocabulary, size, dtype)


def _widths(state: State, source: str) -> list[int]:
    """Return the channels of every scale, from the shapes."""
    widths = [len(state[name]) for i in range(8) if (name := f"down.{i}.0.0.weight") in state]
    if len(widths) < 2:
        raise BadFile(f"{source}: not the weights of a U-Net of this package (it needs tensors down.0.0.0.weight, …)")
    return widths


def _vocabulary(card: Path) -> tuple[Concept, ...]:
    try:
        rows = read_json(card)["vocabulary"]
        concepts = [Concept(str(name), str(category)) for name, category in rows]
    except FileNotFoundError:
        raise BadFile(f"{card}: no such card; it must lie beside the weights") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadFile(f"{card}: not a card with a vocabulary ({error!r})") from error
    return checked_vocabulary(concepts, str(card))
