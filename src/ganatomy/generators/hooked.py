"""Any torch module as a generator, its layers read and replaced by hooks. The only file that knows of hooks."""

import contextlib
import itertools
import weakref
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganatomy.errors import BadModel, UnknownName
from ganatomy.generators.protocol import Edit, LayerShape, Observation, applied, edits_by_layer, onward_edits
from ganatomy.generators.structures import replaced, tensors
from ganatomy.imported import guarded
from ganatomy.types import Features, Images, Latents
from ganatomy.weights import check_finite, fingerprint

LatentSource = Callable[[range, int], Tensor]
Visit = Callable[[str, Any], Any]

PROBES = 16
"""Pictures that are drawn once, to see which values mean black and white."""


class HookedGenerator:
    """A generator made of a module that nobody wrote for this package.

    Its layers are the submodules that return a feature map, a float tensor [b, u, h, w], by their path in the module
    and in forward order. A submodule that is called again is another layer, ``path#2``. Submodules that return the same
    tensor are one layer: it has the name of the container, if a container hands on what its last child made, else that
    of the first. The picture itself is no layer, nor is what has its shape (the picture before its last squashing).

    Of a submodule that returns a tuple, list, mapping or object, nested or not, the first feature map in it is the
    layer. When it is replaced, it is replaced wherever this tensor stands in what the submodule returns (a block's
    output is often the last of its skips, too). Pictures are looked for in the same way; of several, the largest count.

    The module is used in evaluation mode, with no gradients for its weights, and left as it was. Latents are given to
    it in the number format of its weights; features and pictures are float32 here, whatever it computes in. `render`
    runs all of it: what comes before the layer is computed too, and its result thrown away.

    Args:
        module: takes latents [b, …], returns pictures [b, 3, H, W], or [b, 1, H, W] in grey.
        source: gives the latents of ids and a seed; float32.
        bounds: the values that mean black and white. Found if not given: 0 and 1 if 16 pictures stay within (up to
            a tenth), else -1 and 1.
        layers: the layers to offer; all if none is named.
        name: what to call the module in messages.
        takes: the number format in which latents are given to the module, if not that of its weights.

    Attributes:
        network: the module itself.
        layers: shape of every layer, in forward order.
        others: the submodules that are no layers, each with the reason, such as "draws the picture itself".

    Raises:
        BadModel: it raises, returns no pictures, other pictures every time, or has no layer.
        BadFile: its weights hold NaN or Inf.
    """

    def __init__(
        self,
        module: nn.Module,
        source: LatentSource,
        bounds: tuple[float, float] | None = None,
        layers: Sequence[str] = (),
        name: str = "module",
        takes: torch.dtype | None = None,
    ) -> None:
        self.network, self._source, self._name, self._takes = module, source, name, takes
        self.device = device_of(module)
        check_finite(dict(module.named_parameters()), name)
        z = self.latents(range(2 if bounds else PROBES), 0)
        survey, pictures = self._look(z)
        self._bounds = bounds or _find_bounds(pictures, name)
        self.layers: Mapping[str, LayerShape] = survey.layers
        self._places = survey.places
        self.others: Mapping[str, str] = survey.others
        if layers:
            self._check(layers)
            self.layers = {layer: shape for layer, shape in self.layers.items() if layer in layers}
        state = {key: value for key, value in module.state_dict().items() if isinstance(value, Tensor)}
        self.fingerprint = fingerprint(state, name, self._bounds, tuple(z.shape[1:]))

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids."""
        with guarded(f"the latents of {self._name}"):
            z = self._source(ids, seed)
        if not isinstance(z, Tensor) or len(z) != len(ids):
            given = list(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise BadModel(f"the latents of {self._name} are {given} for {len(ids)} ids; they must be [b, …]")
        return z.to(self.device)

    def given(self, z: Latents) -> Latents:
        """Return what the module takes: latents in its number format."""
        return z.to(self._takes or dtype_of(self.network))

    @torch.no_grad()
    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Draw the pictures and read every asked layer in one forward pass, edits made on the way."""
        planned = edits_by_layer(edits)
        listened = [*layers, *planned]
        self._check(listened)
        features: dict[str, Tensor] = {}

        def keep(name: str, output: Any) -> Any:
            if name not in listened:
                return None
            own = self._map(name, output)
            r = applied(planned.get(name, ()), own.float())
            features[name] = r.clone() if name in layers else r  # what comes next may overwrite it
            return replaced(output, own, r.to(own.dtype)) if name in planned else None

        images = self._draw(z, listened, keep)
        self._all_computed(listened, features)
        return Observation(images, {name: features[name] for name in layers})

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Draw the pictures with the layer's output replaced by `r`, edits made on the way. Differentiable in r."""
        listened = [layer, *edits_by_layer(edits)]
        self._check(listened)
        planned = onward_edits(edits, layer, self.layers)
        computed = set[str]()

        def put(name: str, output: Any) -> Any:
            if name not in listened:
                return None
            computed.add(name)
            own = self._map(name, output)
            new = applied(planned.get(name, ()), r if name == layer else own.float())
            return replaced(output, own, new.to(own.dtype, copy=True))  # what comes next may overwrite it

        images = self._draw(z, listened, put)
        self._all_computed(listened, computed)
        return images

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Draw the pictures with edits at any layers, in one forward pass without gradients."""
        return self.observe(z, (), edits).images

    def _check(self, layers: Sequence[str]) -> None:
        """Refuse what is no layer.

        Raises:
            UnknownName: there is no such submodule.
            BadModel: there is, but its output is not a feature map.
        """
        for name in layers:
            if name in self.others:
                raise BadModel(f"layer {name} of {self._name} {self.others[name]}")
            if name not in self.layers:
                raise UnknownName(f"layer of {self._name}", name, self.layers)

    def _map(self, layer: str, output: Any) -> Tensor:
        """Return the layer's feature map in what its submodule returned: that in the place where it was found."""
        found = next(itertools.islice(tensors(output), self._places[layer], None), None)
        if found is None:
            raise self._missed(layer)
        return found

    def _all_computed(self, layers: Sequence[str], computed: Container[str]) -> None:
        for name in layers:
            if name not in computed:
                raise self._missed(name)

    def _missed(self, layer: str) -> BadModel:
        return BadModel(f"{self._name} did not compute its layer {layer} this time")

    @torch.no_grad()
    def _look(self, z: Latents) -> "tuple[_Survey, Tensor]":
        """Draw some pictures, a few at a time; the first of them twice, the second time with open eyes."""
        pictures = torch.cat([self._run(part) for part in torch.split(z, 2)])
        survey = _Survey(len(z[:2]))
        with listening(self.network, [path for path, _ in self.network.named_modules() if path], survey):
            again = self._run(z[:2])
        if not torch.allclose(pictures[:2], again, atol=1e-3, equal_nan=True):
            raise BadModel(f"{self._name} draws another picture of the same latent every time; turn off its own noise")
        survey.leave_out(again)
        if not survey.layers:
            raise BadModel(f"{self._name} has no layer: none of its submodules returns a feature map [b, u, h, w]")
        return survey, pictures

    def _run(self, z: Latents) -> Tensor:
        return run(self.network, z, self._name, self._takes)

    def _draw(self, z: Latents, layers: Sequence[str], visit: Visit) -> Images:
        with listening(self.network, {name.partition("#")[0] for name in layers}, visit):
            pictures = self._run(z)
        low, high = self._bounds
        if (low, high) != (-1, 1):
            pictures = (pictures - low) * (2 / (high - low)) - 1
        return pictures.expand(-1, 3, -1, -1)


class _Seen(NamedTuple):
    """A layer's output in the surveying pass: the tensor if it is still alive, and how often it was written to."""

    tensor: "weakref.ref[Tensor]"
    version: int
    shape: LayerShape
    place: int

    def is_still(self, output: Tensor) -> bool:
        return self.tensor() is output and self.version == output._version


class _Survey:
    """What one forward pass computes: the layers, and why other submodules are none."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._seen: dict[str, _Seen] = {}
        self.others: dict[str, str] = {}

    def __call__(self, name: str, output: Any) -> None:
        """Note the output of a submodule."""
        for place, found in enumerate(tensors(output)):
            if found.ndim == 4 and len(found) == self._batch and found.is_floating_point():
                self._note(name, found, place)
                return
        if isinstance(output, Tensor):
            sizes = [str(size) for size in output.shape]
            if output.ndim and len(output) == self._batch:
                sizes[0] = "b"
            kind = "" if output.is_floating_point() else f" of {output.dtype}"
            self.others[name] = f"is not spatial: its output is [{', '.join(sizes)}]{kind}"
        else:
            kind = type(output).__name__
            self.others[name] = f"is not spatial: it returns a {kind} without a feature map [b, u, h, w]"

    def _note(self, name: str, output: Tensor, place: int) -> None:
        same = next((other for other, seen in self._seen.items() if seen.is_still(output)), None)
        if same is not None and not (same == next(reversed(self._seen)) and _contains(name, same)):
            self.others[name] = f"returns what {same} returned; ask for that"
            return
        if same is not None:
            del self._seen[same]
            self.others[same] = f"returns what {name} returns; ask for that"
        self._seen[name] = _Seen(weakref.ref(output), output._version, LayerShape(*output.shape[1:]), place)

    def leave_out(self, pictures: Tensor) -> None:
        """Take the pictures themselves from the layers."""
        shape = LayerShape(*pictures.shape[1:])
        for name in [name for name, seen in self._seen.items() if seen.shape == shape]:
            del self._seen[name]
            self.others[name] = "draws the picture itself"

    @property
    def layers(self) -> dict[str, LayerShape]:
        """The layers and their shapes, in forward order."""
        return {name: seen.shape for name, seen in self._seen.items()}

    @property
    def places(self) -> dict[str, int]:
        """The number of each layer's feature map among the tensors that its submodule returns."""
        return {name: seen.place for name, seen in self._seen.items()}


def _contains(name: str, other: str) -> bool:
    """Whether the submodule of one call holds that of another."""
    return other.startswith(name.partition("#")[0] + ".")


def run(module: nn.Module, z: Latents, name: str, takes: torch.dtype | None = None) -> Tensor:
    """Run someone's module as it is in use; return its pictures [b, 1 or 3, H, W] with the values that it gives them.

    Args:
        module: returns pictures, or a structure in which they are the largest float tensor [b, 1 or 3, H, W].
        z: the latents.
        name: what to call it in messages.
        takes: the number format in which it takes latents; that of its weights if not given.

    Raises:
        BadModel: it raises, or returns something else.
    """
    with in_use(module), guarded(f"running {name}"):
        output = module(z.to(takes or dtype_of(module)))
    if not isinstance(output, Tensor):
        found = [t for t in tensors(output) if _are_pictures(t, len(z)) and t.is_floating_point()]
        if not found:
            raise BadModel(f"{name} returns a {type(output).__name__}; it must return pictures [b, 3, H, W]")
        output = max(found, key=lambda t: t.shape[2] * t.shape[3])
    if not _are_pictures(output, len(z)):
        raise BadModel(
            f"{name} returns {list(output.shape)} for {len(z)} latents; it must return pictures [b, 3, H, W]"
        )
    if not output.is_floating_point():
        raise BadModel(f"{name} returns {output.dtype} pictures; they must be float")
    return output.float()


def _are_pictures(output: Tensor, count: int) -> bool:
    return output.ndim == 4 and len(output) == count and output.shape[1] in (1, 3)


def _find_bounds(pictures: Tensor, name: str) -> tuple[float, float]:
    low, high = float(pictures.min()), float(pictures.max())
    if low >= -0.1 and high > 2:
        raise BadModel(f"{name} draws values from {low:.3g} to {high:.3g}; say what black and white are: bounds=0..255")
    return (0.0, 1.0) if low >= -0.1 and high <= 1.1 else (-1.0, 1.0)


def device_of(module: nn.Module) -> torch.device:
    """Return where a module computes: where its weights are."""
    return next((t.device for t in itertools.chain(module.parameters(), module.buffers())), torch.device("cpu"))


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the number format in which a module computes: that of its first weights."""
    weights = itertools.chain(module.parameters(), module.buffers())
    return next((t.dtype for t in weights if t.is_floating_point()), torch.float32)


@contextlib.contextmanager
def listening(module: nn.Module, paths: Iterable[str], visit: Visit) -> Iterator[None]:
    """Have `visit` called with the name and output of every call of these submodules; what it returns replaces it.

    The n-th call of a submodule in the block is named ``path#n``, the first one ``path``. No hook outlives the block.
    """
    calls: Counter[str] = Counter()

    def hook(path: str) -> Callable[[nn.Module, Any, Any], Any]:
        def called(_module: nn.Module, _given: Any, output: Any) -> Any:
            calls[path] += 1
            return visit(path if calls[path] == 1 else f"{path}#{calls[path]}", output)

        return called

    with contextlib.ExitStack() as hooks:
        for path in paths:
            hooks.callback(module.get_submodule(path).register_forward_hook(hook(path)).remove)
        yield


@contextlib.contextmanager
def in_use(module: nn.Module, *, learning: bool = False) -> Iterator[None]:
    """Have a module in evaluation mode, with no gradients for its weights unless `learning`; it is as it was after."""
    training = [part for part in module.modules() if part.training]
    weights = [w for w in module.parameters() if w.requires_grad != learning and w.is_floating_point()]
    try:
        for part in training:
            part.training = False
        for weight in weights:
            weight.requires_grad_(learning)
        yield
    finally:
        for part in training:
            part.training = True
        for weight in weights:
            weight.requires_grad_(not learning)
