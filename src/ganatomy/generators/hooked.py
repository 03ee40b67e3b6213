"""Any torch module as a generator, its layers read and replaced by hooks. The only file that knows of hooks."""

import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.errors import BadModel, UnknownName
from ganatomy.generators.batches import Grown, Visit, check_alone
from ganatomy.generators.outputs import find_bounds, images_in, say_clipped
from ganatomy.generators.protocol import Edit, LayerShape, Observation, applied, edits_by_layer, onward_edits
from ganatomy.generators.structures import replaced, tensors
from ganatomy.generators.survey import Survey
from ganatomy.imported import guarded
from ganatomy.types import Features, Images, Latents
from ganatomy.wrapped import (
    check_followed,
    check_numbers,
    check_readable,
    device_of,
    dtype_of,
    uncompiled,
    weights_fingerprint,
)

LatentSource = Callable[[range, int], Tensor]
Drawn = tuple[Tensor, dict[str, Tensor]]
"""Images, and the features of layers by name."""

PROBES = 16
"""Images that are drawn once, to see which values mean black and white."""


class HookedGenerator:
    """A generator made of a module that nobody wrote for this package.

    Its layers are the submodules that return a feature map, a float tensor [b, u, h, w], by their path in the module
    and in forward order. A submodule that is called again is another layer, ``path#2``. Submodules that return the same
    tensor are one layer: it has the name of the container, if a container hands on what its last child made, else that
    of the first. The image itself is no layer, nor is what has its shape (the image before its last squashing).

    Of a submodule that returns a tuple, list, mapping or object, nested or not, the first feature map in it is the
    layer. When it is replaced, it is replaced wherever this tensor stands in what the submodule returns (a block's
    output is often the last of its skips, too). Images are looked for in the same way; of several, the largest count.

    A module that takes its batch in parts is given so few latents at a time that its layers see all of them. Images
    must be functions of their own latents: those of a latent are compared in several batches.

    The module is used in evaluation mode, with no gradients for its weights, and left as it was. Latents are given to
    it in the number format of its weights; features and images are float32 here, whatever it computes in. `render`
    runs all of it: what comes before the layer is computed too, and its result thrown away.

    Args:
        module: takes latents [b, …], returns images [b, 3, H, W], or [b, 1, H, W] in grey.
        source: gives the latents of ids and a seed; float32.
        bounds: the values that mean black and white. Found if not given: 0 and 1 if hardly a value of 16 images is
            below, else -1 and 1; refused where more than 2 % of the values are beyond them.
        layers: the layers to offer; all if none is named.
        name: what to call the module in messages.
        takes: the number format in which latents are given to the module, if not that of its weights.
        output: which of several tensors that it returns are the images, such as ``image`` or ``0``.

    Attributes:
        network: the module itself.
        output: which tensor of what it returns is taken as the images; empty if it returns nothing else.
        layers: shape of every layer, in forward order.
        others: the submodules that are no layers, each with the reason, such as "draws the image itself".

    Raises:
        BadModel: it raises, returns no images, images that depend on chance or on the batch, or has no layer.
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
        output: str = "",
    ) -> None:
        check_readable(module, name)
        check_numbers(module, name)
        self.network, self._source, self._name, self._takes = module, source, name, takes
        self.device, self.output, self._most = device_of(module), output, sys.maxsize
        z = self.latents(range(2 if bounds else PROBES), 0)
        survey, images = self._look(z)
        self._bounds = bounds or find_bounds(images, name)
        say_clipped(images, self._bounds, name)
        self.layers: Mapping[str, LayerShape] = survey.layers
        self._places = survey.places
        self.others: Mapping[str, str] = survey.others
        if layers:
            self._check(layers)
            self.layers = {layer: shape for layer, shape in self.layers.items() if layer in layers}
        self.fingerprint = weights_fingerprint(module, name, self._bounds, tuple(z.shape[1:]), *filter(None, [output]))

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
        """Draw the images and read every asked layer in one forward pass, edits made on the way."""
        planned = edits_by_layer(edits)
        self._check([*layers, *planned])
        images, features = self._draw(z, layers, planned, {})
        return Observation(images, {name: features[name] for name in layers})

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Draw the images with the layer's output replaced by `r`, edits made on the way. Differentiable in r.

        Raises:
            BadModel: a gradient is wanted, and the module computes the layer without one, or again in the backward
                pass (activation checkpointing), where r would not be in its place.
        """
        self._check([layer, *edits_by_layer(edits)])
        return self._draw(z, (), onward_edits(edits, layer, self.layers), {layer: r})[0]

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Draw the images with edits at any layers, in one forward pass without gradients."""
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

    def _missed(self, layer: str) -> BadModel:
        return BadModel(f"{self._name} did not compute its layer {layer} this time")

    @torch.no_grad()
    def _look(self, z: Latents) -> tuple[Survey, Tensor]:
        """Draw some images, a few at a time, and see what is computed on the way."""
        surveys: list[Survey] = []

        def draw(batch: Latents) -> Tensor:
            survey = Survey(len(batch))
            with self._listening(survey):
                images = self._run(batch)
            survey.leave_out(images)
            surveys.append(survey)
            return images

        images = check_alone(draw, z[:2], self.network, self._listening, (self._name, "image of a latent"))
        survey, first, second, *_ = surveys
        if survey.in_parts or first.in_parts:
            draw(z[:1])
            survey = surveys[-1]
        else:
            survey.leave_out_others(first)
            survey.leave_out_mixed(first, second)
        survey.leave_out_tiles()
        scripted = [path for path, part in self.network.named_modules() if isinstance(part, torch.jit.ScriptModule)]
        survey.others.update(dict.fromkeys(scripted, "is TorchScript, whose output cannot be read"))
        if not survey.layers:
            reasons = "; ".join(f"{name} {reason}" for name, reason in list(survey.others.items())[-3:])
            raise BadModel(
                f"{self._name} has no layer: none of its submodules returns a feature map [b, u, h, w]"
                + (f" ({reasons})" if reasons else "")
            )
        return survey, torch.cat([images, *(self._run(part) for part in torch.split(z[2:], 2) if len(part))])

    def _listening(self, visit: Visit) -> contextlib.AbstractContextManager[None]:
        """Have `visit` called with what every submodule returns."""
        return listening(self.network, readable(self.network), visit)

    def _run(self, z: Latents) -> Tensor:
        returned = returned_by(self.network, z, self._name, self._takes)
        self.output, images = images_in(returned, len(z), self._name, self.output)
        return images

    def _draw(
        self, z: Latents, kept: Sequence[str], planned: Mapping[str, list[Edit]], put: Mapping[str, Features]
    ) -> Drawn:
        """Draw images and read layers, with edits, and layers replaced; as few at a time as the module itself takes."""
        while True:
            most = max(min(self._most, len(z)), 1)
            edits = planned
            if most < len(z):
                edits = {name: [Grown(edit, len(z)) for edit in each] for name, each in planned.items()}
            parts: list[Drawn] = []
            for start in range(0, max(len(z), 1), most):
                rows = slice(start, start + most)
                drawn = self._forward(z[rows], kept, edits, {name: r[rows] for name, r in put.items()})
                if isinstance(drawn, int):
                    self._most = drawn
                    break
                parts.append(drawn)
            else:
                low, high = self._bounds
                images = torch.cat([images for images, _ in parts])
                if (low, high) != (-1, 1):
                    images = (images - low) * (2 / (high - low)) - 1
                features = {name: torch.cat([read[name] for _, read in parts]) for name in kept}
                return images.expand(-1, 3, -1, -1), features

    def _forward(
        self, z: Latents, kept: Sequence[str], planned: Mapping[str, list[Edit]], put: Mapping[str, Features]
    ) -> Drawn | int:
        """Run the module once; return how many latents to give it, where a layer saw only a part of these."""
        listened = {*kept, *planned, *put}
        features: dict[str, Tensor] = {}
        follows = torch.is_grad_enabled() and any(r.requires_grad for r in put.values())
        fewest = len(z)

        def visit(name: str, output: Any, _given: Any) -> Any:
            nonlocal fewest
            if name not in listened:
                return None
            own = self._map(name, output)
            if len(own) != len(z):
                fewest = min(fewest, len(own) if len(own) < len(z) else len(z) // 2)
                return None
            r = applied(planned.get(name, ()), put[name] if name in put else own.float())
            features[name] = r.clone() if name in kept else r  # what comes next may overwrite it
            if name not in planned and name not in put:
                return None
            if follows:
                check_followed(self._name, name)
            return replaced(output, own, r.to(own.dtype, copy=True))

        try:
            with listening(self.network, {name.partition("#")[0] for name in listened}, visit):
                images = self._run(z)
        except BadModel:
            if fewest == len(z):
                raise
        if fewest < len(z):
            if not fewest:
                raise BadModel(f"{self._name} does not return one map for each latent at {', '.join(sorted(listened))}")
            return fewest
        for name in listened:
            if name not in features:
                raise self._missed(name)
        if follows and not images.requires_grad:
            raise BadModel(f"{self._name} keeps no gradient from {', '.join(put)} to its images")
        return images, features


def run(module: nn.Module, z: Latents, name: str, takes: torch.dtype | None = None) -> Tensor:
    """Run someone's module as it is in use; return its images [b, 1 or 3, H, W] with the values that it gives them.

    Args:
        module: returns images, alone or among other tensors; see `images_in`.
        z: the latents.
        name: what to call it in messages.
        takes: the number format in which it takes latents; that of its weights if not given.

    Raises:
        BadModel: it raises, or returns something else.
    """
    return images_in(returned_by(module, z, name, takes), len(z), name)[1]


def returned_by(module: nn.Module, z: Latents, name: str, takes: torch.dtype | None = None) -> Any:
    """Return what someone's module makes of latents as it is in use, whatever that is.

    Raises:
        BadModel: it raises.
    """
    with in_use(module), uncompiled(module), guarded(f"running {name}"):
        return module(z.to(takes or dtype_of(module)))


def readable(module: nn.Module) -> list[str]:
    """Return the paths of the submodules whose output can be read: all but TorchScript."""
    return [path for path, part in module.named_modules() if path and not isinstance(part, torch.jit.ScriptModule)]


@contextlib.contextmanager
def listening(module: nn.Module, paths: Iterable[str], visit: Visit) -> Iterator[None]:
    """Have `visit` called with the name, output and input of every call of these submodules.

    What it returns, if anything, replaces the output.

    The n-th call of a submodule in the block is named ``path#n``, the first one ``path``. No hook outlives the block.
    """
    calls: Counter[str] = Counter()

    def hook(path: str) -> Callable[[nn.Module, Any, Any, Any], Any]:
        def called(_module: nn.Module, given: Any, named: Any, output: Any) -> Any:
            calls[path] += 1
            return visit(path if calls[path] == 1 else f"{path}#{calls[path]}", output, (given, named))

        return called

    with contextlib.ExitStack() as hooks:
        for path in paths:
            hooks.callback(module.get_submodule(path).register_forward_hook(hook(path), with_kwargs=True).remove)
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
