"""Progressive GAN (Karras et al. 2018), the paper's generator, from every layout of its checkpoints.

=============  =====================================================================
current        ``layer3.conv.weight`` [out, in, k, k], ``layer3.wscale.b`` [out], ``output_64x64.conv.weight``, …
wrapped        the same under ``state_dict``
old            ``features.2.conv.weight``, …, ``output.conv.weight``, …
TensorFlow     ``8x8/Conv0_up/weight`` [k, k, out, in], ``4x4/Dense/weight`` [in, out · 16], ``ToRGB_lod0/bias``, …
=============  =====================================================================
"""

import itertools
import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.protocol import LayerShape, StepwiseGenerator, Visit
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import State, fit_state, locate, read_state


class Bias(nn.Module):
    """A bias under its published name, ``b``."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(units))


class NormConv(nn.Module):
    """PixelNorm, convolution with equalised learning rate, leaky ReLU: one layer (SPEC 9).

    Weights have unit variance and are scaled by gain / √inputs when used, gain = √2 / kernel. In any number format the
    norm and the kernel are computed in float32: the norm's ε is zero in half precision.
    """

    def __init__(
        self, inputs: int, units: int, kernel: int = 3, padding: int = 1, *, up: bool = False, pixelnorm: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, units, kernel, bias=False)
        nn.init.normal_(self.conv.weight)
        self.wscale = Bias(units)
        self.scale = math.sqrt(2 / inputs) / kernel
        self.padding, self.up, self.pixelnorm = padding, up, pixelnorm
        self._frozen: Tensor | None = None

    def forward(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out H W"]:
        """Return the layer's units."""
        return F.leaky_relu(self.linear(x), 0.2, inplace=True)

    def freeze(self) -> None:
        """Keep the kernel that is computed from the weights at every call: these change no more."""
        self._frozen = self._kernel(self.conv.weight.dtype)

    def linear(self, x: Float[Tensor, "b in h w"]) -> Float[Tensor, "b out H W"]:
        """Return the layer's units before the leaky ReLU."""
        if self.pixelnorm:
            x = x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-8).to(x.dtype)
        kernel = self._kernel(x.dtype) if self._frozen is None else self._frozen
        if self.up:
            return F.conv_transpose2d(x, kernel, self.wscale.b, stride=2, padding=1)
        return F.conv2d(x, kernel, self.wscale.b, padding=self.padding)

    def _kernel(self, dtype: torch.dtype) -> Tensor:
        """Return what `linear` convolves with."""
        weight = self.conv.weight.float() * self.scale
        if self.up:  # nearest-neighbour doubling and then the convolution, as one transposed one with half the work
            weight = overlapped(weight.flip(2, 3).transpose(0, 1))
        return weight.to(dtype)


def overlapped(w: Float[Tensor, "i o 3 3"]) -> Float[Tensor, "i o 4 4"]:
    """Return the sum of a kernel at four places, one pixel apart."""
    w = F.pad(w, [1, 1, 1, 1])
    return w[..., 1:, 1:] + w[..., 1:, :-1] + w[..., :-1, 1:] + w[..., :-1, :-1]


class ToRGB(NormConv):
    """The output: PixelNorm and a 1×1 convolution of gain 1, without ReLU."""

    def __init__(self, inputs: int, *, pixelnorm: bool = True) -> None:
        super().__init__(inputs, 3, kernel=1, padding=0, pixelnorm=pixelnorm)
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Float[Tensor, "b in h w"]) -> Images:
        """Return the image."""
        return self.linear(x)


def hidden_layers(latent: int, widths: Sequence[int], *, pixelnorm: bool = True) -> list[NormConv]:
    """Return the layers before the output: two per resolution from 4 × 4 on, `widths` their units."""
    layers = [NormConv(latent, widths[0], kernel=4, padding=3, pixelnorm=pixelnorm)]
    for i, (inputs, units) in enumerate(itertools.pairwise(widths)):
        layers.append(NormConv(inputs, units, up=i % 2 == 1, pixelnorm=pixelnorm))
    return layers


def progan_network(latent: int, widths: Sequence[int], *, pixelnorm: bool = True) -> nn.Sequential:
    """Return the network [b, latent, 1, 1] → [b, 3, R, R], its state dict in the published layout."""
    side = resolution(len(widths))
    named: OrderedDict[str, nn.Module] = OrderedDict()
    for i, layer in enumerate(hidden_layers(latent, widths, pixelnorm=pixelnorm)):
        named[f"layer{i + 1}"] = layer
    named[f"output_{side}x{side}"] = ToRGB(widths[-1], pixelnorm=pixelnorm)
    return nn.Sequential(named)


def resolution(layers: int) -> int:
    """Return the side of the images of a network with that many layers before its output."""
    return int(4 << ((layers - 1) // 2))


class ProGAN(StepwiseGenerator):
    """A Progressive GAN with layers ``layer1``, ``layer2``, … (a unit is a channel after the ReLU).

    It computes in `dtype`; images and features are float32 whatever that is.

    Attributes:
        network: the module, its state dict in the published layout.

    >>> generator = ProGAN(progan_network(8, [8, 8, 4, 4]))
    >>> generator.layers["layer3"]
    LayerShape(units=4, height=8, width=8)
    >>> z = generator.latents(range(2), seed=0)
    >>> seen = generator.observe(z, ["layer2"])
    >>> seen.images.shape
    torch.Size([2, 3, 8, 8])
    >>> bool((generator.render(seen.features["layer2"], "layer2", z) == seen.images).all())
    True
    """

    def __init__(self, network: nn.Sequential, device: torch.device | None = None, dtype: str = "float32") -> None:
        self._dtype = find_dtype(dtype)
        pixelnorm = all(layer.pixelnorm for layer in network.children() if isinstance(layer, NormConv))
        facts = [*([] if dtype == "float32" else [dtype]), *([] if pixelnorm else ["no pixelnorm"])]
        self.fingerprint = fingerprint(network.state_dict(), "progan", *facts)
        self.device = device or torch.device("cpu")
        network.eval().requires_grad_(False)
        self.network = network.to(self.device, self._dtype)
        for weight in network.parameters():
            if weight.ndim == 4:  # channels last: 1.5 times as fast on a CPU
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        *hidden, _ = network.named_children()
        self._latent = hidden[0][1].get_parameter("conv.weight").shape[1]
        self.layers: Mapping[str, LayerShape] = {
            name: LayerShape(len(layer.get_parameter("wscale.b")), resolution(i + 1), resolution(i + 1))
            for i, (name, layer) in enumerate(hidden)
        }

    def latents(self, ids: range, seed: int) -> Float[Tensor, "b z"]:
        """Return N(0, 1) latents [b, z]."""
        return standard_normal(ids, seed, [self._latent], self.device)

    def freeze(self) -> None:
        """Promise that the weights change no more, so that kernels need not be made of them at every call."""
        for layer in self.network.children():
            if isinstance(layer, NormConv):
                layer.freeze()

    def network_input(self, z: Latents) -> Features:
        """Return the input of the network for latents: maps of one place."""
        return z[:, :, None, None]

    def draw(self, z: Latents, visit: Visit, start: str | None = None) -> Images:
        """Return the images; see `StepwiseGenerator`."""
        x, steps = self.network_input(z), list(self.network.named_children())
        if start is not None:
            x, steps = visit(start, x), steps[list(self.layers).index(start) + 1 :]
        for name, layer in steps:
            x = layer(x.to(self._dtype)).float()
            x = visit(name, x) if name in self.layers else x
        return x


@GENERATORS.register("progan", data=True, weights="argument")
def progan(
    argument: str, *, device: torch.device, prefix: str = "", dtype: str = "float32", pixelnorm: bool = True
) -> ProGAN:
    """Open a Progressive GAN from a checkpoint in any of the four layouts; its sizes are those of the weights.

    Args:
        argument: the file, or the name of a published model that was fetched, ``progan-church``.
        prefix: of the names of its tensors, ``g_ema.``, in a file of several networks.
        dtype: float32, bfloat16 or float16.
        pixelnorm: whether it was trained with PixelNorm; a checkpoint does not say.

    Raises:
        BadFile: unreadable, or with missing, extra or misshaped tensors; names the file and the tensor. Or not fetched.
        UnknownName: no such dtype.
    """
    state = published_layout(read_state(locate(argument), prefix), argument)
    network = progan_network(*_sizes(state, argument), pixelnorm=pixelnorm)
    fit_state(network, state, argument)
    return ProGAN(network, device, dtype)


def _sizes(state: State, source: str) -> tuple[int, list[int]]:
    """Return the size of the latent and the units of each layer, from the shapes of the weights."""
    numbers = [int(match[1]) for name in state if (match := re.fullmatch(r"layer([1-9]\d*)\.conv\.weight", name))]
    count = max(numbers, default=0)
    if count < 2 or count % 2:
        raise BadFile(
            f"{source}: no Progressive GAN; it needs weights layer1.conv.weight, layer2.conv.weight, … two per "
            f"resolution, or one of the other published layouts; first tensor found: {next(iter(state))}"
        )
    shapes = kernel_shapes(state, [f"layer{i}.conv.weight" for i in range(1, count + 1)], source)
    return shapes[0][1], [shape[0] for shape in shapes]


def kernel_shapes(state: State, names: Sequence[str], source: str) -> list[torch.Size]:
    """Return the shapes of convolution kernels.

    Raises:
        BadFile: one is not there, or no kernel.
    """
    for name in names:
        if name not in state:
            raise BadFile(f"{source}: lacks tensor {name}")
        if state[name].ndim != 4:
            raise BadFile(f"{source}: tensor {name} has shape {list(state[name].shape)}, not [out, in, k, k]")
    return [state[name].shape for name in names]


def published_layout(state: State, source: str) -> State:
    """Return the state dict under the current published names and axis orders.

    Raises:
        BadFile: a TensorFlow tensor of an unknown name, or whose shape does not fit its name.
    """
    if any("/" in name for name in state):
        state = _from_tensorflow(state, source)
    layers = [int(match[1]) for name in state if (match := re.match(r"features\.(\d+)\.", name))]
    if not layers:
        return state
    side = resolution(max(layers) + 1)
    names = {name: re.sub(r"^features\.(\d+)", lambda match: f"layer{int(match[1]) + 1}", name) for name in state}
    return {re.sub(r"^output\.", f"output_{side}x{side}.", names[name]): state[name] for name in state}


_SCOPES = {"4x4/Dense": "features.0", "4x4/Conv": "features.1", "ToRGB_lod0": "output"}
for _doublings in range(1, 9):
    _side = f"{4 << _doublings}x{4 << _doublings}"
    _SCOPES |= {f"{_side}/Conv0_up": f"features.{2 * _doublings}", f"{_side}/Conv1": f"features.{2 * _doublings + 1}"}
_UNUSED = re.compile(r"lod|ToRGB_lod[1-9]\d*/(weight|bias)")  # outputs at lower resolutions, from training


def _from_tensorflow(state: State, source: str) -> State:
    old = {}
    for name, value in state.items():
        if _UNUSED.fullmatch(name):
            continue
        scope, _, kind = name.rpartition("/")
        if scope not in _SCOPES or kind not in ("weight", "bias"):
            raise BadFile(f"{source}: has a tensor that no Progressive GAN has, {name}")
        if kind == "bias":
            old[f"{_SCOPES[scope]}.wscale.b"] = value
            continue
        try:
            old[f"{_SCOPES[scope]}.conv.weight"] = _kernel(value, scope.rpartition("/")[2])
        except RuntimeError:
            raise BadFile(f"{source}: tensor {name} has shape {list(value.shape)}, which does not fit") from None
    return old


def _kernel(value: Tensor, operation: str) -> Tensor:
    """Return a TensorFlow weight as [out, in, k, k].

    A dense layer onto 4 × 4, and the transposed convolution that doubles, are convolutions with the kernel flipped.
    """
    if operation == "Dense":
        return value.reshape(len(value), -1, 4, 4).permute(1, 0, 2, 3).flip(2, 3)
    if operation == "Conv0_up":
        return value.permute(2, 3, 0, 1).flip(2, 3)
    return value.permute(3, 2, 0, 1)
