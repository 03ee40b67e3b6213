"""The rest of a network after one of its layers, run repeatedly with other features: what precedes it is kept."""

import contextlib
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Features
from ganatomy.models.generators.nested_tensors import feature_map, replaced

Forward = Callable[..., object]
Wrap = Callable[[str, Forward], Forward]


class SuffixRunner:
    """The output of a network for other features at one layer, for inputs that stay the same.

    One pass of the whole network records what its submodules returned until the layer was done: the outermost of them.
    In every later pass these are not computed but returned again, the layer's own output with other features in it;
    operations outside of submodules are computed each time. A network whose later steps write into what earlier ones
    returned would change what is kept. So the shortcut is tried first; where the untouched features do not give the
    untouched output, or the network is TorchScript in parts, all of it is run each time.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    >>> x = torch.randn(5, 3, 4, 4)
    >>> rest = SuffixRunner(net, "1", lambda: net(x))
    >>> rest.features.shape, bool((rest(rest.features) == net(x)).all())
    (torch.Size([5, 4, 2, 2]), True)

    Args:
        module: the network.
        layer: path of a submodule that returns a feature map; ``path#n`` for its n-th call.
        run: runs the network on the inputs and returns its output [b, …].

    Attributes:
        features: float32 [b, u, h, w], the layer's.
        output: of the network, untouched.
        short: whether what precedes the layer is not computed again.

    Raises:
        BadModel: the layer was not computed.
    """

    @torch.no_grad()
    def __init__(self, module: nn.Module, layer: str, run: Callable[[], Tensor]) -> None:
        self._module, self._run = module, run
        self._path, _, number = layer.partition("#")
        self._call = int(number or 1)
        self._kept: list[tuple[str, object]] = []
        maps: list[Tensor] = []
        with _wrapped(module, self._recording(maps)):
            self.output = run()
        if not maps:
            raise BadModel(f"layer {layer} was not computed this time")
        self.features: Features = maps[0]
        self.short = not any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
        if self.short:
            again, scale = self(self.features), float(self.output.abs().max())
            self.short = again.shape == self.output.shape and torch.allclose(again, self.output, 1e-4, 1e-5 * scale)

    @torch.no_grad()
    def __call__(self, r: Features) -> Tensor:
        """Return the output of the network with the layer's features replaced by `r`."""
        left: dict[str, deque[object]] = {self._path: deque()}
        for path, output in self._kept if self.short else [(self._path, None)] * self._call:
            left.setdefault(path, deque()).append(output)

        def wrap(path: str, forward: Forward) -> Forward:
            """Return what is left for a submodule call by call; the last for the layer, with `r` in it."""

            def called(*args: object, **options: object) -> object:
                if not left[path]:
                    return forward(*args, **options)
                output = left[path].popleft()
                if not self.short:
                    output = forward(*args, **options)
                if path == self._path and not left[path]:
                    own = feature_map(output)
                    output = replaced(output, own, r.to(own.dtype, copy=True))
                return output

            return called

        with _wrapped(self._module, wrap, left):
            return self._run()

    def _recording(self, maps: list[Tensor]) -> Wrap:
        """Keep the outermost calls up to the layer's, which is last, and append its feature map to `maps`."""
        kept, earlier = self._kept, self._call

        def wrap(path: str, forward: Forward) -> Forward:
            def called(*args: object, **options: object) -> object:
                nonlocal earlier
                before = len(kept)
                output = forward(*args, **options)
                if not maps:
                    del kept[before:]  # the calls within this one
                    kept.append((path, output))
                    earlier -= path == self._path
                    if not earlier:
                        maps.append(feature_map(output).float().clone())  # a later step may overwrite it
                return output

            return called

        return wrap


class SuffixRunners:
    """The same for a batch that is run in several parts, each with a `SuffixRunner`."""

    def __init__(self, parts: Sequence[SuffixRunner]) -> None:
        self._parts = parts
        self.features: Features = torch.cat([part.features for part in parts])
        self.output = torch.cat([part.output for part in parts])
        self.short = all(part.short for part in parts)

    def __call__(self, r: Features) -> Tensor:
        """Return the output of the network with the layer's features replaced by `r`."""
        rows = torch.split(r, [len(part.features) for part in self._parts])
        return torch.cat([part(own) for part, own in zip(self._parts, rows, strict=True)])


@contextlib.contextmanager
def _wrapped(module: nn.Module, wrap: Wrap, paths: Container[str] | None = None) -> Iterator[None]:
    """Have the submodules of these paths, or all, computed by what `wrap` makes of their own; none is left wrapped."""
    chosen = [(path, part) for path, part in module.named_modules() if path and (paths is None or path in paths)]
    own = [vars(part).get("forward") for _, part in chosen]
    try:
        for path, part in chosen:
            part.forward = wrap(path, part.forward)
        yield
    finally:
        for (_, part), forward in zip(chosen, own, strict=True):
            vars(part).pop("forward", None)
            if forward is not None:
                part.forward = forward
