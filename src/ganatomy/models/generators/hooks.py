"""Layers of a module that is run: read, edited and replaced by hooks. The only file with hooks."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Features
from ganatomy.models.generators.batches import Hook
from ganatomy.models.generators.nested_tensors import replaced, tensors
from ganatomy.models.generators.protocol import Edit, applied
from ganatomy.models.generators.word_maps import name_of, path_of
from ganatomy.models.wrapped import check_followed


class TokenGrid(NamedTuple):
    """Which tokens of [b, tokens, units] are the places of an image, row by row.

    Attributes:
        height: of the image, in places.
        width: of the image, in places.
        first: tokens before them, such as those of a text.
    """

    height: int
    width: int
    first: int = 0

    @property
    def places(self) -> slice:
        """Return the tokens of the image."""
        return slice(self.first, self.first + self.height * self.width)


class MapForm(NamedTuple):
    """Where the feature map is in what a submodule returns, and how it is written there.

    Attributes:
        position: its number among the tensors that are returned.
        grid: of the map, where the tensor is [b, tokens, units]; None where it is [b, units, height, width].
    """

    position: int
    grid: TokenGrid | None = None

    def find(self, output: Any) -> Tensor | None:
        """Return the tensor that holds the map, in what the submodule returned."""
        return next(itertools.islice(tensors(output), self.position, None), None)

    def read(self, own: Tensor) -> Features:
        """Return the tensor as a map, in its own number format."""
        if self.grid is None:
            return own
        tokens = own[:, self.grid.places].transpose(1, 2)
        return tokens.reshape(len(own), -1, self.grid.height, self.grid.width)

    def written(self, r: Features, own: Tensor) -> Tensor:
        """Return a map as such a tensor, in its number format; tokens that are no places are as in `own`."""
        if self.grid is None:
            return r.to(own.dtype, copy=True)
        tokens, places = r.flatten(2).transpose(1, 2).to(own.dtype), self.grid.places
        return torch.cat([own[:, : places.start], tokens, own[:, places.stop :]], 1)


class Halves(NamedTuple):
    """Which rows of a call are the images', where there are several for each: all first ones, then all second ones.

    Attributes:
        rows: of a call, for each image.
        read: which of them features are read from and replaced in.
        edited: those that edits are done to, each half's own features.
    """

    rows: int = 1
    read: int = 0
    edited: tuple[int, ...] = (0,)


ONE = Halves()
"""One row for each image."""


@dataclass(frozen=True)
class LayerPlan:
    """What is done at the layers in one run of a module.

    Attributes:
        kept: the layers whose features are returned, after edits.
        edits: of each layer, in their order.
        put: what replaces the output of a layer, before its edits.
        followed: whether a gradient is to pass; refused where the module would lose it.
    """

    kept: Sequence[str] = ()
    edits: Mapping[str, Sequence[Edit]] = field(default_factory=dict)
    put: Mapping[str, Features] = field(default_factory=dict)
    followed: bool = False

    @property
    def layers(self) -> set[str]:
        """All layers that something is done at."""
        return {*self.kept, *self.edits, *self.put}


class LayerHook:
    """A hook that does what is planned, in one run of a module on so many images.

    Attributes:
        features: float32 [b, u, h, w], of every layer that was run, after edits.
        fewest: the smallest number of images that a layer saw; fewer than there are where the module splits them.

    Raises:
        BadModel: a layer returns no map this time, or a gradient that is followed would be lost there.
    """

    def __init__(
        self, name: str, forms: Mapping[str, MapForm], images: int, plan: LayerPlan, halves: Halves = ONE
    ) -> None:
        self._name, self._forms, self._images, self._plan, self._halves = name, forms, images, plan, halves
        self._layers = plan.layers
        self.features: dict[str, Tensor] = {}
        self.fewest = images

    def __call__(self, name: str, output: Any, _inputs: Any) -> Any:
        """Read the output of a submodule; return what it becomes, if that is something else."""
        if name not in self._layers:
            return None
        own = self._forms[name].find(output)
        if own is None:
            raise not_computed(self._name, name)
        count, images = len(own) // self._halves.rows, self._images
        if len(own) != images * self._halves.rows:
            self.fewest = min(self.fewest, count if count < images else images // 2)
            return None
        return self._visited(name, output, own)

    def _visited(self, name: str, output: Any, own: Tensor) -> Any:
        """Keep the features of a layer; return the output with what was done to them, if anything was."""
        form, halves, plan = self._forms[name], self._halves, self._plan
        parts = [own] if halves.rows == 1 else list(own.chunk(halves.rows))
        maps = {half: form.read(parts[half]).float() for half in {halves.read, *halves.edited}}
        if name in plan.put:
            maps[halves.read] = plan.put[name]
        for half in halves.edited:
            maps[half] = applied(plan.edits.get(name, ()), maps[half])
        r = maps[halves.read]
        self.features[name] = r.clone() if name in plan.kept else r  # a later step may overwrite it
        if name not in plan.edits and name not in plan.put:
            return None
        if plan.followed:
            check_followed(self._name, name)
        for half, each in maps.items():
            parts[half] = form.written(each, parts[half])
        return replaced(output, own, parts[0] if halves.rows == 1 else torch.cat(parts))

    def check_done(self) -> None:
        """Refuse a run that did not come to all of the layers.

        Raises:
            BadModel: names the first that is missing.
        """
        if missing := self._layers - self.features.keys():
            raise not_computed(self._name, min(missing))

    def on(self, module: nn.Module) -> contextlib.AbstractContextManager[None]:
        """Hook the submodules of these layers, for the length of a block."""
        return hooked(module, {name.partition("#")[0] for name in self._layers}, self)


def not_computed(name: str, layer: str) -> BadModel:
    """Return the error that a layer was not computed."""
    return BadModel(f"{name} did not compute its layer {layer} this time")


def readable(module: nn.Module) -> list[str]:
    """Return the names of the submodules whose output can be read: all but TorchScript."""
    parts = [(path, part) for path, part in module.named_modules() if path]
    return [name_of(path, part) for path, part in parts if not isinstance(part, torch.jit.ScriptModule)]


@contextlib.contextmanager
def hooked(module: nn.Module, paths: Iterable[str], hook: Hook) -> Iterator[None]:
    """Have `hook` called with the name, output and inputs of every call of these submodules.

    What it returns, if anything, replaces the output. The n-th call of a submodule in the block is named ``path#n``,
    the first one ``path``. No hook outlives the block.
    """
    calls: Counter[str] = Counter()

    def counted(path: str) -> Callable[[nn.Module, Any, Any, Any], Any]:
        def called(_module: nn.Module, inputs: Any, named: Any, output: Any) -> Any:
            calls[path] += 1
            return hook(path if calls[path] == 1 else f"{path}#{calls[path]}", output, (inputs, named))

        return called

    with contextlib.ExitStack() as hooks:
        for path in paths:
            part = module.get_submodule(path_of(path))
            hooks.callback(part.register_forward_hook(counted(path), with_kwargs=True).remove)
        yield
