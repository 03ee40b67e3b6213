"""ResNet of bottlenecks (He et al. 2016) with a stem of three convolutions: the encoder of scene parsing networks."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganatomy.models.segmenters.checkpoint_loading import load_folded, output_channels
from ganatomy.models.weights import State


class Stage(NamedTuple):
    """One of the four stages: how many blocks, the channels of their 3 × 3 convolution, and of their output."""

    blocks: int
    narrow: int
    wide: int


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3, 1 × 1 convolution, added to the input, or to its projection where the shape changes."""

    def __init__(self, inputs: int, stage: Stage, stride: int, dilation: int, *, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, stage.narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stage.narrow)
        self.conv2 = nn.Conv2d(stage.narrow, stage.narrow, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(stage.narrow)
        self.conv3 = nn.Conv2d(stage.narrow, stage.wide, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(stage.wide)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, stage.wide, 1, stride, bias=False), nn.BatchNorm2d(stage.wide))
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
        for i, (inputs, outputs) in enumerate(zip((3, *stem), stem, strict=False), 1):
            self.add_module(f"conv{i}", nn.Conv2d(inputs, outputs, 3, 2 if i == 1 else 1, 1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage_blocks(stem[2], stages[0], 1, (1, 1))
        self.layer2 = _stage_blocks(stages[0].wide, stages[1], 2, (1, 1))
        self.layer3 = _stage_blocks(stages[1].wide, stages[2], *((1, (1, 2)) if dilated else (2, (1, 1))))
        self.layer4 = _stage_blocks(stages[2].wide, stages[3], *((1, (2, 4)) if dilated else (2, (1, 1))))
        self.widths = [stage.wide for stage in stages]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the output of every stage, finest first."""
        for i in (1, 2, 3):
            x = torch.relu_(self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x)))
        x = self.maxpool(x)
        outputs = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            outputs.append(x)
        return outputs


def _stage_blocks(inputs: int, stage: Stage, stride: int, dilations: tuple[int, int]) -> nn.Sequential:
    """Return a stage; its first block has a stride, and a dilation of its own."""
    first, others = dilations
    blocks = [Bottleneck(inputs, stage, stride, first, project=True)]
    blocks += [Bottleneck(stage.wide, stage, 1, others, project=False) for _ in range(1, stage.blocks)]
    return nn.Sequential(*blocks)


def load_resnet(state: State, source: str, *, dilated: bool = False) -> ResNet:
    """Build the encoder of a state dict, with all sizes from its shapes, and load it."""
    expected = "a ResNet of bottlenecks with a stem of three convolutions (conv1, conv2, conv3, layer1 to layer4)"
    stem = output_channels(state, [f"conv{i}.weight" for i in (1, 2, 3)], source, expected)
    stages = []
    for layer in ("layer1.", "layer2.", "layer3.", "layer4."):
        blocks = sum(name.startswith(layer) and name.endswith(".conv1.weight") for name in state)
        ends = [f"{layer}0.conv1.weight", f"{layer}0.conv3.weight"]
        stages.append(Stage(blocks, *output_channels(state, ends, source, expected)))
    return load_folded(lambda: ResNet(stem, stages, dilated=dilated), state, source)
