"""What one forward pass computes: which submodules return feature maps, and why others are no layers."""

import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganatomy.generators.protocol import LayerShape
from ganatomy.generators.structures import tensors


class _Seen(NamedTuple):
    """A layer's output: the tensor if it is still alive, how often it was written to, and the mean of each unit."""

    tensor: "weakref.ref[Tensor]"
    version: int
    shape: LayerShape
    place: int
    means: Tensor

    def is_still(self, output: Tensor) -> bool:
        return self.tensor() is output and self.version == _version(output)


class _Call(NamedTuple):
    """One call of a submodule: its number among all calls, the rows of its output, and where its input begins.

    An input that is a window of a larger map has the memory of that map, and where in it the window begins.
    """

    number: int
    rows: int
    window: tuple[int, int] | None


class Survey:
    """What a forward pass of so many latents computed; to be called with the outputs of submodules as they come.

    Attributes:
        others: the submodules that are no layers, each with the reason.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._seen: dict[str, _Seen] = {}
        self._calls: dict[str, list[_Call]] = defaultdict(list)
        self._count = 0
        self.others: dict[str, str] = {}

    def __call__(self, name: str, output: Any, given: Any) -> None:
        """Note the output of a submodule, and what it was given."""
        maps = [each for each in tensors(output) if each.ndim == 4 and each.is_floating_point()]
        rows = next((len(each) for each in maps if len(each) == self._batch), len(maps[0]) if maps else self._batch)
        self._count += 1
        self._calls[name.partition("#")[0]].append(_Call(self._count, rows, _window(given)))
        for place, found in enumerate(tensors(output)):
            if found.ndim == 4 and len(found) == self._batch and found.is_floating_point():
                self._note(name, found, place)
                return
        if isinstance(output, Tensor):
            sizes = [str(size) for size in output.shape]
            if output.ndim and len(output) == self._batch:
                sizes[0] = "b"
            kind = "" if output.is_floating_point() else f" of {output.dtype}"
            reason = f"is not spatial: its output is [{', '.join(sizes)}]{kind}"
            if maps and rows > self._batch and rows % self._batch == 0:
                reason = f"returns {rows // self._batch} maps for each latent, as guidance and unfolding do"
        else:
            kind = type(output).__name__
            reason = f"is not spatial: it returns a {kind} without a feature map [b, u, h, w]"
        self.others[name] = reason

    def _note(self, name: str, output: Tensor, place: int) -> None:
        same = next((other for other, seen in self._seen.items() if seen.is_still(output)), None)
        if same is not None and not (same == next(reversed(self._seen)) and _contains(name, same)):
            self.others[name] = f"returns what {same} returned; ask for that"
            return
        if same is not None:
            del self._seen[same]
            self.others[same] = f"returns what {name} returns; ask for that"
        shape, means = LayerShape(*output.shape[1:]), output.detach().float().mean((2, 3))
        self._seen[name] = _Seen(weakref.ref(output), _version(output), shape, place, means)

    def leave_out(self, images: Tensor) -> None:
        """Take the images themselves from the layers."""
        shape = LayerShape(*images.shape[1:])
        self._drop([name for name, seen in self._seen.items() if seen.shape == shape], "draws the image itself")

    def leave_out_others(self, survey: "Survey") -> None:
        """Take from the layers what is none, or has another shape, in a survey of another number of latents."""
        for name, seen in list(self._seen.items()):
            other = survey._seen.get(name)
            if other is None:
                reason = survey.others.get(name, f"is not computed for {survey._batch} latents")
                self._drop([name], f"does not return one map for each of {survey._batch} latents: it {reason}")
            elif other.shape != seen.shape:
                self._drop([name], f"returns maps of another shape for {survey._batch} latents")

    def leave_out_mixed(self, first: "Survey", second: "Survey") -> None:
        """Take from the layers what has other rows for the first two of these latents than for each of them alone.

        Their images are right. So the rows of a layer are in another order, or depend on each other.
        """
        for name, seen in list(self._seen.items()):
            alone = [survey._seen[name].means[0] for survey in (first, second) if name in survey._seen]
            if len(alone) == 2 and _are_other(seen.means[:2], torch.stack(alone)):
                self._drop([name], "has rows that depend on what else is in the batch, or are in another order")

    def leave_out_tiles(self) -> None:
        """Take from the layers what sees windows of a map one after the other, of which each is another layer to us."""
        for loop in list(self._loops()):
            for path, calls in self._calls.items():
                if _in_rounds(calls, loop):
                    early = sum(call.number < loop[0].number for call in calls) if len(calls) > len(loop) else 0
                    names = [path if i == 0 else f"{path}#{i + 1}" for i in range(early, len(calls))]
                    self._drop(
                        [name for name in names if name in self._seen],
                        "sees its map in tiles, one after the other; turn tiling off (disable_tiling)",
                    )

    def _loops(self) -> Iterator[list[_Call]]:
        """Yield the calls of a submodule that were given different windows of one map."""
        for calls in self._calls.values():
            windows = [call.window for call in calls if call.window is not None]
            for memory in {window[0] for window in windows}:
                if len({window for window in windows if window[0] == memory}) > 1:
                    yield [call for call in calls if call.window is not None and call.window[0] == memory]

    def _drop(self, names: Iterable[str], reason: str) -> None:
        for name in names:
            del self._seen[name]
            self.others[name] = reason

    @property
    def in_parts(self) -> bool:
        """Whether a submodule was given the batch in parts, one after the other."""
        return any(
            len(calls) > 1
            and all(0 < call.rows < self._batch for call in calls)
            and sum(call.rows for call in calls) % self._batch == 0
            for calls in self._calls.values()
        )

    @property
    def layers(self) -> Mapping[str, LayerShape]:
        """The layers and their shapes, in forward order."""
        return {name: seen.shape for name, seen in self._seen.items()}

    @property
    def places(self) -> Mapping[str, int]:
        """The number of each layer's feature map among the tensors that its submodule returns."""
        return {name: seen.place for name, seen in self._seen.items()}


def _are_other(rows: Tensor, alone: Tensor) -> bool:
    """Whether rows are farther from what they are alone than rounding explains."""
    apart = (alone[0] - alone[1]).nan_to_num().norm()
    off = (rows - alone).nan_to_num().norm(dim=1).max()
    return bool(off > 0.1 * apart + 0.02 * alone.nan_to_num().norm(dim=1).max())


def _version(output: Tensor) -> int:
    return 0 if output.is_inference() else output._version  # tensors of inference mode do not count


def _contains(name: str, other: str) -> bool:
    """Whether the submodule of one call holds that of another."""
    return other.startswith(name.partition("#")[0] + ".")


def _window(given: Any) -> tuple[int, int] | None:
    """Return the memory and the beginning of the first map that was given, if it is a window of a larger one."""
    x = next((each for each in tensors(given) if each.ndim == 4), None)
    if x is None or not x.numel():
        return None
    down, across = x.stride()[2:]
    plane = x.stride(0) if x.stride(1) < across else x.stride(1)  # channels may come last
    is_window = x.shape[3] * across < down or x.shape[2] * down < plane
    return (x.untyped_storage().data_ptr(), int(x.storage_offset())) if is_window else None


def _in_rounds(calls: list[_Call], loop: list[_Call]) -> bool:
    """Whether a submodule was called in every round of a loop, before or after the call that makes the round."""
    before = {sum(each.number < call.number for each in loop) for call in calls}
    after = {sum(each.number <= call.number for each in loop) for call in calls}
    return len(before - {len(loop)}) == len(loop) or len(after - {0}) == len(loop)
