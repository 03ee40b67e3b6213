"""Scene parsing networks stated again, from a state dict, one line a layer; and small weights and images for them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]

STAGES = ((2, 4, 16), (1, 6, 20), (2, 8, 24), (2, 8, 32))
"""Blocks, narrow and wide channels."""
STEM = (6, 6, 8)
LISTS = {
    "object": ["-", "wall", "sky", "building", "person", "door", "window"],
    "material": ["-", "brick", "wall", "skin"],
    "scene": ["street", "kitchen"],
    "part": ["-", "panel", "cloud", "window", "roof", "door", "head", "hand"],
    "object_part": {
        "wall": ["-", "panel"],  # not read, but it has its channels
        "sky": ["-", "cloud"],
        "building": ["-", "window", "roof", "door"],
        "person": ["-", "head", "hand"],
    },
}
CHANNELS = {"object": 7, "material": 4, "part": 11}


def norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for kind in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{kind}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def block(conv: str, norm_: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{conv}.weight", shape
    yield from norm(norm_, shape[0])


def encoder_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    given = 3
    for i, made in enumerate(STEM, 1):
        yield from block(f"conv{i}", f"bn{i}", made, given, 3, 3)
        given = made
    for i, (blocks, narrow, wide) in enumerate(STAGES, 1):
        for j in range(blocks):
            at = f"layer{i}.{j}"
            yield from block(f"{at}.conv1", f"{at}.bn1", narrow, given, 1, 1)
            yield from block(f"{at}.conv2", f"{at}.bn2", narrow, narrow, 3, 3)
            yield from block(f"{at}.conv3", f"{at}.bn3", wide, narrow, 1, 1)
            if j == 0:
                yield from block(f"{at}.downsample.0", f"{at}.downsample.1", wide, given, 1, 1)
            given = wide


def upernet_shapes(pooled: int = 6, wide: int = 10) -> Iterator[tuple[str, tuple[int, ...]]]:
    *finer, coarsest = (stage[2] for stage in STAGES)
    for i in range(4):
        yield from block(f"ppm_conv.{i}.0", f"ppm_conv.{i}.1", pooled, coarsest, 1, 1)
    yield from block("ppm_last_conv.0", "ppm_last_conv.1", wide, coarsest + 4 * pooled, 3, 3)
    for i, width in enumerate(finer):
        yield from block(f"fpn_in.{i}.0", f"fpn_in.{i}.1", wide, width, 1, 1)
        yield from block(f"fpn_out.{i}.0.0", f"fpn_out.{i}.0.1", wide, wide, 3, 3)
    yield from block("conv_fusion.0", "conv_fusion.1", wide, 4 * wide, 3, 3)
    for head, channels in (CHANNELS | {"scene": 2}).items():
        yield from block(f"{head}_head.0.0", f"{head}_head.0.1", wide, wide, 3, 3)
        last = 2 if head == "scene" else 1
        yield from ((f"{head}_head.{last}.weight", (channels, wide, 1, 1)), (f"{head}_head.{last}.bias", (channels,)))


def ppm_shapes(classes: int = 150, pooled: int = 6, wide: int = 10) -> Iterator[tuple[str, tuple[int, ...]]]:
    before, coarsest = STAGES[2][2], STAGES[3][2]
    for i in range(4):
        yield from block(f"ppm.{i}.1", f"ppm.{i}.2", pooled, coarsest, 1, 1)
    yield from block("conv_last.0", "conv_last.1", wide, coarsest + 4 * pooled, 3, 3)
    yield from (("conv_last.4.weight", (classes, wide, 1, 1)), ("conv_last.4.bias", (classes,)))
    yield from block("cbr_deepsup.0", "cbr_deepsup.1", 8, before, 3, 3)
    yield from (("conv_last_deepsup.weight", (classes, 8, 1, 1)), ("conv_last_deepsup.bias", (classes,)))


def weights(shapes: Iterator[tuple[str, tuple[int, ...]]], seed: int = 0) -> State:
    """Random weights through which images stay images: labels vary, and no probability is near 0 or 1."""
    source = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes:
        r = torch.randn(shape, generator=source)
        if len(shape) == 4:
            state[name] = r * math.sqrt(1.4 / math.prod(shape[1:]))
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith(("running_var", "weight")):
            state[name] = r.abs() * 0.3 + 0.7
        else:
            state[name] = r * 0.1
    return state


def write(directory: Path, kind: str, epoch: int, decoder: State, lists: object = None) -> Path:
    """A directory as it would be fetched."""
    directory.mkdir(exist_ok=True)
    encoder = weights(encoder_shapes())
    if kind == "unified":
        encoder["conv1.weight"] /= 60  # its images reach from 0 to 255
    torch.save(encoder, directory / f"encoder_epoch_{epoch}.pth")
    torch.save(decoder, directory / f"decoder_epoch_{epoch}.pth")
    if lists is not None:
        (directory / "labels.json").write_text(json.dumps(lists))
    return directory


def unified(directory: Path, objects: Sequence[str] = LISTS["object"]) -> Path:
    decoder = weights(upernet_shapes(), seed=145)  # with it each owner and each of its parts is seen
    for head in CHANNELS:
        decoder[f"{head}_head.1.weight"] *= 8
    return write(directory, "unified", 40, decoder, LISTS | {"object": list(objects)})


def ade20k(directory: Path, names: Sequence[str] = ()) -> Path:
    decoder = weights(ppm_shapes(len(names) or 150), seed=2)
    decoder["conv_last.4.weight"] *= 8
    return write(directory, "ade20k", 20, decoder, names or None)


def images(height: int = 64, width: int = 64, count: int = 2) -> Tensor:
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(-1, 1)


class Plain:
    """A state dict as functions, in float64."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def conv(self, x: Tensor, name: str, norm: str = "", **how: int) -> Tensor:
        """A convolution, then its norm if it has one."""
        weight = self.state[f"{name}.weight"]
        x = F.conv2d(x, weight, self.state.get(f"{name}.bias"), **{"padding": weight.shape[2] // 2, **how})
        if not norm:
            return x
        mean, var, gain, bias = (
            self.state[f"{norm}.{kind}"].view(-1, 1, 1) for kind in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * gain + bias

    def both(self, x: Tensor, name: str, first: int = 0) -> Tensor:
        return self.conv(x, f"{name}.{first}", f"{name}.{first + 1}").relu()

    def encoder(self, x: Tensor, *, dilated: bool) -> list[Tensor]:
        for i in (1, 2, 3):
            x = self.conv(x, f"conv{i}", f"bn{i}", stride=2 if i == 1 else 1).relu()
        x = F.max_pool2d(x, 3, 2, 1)
        stages = []
        for i, (blocks, _, _) in enumerate(STAGES, 1):
            for j in range(blocks):
                at = f"layer{i}.{j}."
                stride = 2 if i > 1 and j == 0 and not (dilated and i > 2) else 1
                reach = {3: 1 if j == 0 else 2, 4: 2 if j == 0 else 4}.get(i, 1) if dilated else 1
                r = self.conv(x, at + "conv1", at + "bn1").relu()
                r = self.conv(r, at + "conv2", at + "bn2", stride=stride, padding=reach, dilation=reach).relu()
                r = self.conv(r, at + "conv3", at + "bn3")
                x = (
                    r + (self.conv(x, at + "downsample.0", at + "downsample.1", stride=stride) if j == 0 else x)
                ).relu()
            stages.append(x)
        return stages

    def upernet(self, stages: list[Tensor]) -> dict[str, Tensor]:
        x = stages[3]
        size = x.shape[2:]
        pooled = [up(means(x, bins), size) for bins in (1, 2, 3, 6)]
        joined = [x, *(self.both(each, f"ppm_conv.{i}") for i, each in enumerate(pooled))]
        top = self.both(torch.cat(joined, 1), "ppm_last_conv")
        levels = [top]
        for i in (2, 1, 0):
            side = self.both(stages[i], f"fpn_in.{i}")
            top = side + up(top, side.shape[2:])
            levels.insert(0, self.both(top, f"fpn_out.{i}.0"))
        fused = self.both(torch.cat([up(level, levels[0].shape[2:]) for level in levels], 1), "conv_fusion")
        inputs = {"object": fused, "part": fused, "material": levels[0]}
        return {head: self.conv(self.both(x, f"{head}_head.0"), f"{head}_head.1") for head, x in inputs.items()}

    def ppm(self, stages: list[Tensor]) -> Tensor:
        x = stages[3]
        pooled = [self.both(F.adaptive_avg_pool2d(x, bins), f"ppm.{i}", 1) for i, bins in enumerate((1, 2, 3, 6))]
        joined = torch.cat([x, *(up(each, x.shape[2:]) for each in pooled)], 1)
        return self.conv(self.both(joined, "conv_last"), "conv_last.4")


def up(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def means(x: Tensor, bins: int) -> Tensor:
    """Precise RoI pooling by summing over many points of each bin."""
    across, down = (torch.from_numpy(hats(n, bins)) for n in (x.shape[3], x.shape[2]))
    return torch.einsum("iy,jx,bcyx->bcij", down, across, x)


def hats(given: int, bins: int, points: int = 6000) -> np.ndarray:
    t = (np.arange(bins * points) + 0.5) / points * given / bins
    return np.maximum(0, 1 - abs(t[:, None] - np.arange(given))).reshape(bins, points, given).mean(1)
