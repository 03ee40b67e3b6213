"""The rest of a network after one of its layers, run again and again with other features: what comes before is kept."""

import contextlib
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ganatomy.errors import BadModel
from ganatomy.generators.structures import replaced, tensors
from ganatomy.types import Features

Forward = Callable[..., object]
Wrap = Callable[[str, Forward], Forward]


class Replay:
    """What a network makes of other features at one layer, for inputs that stay the same.

    One pass of the whole network notes what its submodules returned until the layer was done: the outermost of them.
    In every later pass these are not computed but handed out again, the layer's own output with other features in it;
    operations outside of submodules are computed each time. A network whose later steps write into what earlier ones
    returned would change what is kept. So the shortcut is tried first; where the untouched features do not give the
    untouched output, or the network cannot be taken apart (TorchScript), all of it is run each time.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    >>> x = torch.randn(5, 3, 4, 4)
    >>> rest = Replay(net, "1", lambda: net(x))
    >>> rest.features.shape, bool((rest(rest.features) == net(x)).all())
    (torch.Size([5, 4, 2, 2]), True)

    Args:
        module: the network.
        layer: path of a submodule that returns a feature map; ``path#n`` for its n-th call.
        run: runs the network on the inputs and returns its output [b, …].

    Attributes:
        features: float32 [b, u, h, w], the layer's.
        output: of the network, untouched.
        short: whether what comes before the layer is left out.

    Raises:
        BadModel: the layer was not computed.
    """

    @torch.no_grad()
    def __init__(self, module: nn.Module, layer: str, run: Callable[[], Tensor]) -> None:
        self._module, self._run = module, run
        self._path, _, number = layer.partition("#")
        self._before = int(number or 1) - 1
        self._kept: list[tuple[str, object]] = []
        maps: list[Tensor] = []
        with _wrapped(module, self._noting(maps)):
            self.output = run()
        if not maps:
            raise BadModel(f"layer {layer} was not computed this time")
        self.features: Features = maps[0]
        self.short = not any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
        self.short = self.short and self._agrees()

    @torch.no_grad()
    def __call__(self, r: Features) -> Tensor:
        """Return what the network returns with the layer's features replaced by `r`."""
        left: dict[str, deque[object]] = {self._path: deque()}
        if self.short:
            for path, output in self._kept:
                left.setdefault(path, deque()).append(output)
        else:
            left[self._path].extend([None] * (self._before + 1))
        with _wrapped(self._module, self._handing_out(left, r), left):
            return self._run()

    def _agrees(self) -> bool:
        again, once = self(self.features), self.output
        return again.shape == once.shape and torch.allclose(again, once, 1e-4, 1e-5 * float(once.abs().max()))

    def _noting(self, maps: list[Tensor]) -> Wrap:
        """Have the outermost calls up to the layer's kept, which comes last, and its feature map put into `maps`."""
        kept, earlier = self._kept, self._before

        def wrap(path: str, forward: Forward) -> Forward:
            def called(*args: object, **options: object) -> object:
                nonlocal earlier
                before = len(kept)
                output = forward(*args, **options)
                if not maps:
                    del kept[before:]  # what this call is made of
                    kept.append((path, output))
                    if path == self._path:
                        earlier -= 1
                        if earlier < 0:
                            maps.append(feature_map(output).float().clone())  # what comes next may overwrite it
                return output

            return called

        return wrap

    def _handing_out(self, left: Mapping[str, deque[object]], r: Features) -> Wrap:
        """Have what is left for a submodule handed out call by call; the last for the layer, with `r` in it."""

        def wrap(path: str, forward: Forward) -> Forward:
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

        return wrap


class Replays:
    """The same for a batch that is run in several parts.

    Args:
        parts: of each part of the batch, in order.
    """

    def __init__(self, parts: Sequence[Replay]) -> None:
        self._parts = parts
        self.features: Features = torch.cat([part.features for part in parts])
        self.output = torch.cat([part.output for part in parts])
        self.short = all(part.short for part in parts)

    def __call__(self, r: Features) -> Tensor:
        """Return what the network returns with the layer's features replaced by `r`."""
        rows = torch.split(r, [len(part.features) for part in self._parts])
        return torch.cat([part(own) for part, own in zip(self._parts, rows, strict=True)])


def feature_map(output: object) -> Tensor:
    """Return the feature map in what a submodule returned: the first in it."""
    return next(found for found in tensors(output) if found.ndim == 4 and found.is_floating_point())


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
