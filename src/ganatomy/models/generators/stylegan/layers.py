"""Layers of both StyleGAN2 and 3: dense layers, the mapping network, convolutions modulated by a style."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.errors import BadFile
from ganatomy.core.tensor_types import Features
from ganatomy.models.generators.stylegan.part import DEEPEST, Part

Maps = Float[Tensor, "b out H W"]
Style = Float[Tensor, "b in 1 1"]
Convolve = Callable[[Tensor, Tensor], Tensor]

Padding = tuple[int, int, int, int]
"""Left, right, top, bottom; negative where the map is cut."""


class Dense(nn.Module):
    """A dense layer with equalised learning rate; its gains are multiplied into its weights once."""

    def __init__(self, part: Part, units: int | None, inputs: int | None, activation: str = "linear") -> None:
        super().__init__()
        part.choice("activation", (activation,))
        self.weight = constant(part.tensor("weight", units, inputs) * part.number("weight_gain"))
        self.units, self.inputs = self.weight.shape
        self.bias = constant(part.tensor("bias", self.units) * part.number("bias_gain"))
        self.activation = activation

    def forward(self, x: Float[Tensor, "b in"]) -> Float[Tensor, "b out"]:
        """Return the layer's units."""
        x = F.linear(x, self.weight, self.bias)
        return x if self.activation == "linear" else F.leaky_relu(x, 0.2) * math.sqrt(2)


class Mapping(nn.Module):
    """The mapping network: latents, and the code of a class, to w (Karras et al. 2019, 2020)."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.embed = Dense(part.part("embed"), None, None) if part.has("embed") else None
        self.classes = self.embed.inputs if self.embed else 0
        layers: list[Dense] = []
        while part.has(f"fc{len(layers)}") and len(layers) < DEEPEST:
            inputs = layers[-1].units if layers else None
            layers.append(Dense(part.part(f"fc{len(layers)}"), None, inputs, "lrelu"))
        if not layers:
            raise BadFile(f"{part.source}: lacks {part.path}.fc0")
        self.layers = nn.Sequential(*layers)
        self.size = layers[0].inputs - (self.embed.units if self.embed else 0)
        if self.size < 1:
            raise BadFile(f"{part.source}: {part.path} takes no latent, only a class")
        self.w = layers[-1].units
        self.mean = constant(part.tensor("w_avg", self.w)) if part.has("w_avg") else None

    def forward(self, z: Float[Tensor, "b latent"]) -> Float[Tensor, "b d"]:
        """Return w for latents, each with the code of its class behind it."""
        x = unit_length(z[:, : self.size])
        if self.embed is not None:
            x = torch.cat([x, unit_length(self.embed(z[:, self.size :]))], 1)
        w: Tensor = self.layers(x)
        return w


class ModulatedConv(nn.Module):
    """A convolution of maps scaled by a style, whose output is then, if `demodulate`, scaled to unit variance; a bias.

    Convolutions are in the number format of `weight`; styles and scales are float32. The weights of an output channel
    are scaled to length 1, and a style to a greatest entry of 1, so that half precision does not overflow; the scale
    after the convolution makes up for both.
    """

    def __init__(self, part: Part, inputs: int, w: int, *, demodulate: bool = True, gain: float = 1.0) -> None:
        super().__init__()
        weight = part.tensor("weight", None, inputs, None, None)
        self.units, self.inputs, self.kernel, width = weight.shape
        if self.kernel not in (1, 3) or width != self.kernel:
            raise BadFile(f"{part.source}: {part.path}.weight is {self.kernel} × {width}; it must be 1 × 1 or 3 × 3")
        self.affine = Dense(part.part("affine"), inputs, w)
        self.bias = constant(part.tensor("bias", self.units))
        self.gain = gain
        length = weight.flatten(1).norm(dim=1).clamp(min=1e-12)
        weight = weight / length[:, None, None, None]
        self.weight = constant(weight.contiguous(memory_format=torch.channels_last))
        self.length = constant(length)
        self.energy = constant(weight.square().sum((2, 3)).T) if demodulate else None
        magnitude = part.tensor("magnitude_ema") if part.has("magnitude_ema") else torch.ones([])  # StyleGAN3 only
        self.magnitude = constant(magnitude.clamp(min=1e-12).rsqrt())

    def style(self, w: Float[Tensor, "b d"]) -> Style:
        """Return the style: the scale of each input channel."""
        style: Tensor = self.affine(w) * self.gain
        return style[:, :, None, None]

    def forward(self, x: Float[Tensor, "b in h w"], style: Style, convolve: Convolve, gain: float = 1.0) -> Maps:
        """Return the units, times a gain, before noise and activation; `convolve` takes maps and weights."""
        most = style.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        style = style / most
        loss = self.length * most[:, :, 0, 0]
        scale = loss
        if self.energy is not None:
            scale = (style[:, :, 0, 0].square() @ self.energy + 1e-8 / loss.square()).rsqrt()
        x = convolve(x.to(self.weight.dtype) * style.to(self.weight.dtype), self.weight)
        scale, bias = (scale * self.magnitude * gain)[:, :, None, None], (self.bias * gain)[:, None, None]
        units: Maps = torch.addcmul(bias.to(x.dtype), x, scale.to(x.dtype))
        return units


class ToRGB(nn.Module):
    """Modulated 1 × 1 convolution to colours."""

    def __init__(self, part: Part, inputs: int, w: int, gain: float) -> None:
        super().__init__()
        self.conv = ModulatedConv(part, inputs, w, demodulate=False, gain=gain)
        self.clamp = part.clamp()
        if self.conv.units not in (1, 3) or self.conv.kernel != 1:
            raise BadFile(f"{part.source}: {part.path} draws {self.conv.units} channels; images have 3, or 1 in grey")

    def forward(self, x: Features, style: Style) -> Maps:
        """Return the colours, in float32."""
        colours: Maps = self.conv(x, style, F.conv2d)
        return colours.float().clamp(-self.clamp, self.clamp)


def unit_length(x: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Scale each row to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def constant(value: Tensor) -> Tensor:
    """Return a tensor as a weight without gradient."""
    return nn.Parameter(value, requires_grad=False)


def activated(x: Features, clamp: float) -> Features:
    """Return leaky ReLU, cut to ±`clamp`."""
    x = F.leaky_relu(x, 0.2)
    return x.clamp(-clamp, clamp) if clamp < math.inf else x


def smooth(x: Features, taps: Tensor, padding: Padding, *, up: int = 1, down: int = 1) -> Float[Tensor, "b u H W"]:
    """Filter each map: put zeros between its places (`up`), pad, convolve with the taps, keep every `down`-th place.

    `taps` are [k] for rows and columns alike, or [k, l], with their gain; `padding` is that of the map with the zeros.
    Of `up` and `down`, one must be 1.
    """
    if taps.ndim == 1:
        x = smooth(x, taps[None], (*padding[:2], 0, 0), up=up, down=down)
        return smooth(x, taps[:, None], (0, 0, *padding[2:]), up=up, down=down)
    units, (height, width) = x.shape[1], taps.shape
    kernel = taps.to(x.dtype).expand(units, 1, -1, -1)
    x = x.contiguous(memory_format=torch.channels_last)  # two to six times as fast on a CPU
    rate = tuple(max(up, down) if size > 1 else 1 for size in (height, width))
    left, right, top, bottom = padding
    if up == 1:
        return F.conv2d(F.pad(x, padding), kernel.flip(2, 3), stride=rate, groups=units)
    x = F.conv_transpose2d(x, kernel, stride=rate, groups=units)
    # The transposed convolution is that of the map padded by size - 1, and without zeros behind its last place.
    more = (left - width + 1, right - width + rate[1], top - height + 1, bottom - height + rate[0])
    return F.pad(x, more)
