"""The network that a training holds, out of what it is wrapped in, and as something that draws from latents."""

import functools
from collections.abc import Callable

from torch import Tensor, nn

from ganatomy.errors import BadModel
from ganatomy.types import Latents

Sample = Callable[[nn.Module, Latents], Tensor]

_INSIDE = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "AveragedModel": "module",
    "OptimizedModule": "_orig_mod",
    "_FabricModule": "module",
}
"""Wrappers of torch and Lightning, and where each keeps what it wraps."""
_SHARDED = ("FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine")


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network itself: what is parallel, compiled or averaged computes the same alone.

    Raises:
        BadModel: its weights are spread over processes.
    """
    while type(network).__name__ in _INSIDE:
        network = getattr(network, _INSIDE[type(network).__name__])
    kinds = {base.__name__ for part in network.modules() for base in type(part).__mro__}
    if sharded := kinds.intersection(_SHARDED):
        raise BadModel(f"the weights of a {sharded.pop()} are spread over processes; hand over a copy that is whole")
    return network


class Drawn(nn.Module):
    """A network that is called in a way of its own, as by class or at a stage; its submodules keep their names."""

    def __init__(self, network: nn.Module, sample: Sample) -> None:
        super().__init__()
        self._parameters, self._buffers, self._modules = network._parameters, network._buffers, network._modules
        self._draw = functools.partial(sample, network)  # inside, so that the network is not its own submodule

    def forward(self, z: Latents) -> Tensor:
        """Draw pictures."""
        return self._draw(z)
