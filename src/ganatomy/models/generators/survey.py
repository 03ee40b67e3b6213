"""What one forward pass computes: which submodules return feature maps, and why others are no layers."""

import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.layer_steps import UPDATE
from ganatomy.models.generators.hooks import ONE, Halves, MapForm, TokenGrid
from ganatomy.models.generators.nested_tensors import tensors
from ganatomy.models.generators.protocol import LayerShape

GridOf = Callable[[Sequence[int]], TokenGrid | None]
"""Returns the grid of a row of a tensor, of shape [tokens, units] or [units, height, width], if it is a feature map."""


def map_grid(shape: Sequence[int]) -> TokenGrid | None:
    """Return the grid of a feature map [units, height, width]; tokens have none.

    >>> map_grid((8, 4, 6)), map_grid((24, 8))
    (TokenGrid(height=4, width=6, first=0), None)
    """
    return TokenGrid(*shape[1:]) if len(shape) == 3 else None


class _Map(NamedTuple):
    """A layer's output: the tensor if it is still alive, how often it was written to, and the mean of each unit."""

    tensor: "weakref.ref[Tensor]"
    version: int
    shape: LayerShape
    form: MapForm
    means: Tensor
    given: int | None

    def is_still(self, output: Tensor) -> bool:
        return self.tensor() is output and self.version == _version(output)


class _Call(NamedTuple):
    """One call of a submodule: its number among all calls, the rows of its output, and where its input begins.

    An input that is a window of a larger map has the memory of that map, and the offset of the window in it.
    """

    number: int
    rows: int
    window: tuple[int, int] | None


class Survey:
    """What a forward pass of a batch computed; a hook of all submodules.

    Args:
        images: how many there are.
        halves: which rows of a call are theirs.
        grid_of: says which tensors are feature maps.

    Attributes:
        others: the submodules that are no layers, each with the reason.
    """

    def __init__(self, images: int, halves: Halves = ONE, grid_of: GridOf = map_grid) -> None:
        self._batch, self._halves, self._grid_of = images * halves.rows, halves, grid_of
        self._maps: dict[str, _Map] = {}
        self._handed_on: dict[str, tuple[str, _Map]] = {}
        self._calls: dict[str, list[_Call]] = defaultdict(list)
        self._versions: dict[str, list[list[int]]] = defaultdict(list)
        self._count = 0
        self.others: dict[str, str] = {}

    def before(self, path: str, inputs: Any) -> None:
        """Record how often the inputs of a submodule were written to before its call."""
        self._versions[path].append([_version(each) for each in tensors(inputs)])

    def __call__(self, name: str, output: Any, inputs: Any) -> None:
        """Record the output of a submodule, and its inputs."""
        path = name.partition("#")[0]
        versions = self._versions[path].pop() if self._versions[path] else []
        maps = [(form, each) for i, each in enumerate(tensors(output)) if (form := self._form(each, i)) is not None]
        whole = next(((form, each) for form, each in maps if len(each) == self._batch), None)
        rows = len(maps[0][1]) if maps and not whole else self._batch
        self._count += 1
        self._calls[path].append(_Call(self._count, rows, _window(inputs)))
        if whole:
            self._add(name, *whole, self._input(list(tensors(inputs)), versions, whole[1]))
        elif not isinstance(output, Tensor):
            kind = type(output).__name__
            self.others[name] = f"is not spatial: it returns a {kind} without a feature map [b, u, h, w]"
        elif maps and rows > self._batch and rows % self._batch == 0:
            self.others[name] = f"returns {rows // self._batch} maps for each latent, as guidance and unfolding do"
        else:
            sizes = [str(size) for size in output.shape]
            if output.ndim and len(output) == self._batch:
                sizes[0] = "b"
            kind = "" if output.is_floating_point() else f" of {output.dtype}"
            self.others[name] = f"is not spatial: its output is [{', '.join(sizes)}]{kind}"

    def _form(self, output: Tensor, position: int) -> MapForm | None:
        """Return how a tensor holds a map, if it does."""
        if output.ndim not in (3, 4) or not output.is_floating_point():
            return None
        grid = self._grid_of(output.shape[1:])
        return None if grid is None else MapForm(position, grid if output.ndim == 3 else None)

    def _input(self, given: list[Tensor], versions: list[int], output: Tensor) -> int | None:
        """Return the number of the map that a submodule was given, if it adds to it: of the same shape, and kept."""
        first = next((i for i, each in enumerate(given) if self._form(each, i) is not None), None)
        if first is None or given[first] is output or given[first].shape != output.shape:
            return None
        is_kept = len(versions) == len(given) and versions[first] == _version(given[first])
        return first if is_kept and given[first].data_ptr() != output.data_ptr() else None

    def _add(self, name: str, form: MapForm, output: Tensor, given: int | None) -> None:
        same = next((other for other, seen in self._maps.items() if seen.is_still(output)), None)
        if same is not None:
            contains = same.startswith(name.partition("#")[0] + ".")
            if not (same == next(reversed(self._maps)) and contains):
                self.others[name] = f"returns what {same} returned; ask for that"
                return
            self._handed_on[same] = name, self._maps[same]
            self._exclude([same], f"returns what {name} returns; ask for that")
        r = form.read(output.detach().chunk(self._halves.rows)[self._halves.read])
        means = r.float().mean((2, 3))
        self._maps[name] = _Map(weakref.ref(output), _version(output), LayerShape(*r.shape[1:]), form, means, given)

    def exclude_images(self, images: Tensor, reason: str = "draws the image itself") -> None:
        """Exclude the images themselves from the layers."""
        shape = LayerShape(*images.shape[1:])
        self._exclude([name for name, seen in self._maps.items() if seen.shape == shape], reason)

    def exclude_others(self, survey: "Survey") -> None:
        """Exclude what is no layer, or has another shape, in a survey of another number of latents."""
        for name, seen in list(self._maps.items()):
            other = survey._maps.get(name)
            if other is None:
                reason = survey.others.get(name, f"is not computed for {survey._batch} latents")
                self._exclude([name], f"does not return one map for each of {survey._batch} latents: it {reason}")
            elif other.shape != seen.shape:
                self._exclude([name], f"returns maps of another shape for {survey._batch} latents")

    def exclude_mixed(self, first: "Survey", second: "Survey") -> None:
        """Exclude what has other rows for the first two of these latents than for each of them alone.

        Their images are right. So the rows of a layer are in another order, or depend on each other.
        """
        for name, seen in list(self._maps.items()):
            alone = [survey._maps[name].means[0] for survey in (first, second) if name in survey._maps]
            if len(alone) == 2 and _differ(seen.means[:2], torch.stack(alone)):
                self._exclude([name], "has rows that depend on what else is in the batch, or are in another order")

    def exclude_tiles(self) -> None:
        """Exclude what sees windows of a map one after the other, each of which would be a layer."""
        for loop in self._tile_loops():
            for path, calls in self._calls.items():
                if _in_rounds(calls, loop):
                    early = sum(call.number < loop[0].number for call in calls) if len(calls) > len(loop) else 0
                    names = [path if i == 0 else f"{path}#{i + 1}" for i in range(early, len(calls))]
                    self._exclude(
                        [name for name in names if name in self._maps],
                        "sees its map in tiles, one after the other; turn tiling off (disable_tiling)",
                    )

    def _tile_loops(self) -> list[list[_Call]]:
        """Return the calls of a submodule whose inputs were different windows of one map, for each such map."""
        loops = []
        for calls in self._calls.values():
            by_map: dict[int, list[_Call]] = defaultdict(list)
            for call in calls:
                if call.window is not None:
                    by_map[call.window[0]].append(call)
            loops += [each for each in by_map.values() if len({call.window for call in each}) > 1]
        return loops

    def _exclude(self, names: Iterable[str], reason: str) -> None:
        for name in names:
            del self._maps[name]
            self.others[name] = reason

    @property
    def splits_batch(self) -> bool:
        """Whether a submodule was given parts of the batch, one after the other."""
        return any(
            len(calls) > 1
            and all(0 < call.rows < self._batch for call in calls)
            and sum(call.rows for call in calls) % self._batch == 0
            for calls in self._calls.values()
        )

    @property
    def layers(self) -> Mapping[str, LayerShape]:
        """The layers and their shapes, in forward order."""
        return {name: seen.shape for name, seen in self._maps.items()}

    @property
    def updates(self) -> Mapping[str, LayerShape]:
        """The layers that are what a submodule adds to its input, and their shapes."""
        return {name + UPDATE: seen.shape for name, seen in self._adding.items()}

    @property
    def forms(self) -> Mapping[str, MapForm]:
        """Where the feature map of each layer and update is in what its submodule returns."""
        plain = {name: seen.form for name, seen in self._maps.items()}
        return plain | {name + UPDATE: seen.form._replace(given=seen.given) for name, seen in self._adding.items()}

    @property
    def _adding(self) -> Mapping[str, _Map]:
        """The submodules that add to a map; also those whose output a block around them hands on as its own."""
        inner = {name: seen for name, (block, seen) in self._handed_on.items() if self._is_layer(block)}
        return {name: seen for name, seen in {**inner, **self._maps}.items() if seen.given is not None}

    def _is_layer(self, block: str) -> bool:
        """Return whether a block is a layer, or what it returns is that of a layer around it."""
        return block in self._maps or (block in self._handed_on and self._is_layer(self._handed_on[block][0]))


def _differ(rows: Tensor, alone: Tensor) -> bool:
    """Return whether rows differ from those of the latents alone by more than rounding."""
    apart = (alone[0] - alone[1]).nan_to_num().norm()
    off = (rows - alone).nan_to_num().norm(dim=1).max()
    return bool(off > 0.1 * apart + 0.02 * alone.nan_to_num().norm(dim=1).max())


def _version(output: Tensor) -> int:
    return 0 if output.is_inference() else output._version  # tensors of inference mode do not count


def _window(inputs: Any) -> tuple[int, int] | None:
    """Return the memory and the offset of the first input map, if it is a window of a larger one."""
    x = next((each for each in tensors(inputs) if each.ndim == 4), None)
    if x is None or not x.numel():
        return None
    down, across = x.stride()[2:]
    plane = x.stride(0) if x.stride(1) < across else x.stride(1)  # channels may come last
    is_window = x.shape[3] * across < down or x.shape[2] * down < plane
    return (x.untyped_storage().data_ptr(), int(x.storage_offset())) if is_window else None


def _in_rounds(calls: list[_Call], loop: list[_Call]) -> bool:
    """Return whether a submodule was called in every round of a loop, before or after the call that makes the round."""
    before = {sum(each.number < call.number for each in loop) for call in calls}
    after = {sum(each.number <= call.number for each in loop) for call in calls}
    return len(before - {len(loop)}) == len(loop) or len(after - {0}) == len(loop)
