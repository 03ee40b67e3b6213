"""Layers of a module that is run: read, edited and replaced by hooks. The only file with hooks."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel
from ganatomy.core.layer_steps import UPDATE
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
        given: the number, among the tensors that the submodule is given, of its input, for what it adds to that.
    """

    position: int
    grid: TokenGrid | None = None
    given: int | None = None

    def find(self, output: Any) -> Tensor | None:
        """Return the tensor that holds the map, in what the submodule returned."""
        return nth_tensor(output, self.position)

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

    def parts(self, tensor: Tensor) -> list[Tensor]:
        """Return the rows of each half."""
        return [tensor] if self.rows == 1 else list(tensor.chunk(self.rows))


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

    def __call__(self, name: str, output: Any, inputs: Any) -> Any:
        """Read the output of a submodule, what it adds first; return what it becomes, if that is something else."""
        changed = None
        for layer in (name + UPDATE, name):
            if layer in self._layers:
                found = self._read(layer, output if changed is None else changed, inputs)
                changed = changed if found is None else found
        return changed

    def _read(self, name: str, output: Any, inputs: Any) -> Any:
        """Do what is planned for one layer."""
        form = self._forms[name]
        own, given = form.find(output), None if form.given is None else nth_tensor(inputs, form.given)
        if own is None or (form.given is not None and (given is None or given.shape != own.shape)):
            raise not_computed(self._name, name)
        count, images = len(own) // self._halves.rows, self._images
        if len(own) != images * self._halves.rows:
            self.fewest = min(self.fewest, count if count < images else images // 2)
            return None
        return self._visited(name, output, own, given)

    def _visited(self, name: str, output: Any, own: Tensor, given: Tensor | None) -> Any:
        """Keep the features of a layer; return the output with what was done to them, if anything was."""
        form, halves, plan = self._forms[name], self._halves, self._plan
        parts = halves.parts(own)
        maps = {half: form.read(parts[half]).float() for half in {halves.read, *halves.edited}}
        if given is not None:
            starts = halves.parts(given)
            maps = {half: each - form.read(starts[half]).float() for half, each in maps.items()}
        plain = dict(maps)
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
            r = each if given is None else form.read(parts[half]).float() + (each - plain[half])
            parts[half] = form.written(r, parts[half])
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
        return hooked(module, {name.removesuffix(UPDATE).partition("#")[0] for name in self._layers}, self)


def check_update(layer: str, model: str, layers: Container[str], others: Mapping[str, str]) -> None:
    """Refuse an update of a layer that has none.

    Raises:
        BadModel: it is one, and the model has the layer alone, or a submodule of that name that is no layer.
    """
    of = layer.removesuffix(UPDATE)
    if of == layer or layer in layers:
        return
    if of in others:
        raise BadModel(f"layer {of} of {model} {others[of]}")
    if of in layers:
        raise BadModel(f"layer {of} of {model} has no update: it is not given a feature map of the shape of its own")


def nth_tensor(values: Any, number: int) -> Tensor | None:
    """Return a tensor in what a submodule returns or is given, by its number; None where there are fewer."""
    return next(itertools.islice(tensors(values), number, None), None)


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
    the first one ``path``. A method ``before`` of it is called with path and inputs before a call. No hook outlives the
    block.
    """
    before: Callable[[str, Any], None] | None = getattr(hook, "before", None)
    calls: Counter[str] = Counter()

    def counted(path: str) -> Callable[[nn.Module, Any, Any, Any], Any]:
        def called(_module: nn.Module, inputs: Any, named: Any, output: Any) -> Any:
            calls[path] += 1
            return hook(path if calls[path] == 1 else f"{path}#{calls[path]}", output, (inputs, named))

        return called

    def early(path: str, before: Callable[[str, Any], None]) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, inputs, named: before(path, (inputs, named))

    with contextlib.ExitStack() as hooks:
        for path in paths:
            part = module.get_submodule(path_of(path))
            hooks.callback(part.register_forward_hook(counted(path), with_kwargs=True).remove)
            if before is not None:
                hooks.callback(part.register_forward_pre_hook(early(path, before), with_kwargs=True).remove)
        yield
