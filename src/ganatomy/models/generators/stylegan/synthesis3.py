"""The synthesis network of StyleGAN3, T and R (Karras et al. 2021), in plain torch."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.errors import BadFile
from ganatomy.core.tensor_types import Features
from ganatomy.models.generators.protocol import LayerShape, Visit
from ganatomy.models.generators.stylegan.layers import (
    Dense,
    Maps,
    ModulatedConv,
    Style,
    ToRGB,
    activated,
    constant,
    smooth,
)
from ganatomy.models.generators.stylegan.part import DEEPEST, LARGEST, Part


class FourierFeatures(nn.Module):
    """The input: waves of fixed frequencies, rotated and moved by w, then mixed."""

    def __init__(self, part: Part, w: int) -> None:
        super().__init__()
        self.affine = Dense(part.part("affine"), 4, w)
        self.freqs = constant(part.tensor("freqs", None, 2))
        count = len(self.freqs)
        self.phases = constant(part.tensor("phases", count))
        self.weight = constant(part.tensor("weight", None, count) / math.sqrt(count))
        self.placed = constant(part.tensor("transform", 3, 3))
        self.units = len(self.weight)
        self.side, height = part.sizes("size", 2, 1, 1024)
        if self.side != height:
            raise BadFile(f"{part.source}: {part.path} is not square")
        self.rate, self.band = part.number("sampling_rate", 1e-3), part.number("bandwidth")

    def forward(self, w: Float[Tensor, "b d"]) -> Features:
        """Return the first map."""
        turn = self.affine(w)
        cos, sin, right, down = (turn / turn[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        rotation = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
        moved = -(rotation @ torch.stack([right, down], 1)[:, :, None])
        # Three maps of the plane: that of the user, the translation, the rotation.
        phases = self.phases + (self.freqs @ (rotation @ self.placed[:2, 2:] + moved))[:, :, 0]
        freqs = self.freqs @ rotation @ self.placed[:2, :2]
        loud = (1 - (freqs.norm(dim=2) - self.band) / (self.rate / 2 - self.band)).clamp(0, 1)
        places = (torch.arange(self.side, device=w.device) + 0.5 - self.side / 2) / self.rate
        x = freqs[:, :, :1, None] * places + freqs[:, :, 1:, None] * places[:, None]
        x = torch.sin((x + phases[:, :, None, None]) * (2 * math.pi)) * loud[:, :, None, None]
        return torch.einsum("bfhw,uf->buhw", x, self.weight)


class Layer(nn.Module):
    """Modulated convolution, then leaky ReLU on a finer grid, between two low-pass filters."""

    def __init__(self, part: Part, inputs: int, w: int, side: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(part, inputs, w)
        self.up, self.down = part.whole("up_factor", 1, 8), part.whole("down_factor", 1, 8)
        self.finer, self.back = constant(part.taps("up_filter", self.up)), constant(part.taps("down_filter"))
        left, right, top, bottom = part.sizes("padding", 4, -LARGEST)
        self.padding, self.clamp = (left, right, top, bottom), part.clamp()
        fine = (side + self.conv.kernel - 1) * self.up + left + right + 1 - len(self.finer)
        self.side = (fine - len(self.back)) // self.down + 1
        if (left, right) != (top, bottom) or len(self.finer) < self.up or not 0 < self.side <= fine <= 4 * LARGEST:
            raise BadFile(f"{part.source}: the sizes of {part.path} do not fit together")

    def forward(self, x: Features, style: Style) -> Maps:
        """Return the layer's units."""
        x = self.conv(x, style, _convolve, math.sqrt(2))
        x = activated(smooth(x, self.finer, self.padding, up=self.up), self.clamp)
        return smooth(x, self.back, (0, 0, 0, 0), down=self.down)


class Synthesis3(nn.Module):
    """The synthesis network, w to images; its attributes are those of `Synthesis2`."""

    def __init__(self, part: Part, w: int) -> None:
        super().__init__()
        self.input = FourierFeatures(part.part("input"), w)
        *names, last = [name for name in part.names() if name != "input"] or [""]
        if len(names) > DEEPEST:
            raise BadFile(f"{part.source}: {part.path} has {len(names)} layers; {DEEPEST} are the most")
        self.steps: dict[str, Layer] = {}
        self.layers: dict[str, LayerShape] = {}
        self.styles: dict[str, int] = {}
        self.margins: dict[str, int] = {}
        units, side = self.input.units, self.input.side
        for name in names:
            layer = Layer(part.part(name), units, w, side)
            self.steps[name], self.styles[f"style.{name}"] = layer, units
            units, side = layer.conv.units, layer.side
            self.layers[name] = LayerShape(units, side, side)
            self.margins[name] = max(0, (side - part.part(name).whole("out_sampling_rate", 1)) // 2)
        torgb = part.part(last)
        self.torgb = ToRGB(torgb, units, w, 1 / math.sqrt(units))
        if [torgb.whole("up_factor"), torgb.whole("down_factor"), *torgb.sizes("padding", 4, -LARGEST)] != [
            1,
            1,
        ] + 4 * [0]:
            raise BadFile(f"{part.source}: {torgb.path} is not a 1 × 1 convolution to 3 colours, or to grey")
        self.layers[last] = LayerShape(self.torgb.conv.units, side, side)
        self.styles[f"style.{last}"], self._last = units, last
        self._held = nn.ModuleList(self.steps.values())
        self.scale = part.number("output_scale")
        self.count, self.side = len(names) + 2, side

    def forward(self, ws: Float[Tensor, "b n d"], visit: Visit, start: str | None = None) -> Features:
        """Return the images, in colour or grey; from layer `start` on, whose output is that of `visit`."""
        x = self.input(ws[:, 0]) if start is None else ws[:, :, None, None]  # unused after a start
        for i, (name, layer) in enumerate(self.steps.items(), 1):
            if start is None:
                x = visit(name, layer(x, visit(f"style.{name}", layer.conv.style(ws[:, i]))))
            elif name == start:
                x, start = visit(name, x), None
        if start is None:
            x = self.torgb(x, visit(f"style.{self._last}", self.torgb.conv.style(ws[:, -1])))
        return visit(self._last, x) * self.scale


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=weight.shape[-1] - 1)
