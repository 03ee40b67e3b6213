"""The synthesis network of StyleGAN2 and StyleGAN2-ADA (Karras et al. 2020), in plain torch."""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.errors import BadFile
from ganatomy.core.tensor_types import Features
from ganatomy.models.generators.protocol import LayerShape, Visit
from ganatomy.models.generators.stylegan.layers import Maps, ModulatedConv, Style, ToRGB, activated, constant, smooth
from ganatomy.models.generators.stylegan.part import LARGEST, Part

Styles = Float[Tensor, "b n d"]


class Upsample2x(nn.Module):
    """Upsampling by 2: zeros between the places, and a filter whose gain makes up for them."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.taps = constant(part.taps("resample_filter", gain=2))

    def forward(self, x: Features) -> Float[Tensor, "b u H W"]:
        """Return maps of twice the size."""
        size = len(self.taps)
        before, behind = (size + 1) // 2, (size - 2) // 2
        return smooth(x, self.taps, (before, behind, before, behind), up=2)

    def convolve(self, x: Float[Tensor, "b in h w"], weight: Float[Tensor, "out in k k"]) -> Maps:
        """Return maps of twice the size after a convolution, without multiplications by the zeros."""
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        size, around = len(self.taps), weight.shape[-1] // 2  # it has padded by 2 around - 1
        before, behind = (size + 1) // 2 - around, (size - 2) // 2 - around + 1
        return smooth(x, self.taps, (before, behind, before, behind))


class Layer(nn.Module):
    """Modulated convolution, of the upsampled map where it upsamples; noise; bias and leaky ReLU."""

    def __init__(self, part: Part, inputs: int, w: int, side: int) -> None:
        super().__init__()
        part.choice("activation", ("lrelu",))
        self.conv = ModulatedConv(part, inputs, w)
        doubling = Upsample2x(part)  # kept with layers that do not double, too
        self.doubling = doubling if part.choice("up", (1, 2)) == 2 else None
        self.gain, self.clamp = part.number("act_gain"), part.clamp()
        self.noise: Tensor | None = None
        if part.choice("use_noise", (True, False)):
            self.noise = constant(part.tensor("noise_const", side, side) * part.tensor("noise_strength"))

    def forward(self, x: Features, style: Style, gain: float) -> Maps:
        """Return the layer's units, times a gain."""
        x = self.conv(x, style, self.doubling.convolve if self.doubling else self._convolve, self.gain * gain)
        if self.noise is not None:
            x = x + (self.noise * self.gain * gain).to(x.dtype)
        return activated(x, self.clamp * gain)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


class Skip(nn.Module):
    """The skip of a residual block: its input, convolved 1 × 1 and upsampled."""

    def __init__(self, part: Part, inputs: int, units: int) -> None:
        super().__init__()
        self.weight = constant(part.tensor("weight", units, inputs, 1, 1) * part.number("weight_gain"))
        self.doubling = Upsample2x(part)
        self.clamp = part.clamp()

    def forward(self, x: Features, gain: float) -> Maps:
        """Return the skip, times a gain."""
        x = self.doubling(F.conv2d(x.to(self.weight.dtype), self.weight)) * gain
        return x.clamp(-self.clamp * gain, self.clamp * gain)


class Block(nn.Module):
    """The layers of one resolution: ``conv0``, which upsamples, and ``conv1``; the first block has ``conv1`` only."""

    def __init__(self, part: Part, inputs: int, w: int, side: int) -> None:
        super().__init__()
        self.name, self.architecture = f"b{side}", part.choice("architecture", ("skip", "resnet", "orig"))
        self.layers: dict[str, Layer] = {}
        units, doubles = inputs, side > 4
        for name in ("conv0", "conv1") if doubles else ("conv1",):
            self.layers[name] = layer = Layer(part.part(name), units, w, side)
            units = layer.conv.units
            if (layer.doubling is not None) != (name == "conv0"):
                raise BadFile(f"{part.source}: {part.path}.conv0 must double the map, and conv1 must not")
        self.units, self._held = units, nn.ModuleList(self.layers.values())
        self.skip = Skip(part.part("skip"), inputs, units) if doubles and self.architecture == "resnet" else None
        self.torgb: ToRGB | None = None
        if part.has("torgb"):
            torgb = part.part("torgb")
            self.torgb = ToRGB(torgb, units, w, torgb.number("weight_gain"))
        self.doubling = Upsample2x(part)

    def forward(self, x: Features, ws: Styles, visit: Visit, start: str | None) -> Maps:
        """Return the output of the block; layers before `start` are not computed, and its output is that of `visit`."""
        gain = 1.0 if self.skip is None else math.sqrt(0.5)
        skip = None if self.skip is None else self.skip(x, gain)
        for i, (short, layer) in enumerate(self.layers.items()):
            name = f"{self.name}.{short}"
            if start is None:
                style = visit(f"style.{name}", layer.conv.style(ws[:, i]))
                x = visit(name, layer(x, style, gain if short == "conv1" else 1.0))
            elif name == start:
                x, start = visit(name, x), None
        return x if skip is None else skip + x.to(skip.dtype)

    def draw(self, x: Features, w: Float[Tensor, "b d"], image: Tensor | None, visit: Visit) -> Tensor | None:
        """Return the image with the colours of this block added."""
        if image is not None:
            image = self.doubling(image)
        if self.torgb is None:
            return image
        colours: Tensor = self.torgb(x, visit(f"style.{self.name}.torgb", self.torgb.conv.style(w)))
        return colours if image is None else image + colours


class Synthesis2(nn.Module):
    """The synthesis network, w to images.

    Attributes:
        layers: shape of every layer, in forward order.
        styles: channels of each style.
        margins: places of each layer beyond the image, on every side of it; none.
        count: number of w.
    """

    def __init__(self, part: Part, w: int) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self.layers: dict[str, LayerShape] = {}
        self.styles: dict[str, int] = {}
        self.margins: dict[str, int] = {}
        self.start = constant(part.part("b4").tensor("const", None, 4, 4))
        units, side = len(self.start), 4
        while part.has(f"b{side}") and side <= LARGEST:
            block = Block(part.part(f"b{side}"), units, w, side)
            self.blocks.append(block)
            for name, layer in block.layers.items():
                self.layers[f"b{side}.{name}"] = LayerShape(layer.conv.units, side, side)
                self.styles[f"style.b{side}.{name}"] = layer.conv.inputs
            if block.torgb is not None:
                self.styles[f"style.b{side}.torgb"] = block.torgb.conv.inputs
            units, side = block.units, 2 * side
        drawn = [block.torgb is not None for block in self.blocks]
        skips = {block.architecture == "skip" for block in self.blocks}
        if not drawn[-1] or len(skips) != 1 or {*drawn[:-1]} - skips:
            raise BadFile(f"{part.source}: {part.path} has torgb in other blocks than its architecture has")
        self._held = nn.ModuleList(self.blocks)
        self.count = len(self.layers) + 1
        self.side = side // 2

    def forward(self, ws: Styles, visit: Visit, start: str | None = None) -> Features:
        """Return the images, in colour or grey; the output of layer `start` is that of `visit` and not computed."""
        x, image, used = self.start.expand(len(ws), -1, -1, -1), None, 0
        for block in self.blocks:
            here = start in self.layers and str(start).startswith(f"{block.name}.")
            if start is None or here or block.architecture != "orig":  # else nothing later needs the block
                x = block(x, ws[:, used:], visit, start if here else None)
            used += len(block.layers)
            image = block.draw(x, ws[:, used], image, visit)
            start = None if here else start
        assert image is not None
        return image
