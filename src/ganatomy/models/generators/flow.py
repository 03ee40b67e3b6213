"""RealNVP (Dinh, Sohl-Dickstein & Bengio 2017), a normalising flow: its inverse pass draws, x = f(z).

Trained by ``recipes/train_likelihood.py``. A coupling keeps one half of its variables and scales and shifts the other
by the output of a small network for the kept half; so each step, and the whole, has an exact inverse.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.module import as_generator
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import State, fit_state, read_state

MARGIN = 0.05
"""Pixels are moved so far from black and white, which are 0 and 1, before the logit (section 4.1, α = 0.05)."""
LARGEST = 1024
"""Side of the images that a file may ask for."""


class _Residual(nn.Module):
    """Two convolutions around a ReLU, added to their input; then a ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Coupling(nn.Module):
    """One affine coupling, x = m z + (1-m) (z exp(s) + t), where s and t are a function of m z (equation 9).

    The mask m is a checkerboard, or one half of the channels; `odd` says which half. The network, of `width` units,
    also gets the height of each place, on which the layout of an image depends.
    """

    def __init__(self, channels: int, width: int, checkered: bool, odd: bool) -> None:
        super().__init__()
        self.checkered, self.odd = checkered, odd
        self.net = nn.Sequential(nn.Conv2d(channels + 1, width, 3, padding=1), nn.ReLU(), _Residual(width))
        self.out = nn.Conv2d(width, 2 * channels, 3, padding=1)
        self.reach = nn.Parameter(torch.ones(channels, 1, 1))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the variables one step nearer to the image."""
        mask = self._mask(z)
        log_scale, shift = self._affine(z * mask)
        return z * mask + (1 - mask) * (z * log_scale.exp() + shift)

    def inverse(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Return the latents of variables, and log |det ∂z/∂x|."""
        mask = self._mask(x)
        log_scale, shift = self._affine(x * mask)
        z = x * mask + (1 - mask) * (x - shift) * (-log_scale).exp()
        return z, -((1 - mask) * log_scale).sum((1, 2, 3))

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        heights = torch.linspace(-1, 1, kept.shape[2], device=kept.device, dtype=kept.dtype)[:, None]
        seen = torch.cat([kept, heights.expand(len(kept), 1, -1, kept.shape[3])], 1)
        log_scale, shift = self.out(self.net(seen)).to(kept.dtype).chunk(2, 1)
        return self.reach * torch.tanh(log_scale), shift

    def _mask(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        if self.checkered:
            rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
            own = (rows[:, None] + columns) % 2 == int(self.odd)
        else:
            own = (torch.arange(channels, device=x.device) < channels // 2)[:, None, None] != self.odd
        return own.to(x.dtype)


class RealNVP(nn.Module):
    """A multi-scale RealNVP (section 3.6): `forward` is x = f(z), `inverse` is z = f⁻¹(x).

    The coarsest scale comes first: its variables pass checkered couplings. Every finer one appends as many latents as
    there are variables, passes couplings masked by channel, rearranges the channels of a place as 2 × 2 pixels, and
    passes checkered couplings. The couplings are named ``layer1``, ``layer2``, … in this order.

    Args:
        side: of the images.
        widths: units of the couplings' networks at each scale, coarsest first.
        steps: couplings of each kind at each scale.

    >>> flow = RealNVP(8, (4, 4), steps=2)
    >>> flow(torch.zeros(5, flow.latent)).shape
    torch.Size([5, 3, 8, 8])
    """

    def __init__(self, side: int, widths: Sequence[int], steps: int) -> None:
        super().__init__()
        self.side: Tensor
        self.register_buffer("side", torch.tensor(side))
        self.latent = 3 * side**2
        self._first = 3 << (len(widths) - 1), side >> (len(widths) - 1)
        self._groups: list[list[Coupling]] = []
        for i, (channels, checkered) in enumerate(plan(len(widths))):
            couplings = [Coupling(channels, widths[(i + 1) // 2], checkered, j % 2 == 1) for j in range(steps)]
            for j, coupling in enumerate(couplings):
                self.add_module(f"layer{i * steps + j + 1}", coupling)
            self._groups.append(couplings)

    def forward(self, z: Latents) -> Images:
        """Return the images of latents."""
        channels, side = self._first
        x, rest = z[:, : channels * side**2].reshape(-1, channels, side, side), z[:, channels * side**2 :]
        for couplings in self._groups:
            if not couplings[0].checkered:
                own, rest = rest[:, : x[0].numel()], rest[:, x[0].numel() :]
                x = torch.cat([x, own.reshape_as(x)], 1)
            for coupling in couplings:
                x = coupling(x)
            if not couplings[0].checkered:
                x = F.pixel_shuffle(x, 2)
        return (torch.sigmoid(x) - 0.5) / (0.5 - MARGIN)

    def inverse(self, images: Images) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
        """Return the latents of images, and log |det ∂z/∂x|. Pixels lie in [-1, 1]."""
        p = images * (0.5 - MARGIN) + 0.5
        x = torch.logit(p)
        log_det = ((0.5 - MARGIN) / (p * (1 - p))).log().sum((1, 2, 3))
        parts: list[Tensor] = []
        for couplings in reversed(self._groups):
            if not couplings[0].checkered:
                x = F.pixel_unshuffle(x, 2)
            for coupling in reversed(couplings):
                x, more = coupling.inverse(x)
                log_det = log_det + more
            if not couplings[0].checkered:
                x, own = x.chunk(2, 1)
                parts.append(own.flatten(1))
        return torch.cat([x.flatten(1), *reversed(parts)], 1), log_det


def plan(scales: int) -> list[tuple[int, bool]]:
    """Return for each group of couplings, coarsest first, its channels and whether its mask is checkered.

    >>> plan(3)
    [(12, True), (24, False), (6, True), (12, False), (3, True)]
    """
    coarser = (group for k in reversed(range(scales - 1)) for group in ((12 << k, False), (3 << k, True)))
    return [(3 << (scales - 1), True), *coarser]


@GENERATORS.register("realnvp", data=True, weights="argument")
def open_realnvp(
    path: str, /, *, device: torch.device, prefix: str = "", temperature: float = 1.0, networks: bool = False
) -> HookedGenerator:
    """Open a flow that ``recipes/train_likelihood.py realnvp`` trained; its sizes are those of the weights.

    Its layers ``layer1``, ``layer2``, … are the outputs of the couplings. Those of the last group are the image's own
    three channels, which are no layer.

    Args:
        path: the weights.
        prefix: of the names of its tensors, ``g_ema.``, in a file of several networks.
        temperature: the standard deviation of the latents; below 1 images are likelier and less varied.
        networks: offer ``layer1.net``, … as well, the units that scales and shifts depend on.

    Raises:
        BadFile: unreadable, or with missing, extra or misshaped tensors; names the file and the tensor.
        BadValue: a temperature that is not above 0.
    """
    if not 0 < temperature < math.inf:
        raise BadValue(f"temperature={temperature:g} is no standard deviation; give a number above 0")
    state = read_state(Path(path), prefix)
    network = RealNVP(*_sizes(state, path))
    fit_state(network, state, path)

    def latents(ids: range, seed: int) -> Tensor:
        return temperature * standard_normal(ids, seed, [network.latent], torch.device("cpu"))

    layers = []
    for name, coupling in network.named_children():
        layers += [f"{name}.net"] * networks + [name] * (len(coupling.get_parameter("reach")) > 3)
    opened = as_generator(network.to(device), latents=latents, bounds=(-1, 1), layers=layers, name="realnvp")
    opened.encode = lambda images: network.inverse(images.clamp(-1, 1))[0]
    return opened


def _sizes(state: State, source: str) -> tuple[int, list[int], int]:
    """Return the side of the images, the units of each scale and the couplings of a group."""
    count = sum(1 for name in state if re.fullmatch(r"layer[1-9]\d{0,2}\.reach", name))
    reaches = [state.get(f"layer{i + 1}.reach", torch.empty(0)) for i in range(count)]
    channels = [len(reach) for reach in reaches]
    scales = (channels[0] // 3).bit_length() if channels else 0
    steps = count // (2 * scales - 1) if scales else 0
    planned = [group for group, _ in plan(scales) for _ in range(steps)] if scales else []
    side = state.get("side", torch.empty(0))
    if not planned or channels != planned or side.numel() != 1:
        raise BadFile(
            f"{source}: not a RealNVP of this package; it needs side, and layer1.reach, layer2.reach, … "
            f"as train_likelihood.py writes them; first tensor found: {next(iter(state))}"
        )
    if not 0 < int(side) <= LARGEST or int(side) % (1 << (scales - 1)):
        raise BadFile(f"{source}: its images have a side of {int(side)}, which {scales} scales cannot draw")
    widths = [len(state[f"layer{(2 * i - 1) * steps + 1 if i else 1}.net.0.bias"]) for i in range(scales)]
    return int(side), widths, steps
