"""Inception-v3 of the Fréchet Inception Distance: ``inception``, its last pooled layer, 2048 numbers an image.

The network is the one that Heusel et al. 2017 took from TensorFlow's archive of 2015-12-05: that of Szegedy et al.
2016 but for its pools. Average pools do not count the padding, and the last block takes a maximum in the place of an
average. Its weights were published for PyTorch (pytorch-fid) under the tensor names of torchvision; weights that were
trained elsewhere give other distances.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.errors import BadFile
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images
from ganatomy.models.features.protocol import checked_vectors
from ganatomy.models.features.registry import FEATURES
from ganatomy.models.segmenters.checkpoint_loading import load_folded
from ganatomy.models.weights import State, locate, read_state

NAME = "inception"
SIDE = 299
CLASSES = 1008
"""Of the network of 2015; those trained since have 1000."""
AT_ONCE = 32
"""Images in the network at once: 200 MB."""

Pool = Callable[[Tensor], Tensor]
AVERAGE: Pool = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
MAXIMUM: Pool = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
HALVE: Pool = partial(F.max_pool2d, kernel_size=3, stride=2)


class Maps(NamedTuple):
    """A convolution: its output channels and kernel; with stride 2 it is not padded."""

    channels: int
    height: int
    width: int
    stride: int = 1


Fork = Mapping[str, Maps]
"""Convolutions of the same input by their names; their outputs are joined."""
Branch = Sequence[Fork | Pool]


def chain(name: str, *steps: Maps | tuple[Maps, Maps]) -> list[Fork]:
    """Name successive convolutions as the file does.

    >>> [list(fork) for fork in chain("branch3x3", Maps(384, 1, 1), (Maps(384, 1, 3), Maps(384, 3, 1)))]
    [['branch3x3_1'], ['branch3x3_2a', 'branch3x3_2b']]
    """
    names = [name] if len(steps) == 1 else [f"{name}_{i}" for i in range(1, len(steps) + 1)]
    return [
        {own: step} if isinstance(step, Maps) else {f"{own}a": step[0], f"{own}b": step[1]}
        for own, step in zip(names, steps, strict=True)
    ]


def _block_a(pooled: int) -> list[Branch]:
    return [
        chain("branch1x1", Maps(64, 1, 1)),
        chain("branch5x5", Maps(48, 1, 1), Maps(64, 5, 5)),
        chain("branch3x3dbl", Maps(64, 1, 1), Maps(96, 3, 3), Maps(96, 3, 3)),
        [AVERAGE, *chain("branch_pool", Maps(pooled, 1, 1))],
    ]


def _block_c(n: int) -> list[Branch]:
    wide, tall = Maps(n, 1, 7), Maps(n, 7, 1)
    return [
        chain("branch1x1", Maps(192, 1, 1)),
        chain("branch7x7", Maps(n, 1, 1), wide, Maps(192, 7, 1)),
        chain("branch7x7dbl", Maps(n, 1, 1), tall, wide, tall, Maps(192, 1, 7)),
        [AVERAGE, *chain("branch_pool", Maps(192, 1, 1))],
    ]


def _block_e(pool: Pool) -> list[Branch]:
    fork = Maps(384, 1, 3), Maps(384, 3, 1)
    return [
        chain("branch1x1", Maps(320, 1, 1)),
        chain("branch3x3", Maps(384, 1, 1), fork),
        chain("branch3x3dbl", Maps(448, 1, 1), Maps(384, 3, 3), fork),
        [pool, *chain("branch_pool", Maps(192, 1, 1))],
    ]


BLOCKS: Mapping[str, Sequence[Branch]] = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": [
        chain("branch3x3", Maps(384, 3, 3, stride=2)),
        chain("branch3x3dbl", Maps(64, 1, 1), Maps(96, 3, 3), Maps(96, 3, 3, stride=2)),
        [HALVE],
    ],
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": [
        chain("branch3x3", Maps(192, 1, 1), Maps(320, 3, 3, stride=2)),
        chain("branch7x7x3", Maps(192, 1, 1), Maps(192, 1, 7), Maps(192, 7, 1), Maps(192, 3, 3, stride=2)),
        [HALVE],
    ],
    "Mixed_7b": _block_e(AVERAGE),
    "Mixed_7c": _block_e(MAXIMUM),
}


class Conv(nn.Module):
    """A convolution without bias, its batch norm, a ReLU."""

    def __init__(self, inputs: int, maps: Maps, padded: bool = True) -> None:
        super().__init__()
        padding = (maps.height // 2, maps.width // 2) if padded and maps.stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inputs, maps.channels, maps[1:3], maps.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(maps.channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified maps."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """Branches over the same input, whose outputs are joined."""

    def __init__(self, inputs: int, branches: Sequence[Branch]) -> None:
        super().__init__()
        self._branches = branches
        self.channels = 0
        for branch in branches:
            channels = inputs
            for fork in (step for step in branch if isinstance(step, Mapping)):
                for name, maps in fork.items():
                    self.add_module(name, Conv(channels, maps))
                channels = sum(maps.channels for maps in fork.values())
            self.channels += channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps of all branches."""
        return torch.cat([self._run(branch, x) for branch in self._branches], 1)

    def _run(self, branch: Branch, x: Tensor) -> Tensor:
        for step in branch:
            x = torch.cat([self.get_submodule(n)(x) for n in step], 1) if isinstance(step, Mapping) else step(x)
        return x


class Inception(nn.Module):
    """The network without its classes, its tensors named as published."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, Maps(32, 3, 3, stride=2))
        self.Conv2d_2a_3x3 = Conv(32, Maps(32, 3, 3), padded=False)
        self.Conv2d_2b_3x3 = Conv(32, Maps(64, 3, 3))
        self.Conv2d_3b_1x1 = Conv(64, Maps(80, 1, 1))
        self.Conv2d_4a_3x3 = Conv(80, Maps(192, 3, 3), padded=False)
        channels = 192
        for name, branches in BLOCKS.items():
            block = Block(channels, branches)
            self.add_module(name, block)
            channels = block.channels

    def forward(self, images: Images) -> Float[Tensor, "b d"]:
        """Return the means of the last maps."""
        x = F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = x.contiguous(memory_format=torch.channels_last)
        x = HALVE(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = HALVE(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        for name in BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


class InceptionFeatures:
    """The network in evaluation mode, its norms folded into its convolutions."""

    def __init__(self, state: State, source: str, device: torch.device) -> None:
        self.fingerprint = fingerprint(state, NAME)
        own = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
        self._net = load_folded(Inception, own, source).to(device)

    @torch.no_grad()
    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Return 2048 numbers an image, float32.

        Images of any size are brought to 299 × 299 by bilinear interpolation without antialiasing, as the distances
        that papers report were.
        """
        with torch.backends.cudnn.flags(allow_tf32=False):  # its ten bits would show in distances
            found = [self._net(part) for part in torch.split(images, AT_ONCE)]
        return checked_vectors(torch.cat(found), images, NAME)


@FEATURES.register(NAME)
def open_inception(path: str, /, *, device: torch.device) -> InceptionFeatures:
    """Open Inception-v3 of 2015, of the Fréchet Inception Distance: 2048 numbers an image.

    Args:
        path: its weights, in the layout of pytorch-fid; else those that were fetched.
        device: where it computes.

    Raises:
        BadFile: not fetched yet, or not these weights.
    """
    file = locate(path or NAME)
    state = read_state(file)
    head = state.get("fc.weight")
    if head is None or len(head) != CLASSES:
        what = "not Inception-v3" if head is None else f"an Inception-v3 of {len(head)} classes"
        raise BadFile(
            f"{file}: {what}; Fréchet Inception Distances are of the one of {CLASSES}: ganatomy models fetch {NAME}"
        )
    return InceptionFeatures(state, str(file), device)
