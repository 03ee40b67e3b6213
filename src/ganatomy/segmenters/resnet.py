"""ResNet of bottlenecks (He et al. 2016) with a stem of three convolutions: the encoder of scene parsing networks."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganatomy.errors import BadFile
from ganatomy.segmenters.published import load_folded, outputs
from ganatomy.weights import State


class Stage(NamedTuple):
    """One of the four stages: how many blocks, the channels of their 3 × 3 convolution, and of their output."""

    blocks: int
    narrow: int
    wide: int


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3, 1 × 1 convolution, added to the input, or to its projection where the shape changes."""

    def __init__(self, given: int, stage: Stage, stride: int, dilation: int, *, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, stage.narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stage.narrow)
        self.conv2 = nn.Conv2d(stage.narrow, stage.narrow, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(stage.narrow)
        self.conv3 = nn.Conv2d(stage.narrow, stage.wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(stage.wide)
        self.downsample = (
            nn.Sequential(nn.Conv2d(given, stage.wide, 1, stride, bias=False), nn.BatchNorm2d(stage.wide))
            if project
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        r = torch.relu_(self.bn1(self.conv1(x)))
        r = torch.relu_(self.bn2(self.conv2(r)))
        return torch.relu_(self.bn3(self.conv3(r)) + self.downsample(x))


class ResNet(nn.Module):
    """The encoder, under the published names; it returns the outputs of its four stages, at 1/4, 1/8, 1/16, 1/32.

    Dilated, the last two stages keep the resolution of the second, 1/8: where they would halve it, the
    convolutions that follow reach twice as far instead (Yu & Koltun 2016).
    """

    def __init__(self, stem: Sequence[int], stages: Sequence[Stage], *, dilated: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem[0], 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem[0])
        self.conv2 = nn.Conv2d(stem[0], stem[1], 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem[1])
        self.conv3 = nn.Conv2d(stem[1], stem[2], 3, 1, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(stem[2])
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _layer(stem[2], stages[0], 1, (1, 1))
        self.layer2 = _layer(stages[0].wide, stages[1], 2, (1, 1))
        self.layer3 = _layer(stages[1].wide, stages[2], *((1, (1, 2)) if dilated else (2, (1, 1))))
        self.layer4 = _layer(stages[2].wide, stages[3], *((1, (2, 4)) if dilated else (2, (1, 1))))
        self.widths = [stage.wide for stage in stages]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the output of every stage, finest first."""
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = torch.relu_(self.bn2(self.conv2(x)))
        x = self.maxpool(torch.relu_(self.bn3(self.conv3(x))))
        found = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            found.append(x)
        return found


def _layer(given: int, stage: Stage, stride: int, dilations: tuple[int, int]) -> nn.Sequential:
    """Return a stage; its first block has a stride, and a dilation of its own."""
    first, others = dilations
    blocks = [Bottleneck(given, stage, stride, first, project=True)]
    blocks += [Bottleneck(stage.wide, stage, 1, others, project=False) for _ in range(1, stage.blocks)]
    return nn.Sequential(*blocks)


def load_resnet(state: State, source: str, *, dilated: bool = False) -> ResNet:
    """Build the encoder that a state dict is of, with all sizes read off its shapes, and load it.

    Raises:
        BadFile: it is of no such network, or not whole; names the source and a tensor.
    """
    try:
        stem = [outputs(state, f"conv{i}.weight") for i in (1, 2, 3)]
        stages = [_stage(state, f"layer{i}.") for i in (1, 2, 3, 4)]
    except KeyError as error:
        known = "a ResNet of bottlenecks with a stem of three convolutions (conv1, conv2, conv3, layer1 to layer4)"
        raise BadFile(f"{source}: lacks tensor {error.args[0]}; it should hold {known}") from error
    return load_folded(lambda: ResNet(stem, stages, dilated=dilated), state, source)


def _stage(state: State, prefix: str) -> Stage:
    blocks = sum(name.startswith(prefix) and name.endswith(".conv1.weight") for name in state)
    return Stage(blocks, outputs(state, f"{prefix}0.conv1.weight"), outputs(state, f"{prefix}0.conv3.weight"))
