"""The network that a training holds as something that draws from latents."""

import functools
from collections.abc import Callable

from torch import Tensor, nn

from ganatomy.types import Latents

Sample = Callable[[nn.Module, Latents], Tensor]


class Drawn(nn.Module):
    """A network that is called in a way of its own, as by class or at a stage; its submodules keep their names."""

    def __init__(self, network: nn.Module, sample: Sample) -> None:
        super().__init__()
        self._parameters, self._buffers, self._modules = network._parameters, network._buffers, network._modules
        self._draw = functools.partial(sample, network)  # inside, so that the network is not its own submodule

    def forward(self, z: Latents) -> Tensor:
        """Draw images."""
        return self._draw(z)
