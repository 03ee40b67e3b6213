"""Any torch module as a generator, its layers read and replaced by hooks."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel, UnknownName
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators.batches import ChunkedEdit, Hook, check_alone
from ganatomy.models.generators.hooks import LayerHook, LayerPlan, check_update, hooked, readable
from ganatomy.models.generators.outputs import find_bounds, images_in, warn_clipped
from ganatomy.models.generators.protocol import (
    Edit,
    Layers,
    LayerShape,
    Observation,
    edits_by_layer,
    forward_order,
    onward_edits,
)
from ganatomy.models.generators.survey import Survey
from ganatomy.models.wrapped import (
    check_numbers,
    check_readable,
    device_of,
    dtype_of,
    uncompiled,
    weights_fingerprint,
)

LatentSource = Callable[[range, int], Tensor]
PROBES = 16
"""Images that are drawn once, to find which values mean black and white."""


class HookedGenerator:
    """A generator made of any module.

    Its layers are the submodules that return a feature map, a float tensor [b, u, h, w], by their path in the module
    and in forward order. A submodule that is called again is another layer, ``path#2``. Submodules that return the same
    tensor are one layer: it has the name of the container, if a container returns what its last child returned, else
    that of the first. The image itself is no layer, nor is what has its shape (the image before its last squashing).

    Of a submodule that returns a tuple, list, mapping or object, nested or not, the first feature map in it is the
    layer. It is replaced wherever this tensor is in what the submodule returns (a block's output is often the last of
    its skips, too). Images are found in the same way; of several, the largest count.

    A module that splits its batch is given so few latents at a time that its layers see all of them. Images
    must be functions of their own latents: those of a latent are compared in several batches.

    The module is used in evaluation mode, with no gradients for its weights, and left as it was. Latents are given to
    it in the number format of its weights; features and images are float32 here, whatever it computes in. `render`
    runs all of it: what precedes the layer is computed too, and its result thrown away.

    Args:
        module: takes latents [b, …], returns images [b, 3, H, W], or [b, 1, H, W] in grey.
        source: returns the latents of ids and a seed; float32.
        bounds: the values that mean black and white. Found if not given: 0 and 1 if hardly a value of 16 images is
            below, else -1 and 1; refused where more than 2 % of the values are beyond them.
        layers: the layers to offer; else all.
        name: of the module in messages.
        output: which of several tensors that it returns are the images, such as ``image`` or ``0``.
        forward: what runs the module on float32 latents, where that is not a call of it with them.

    Attributes:
        network: the module itself.
        output: which tensor of what it returns is taken as the images; empty if it returns nothing else.
        layers: shape of every layer, in forward order; and by name, ``path~update``, of what a submodule adds to its
            input.
        others: the submodules that are no layers, each with the reason, such as "draws the image itself".
        encode: returns the latents of images, of a model that can do that.

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
        output: str = "",
        forward: Callable[[Tensor], Any] | None = None,
    ) -> None:
        check_readable(module, name)
        check_numbers(module, name)
        self.encode: Callable[[Images], Latents] | None = None
        self.network, self._source, self._name, self._forward = module, source, name, forward
        self.device, self.output, self._batch_limit = device_of(module), output, sys.maxsize
        z = self.latents(range(2 if bounds else PROBES), 0)
        self._latent = tuple(z.shape[1:])
        survey, images = self._probe(z)
        self._bounds = bounds or find_bounds(images, name)
        warn_clipped(images, self._bounds, name)
        self.layers: Mapping[str, LayerShape] = Layers(survey.layers, survey.updates)
        self._forms = survey.forms
        self.others: Mapping[str, str] = survey.others
        if layers:
            self.check_layers(layers)
            self.layers = {layer: self.layers[layer] for layer in sorted(set(layers), key=forward_order(self.layers))}
        self.fingerprint = weights_fingerprint(module, name, self._bounds, self._latent, *filter(None, [output]))

    def __repr__(self) -> str:
        low, high = self._bounds
        return (
            f"<{type(self).__name__} of {self._name}: latents {list(self._latent)}, {len(self.layers)} layers, "
            f"values from {low:g} (black) to {high:g} (white), on {self.device}>"
        )

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the latents of these ids."""
        with foreign_errors(f"the latents of {self._name}"):
            z = self._source(ids, seed)
        if not isinstance(z, Tensor) or len(z) != len(ids):
            given = list(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise BadModel(f"the latents of {self._name} are {given} for {len(ids)} ids; they must be [b, …]")
        return z.to(self.device)

    def network_input(self, z: Latents) -> Latents:
        """Return latents in the number format of the network."""
        return z if self._forward else z.to(dtype_of(self.network))

    @torch.no_grad()
    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the images and the features of layers, of one forward pass without gradients; see `Subject`."""
        planned = edits_by_layer(edits)
        self.check_layers([*layers, *planned])
        images, features = self._draw(z, layers, planned, {})
        return Observation(images, {name: features[name] for name in layers})

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the images with the layer's output replaced by `r`; see `Generator`.

        Raises:
            BadModel: a gradient is wanted, and the module computes the layer without one, or again in the backward
                pass (activation checkpointing), where r would not be in its place.
        """
        self.check_layers([layer, *edits_by_layer(edits)])
        return self._draw(z, (), onward_edits(edits, layer, self.layers), {layer: r})[0]

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits at any layers, of one forward pass without gradients."""
        return self.observe(z, (), edits).images

    def differentiable(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits; they are differentiable in z where the module is, and in the edits' values."""
        planned = edits_by_layer(edits)
        self.check_layers(list(planned))
        return self._draw(z, (), planned, {})[0]

    def check_layers(self, layers: Sequence[str]) -> None:
        """Refuse what is no layer.

        Raises:
            UnknownName: there is no such submodule.
            BadModel: there is, but its output is not a feature map.
        """
        for name in layers:
            check_update(name, self._name, self.layers, self.others)
            if name in self.others:
                raise BadModel(f"layer {name} of {self._name} {self.others[name]}")
            if name not in self.layers:
                raise UnknownName(f"layer of {self._name}", name, self.layers)

    @torch.no_grad()
    def _probe(self, z: Latents) -> tuple[Survey, Tensor]:
        """Draw some images, a few at a time, and find what is computed on the way."""
        surveys: list[Survey] = []

        def draw(batch: Latents) -> Tensor:
            survey = Survey(len(batch))
            with self._hooked(survey):
                images = self._run(batch)
            survey.exclude_images(images)
            surveys.append(survey)
            return images

        images = check_alone(draw, z[:2], self.network, self._hooked, (self._name, "image of a latent"))
        survey, first, second, *_ = surveys
        if survey.splits_batch or first.splits_batch:
            draw(z[:1])
            survey = surveys[-1]
        else:
            survey.exclude_others(first)
            survey.exclude_mixed(first, second)
        survey.exclude_tiles()
        scripted = [path for path, part in self.network.named_modules() if isinstance(part, torch.jit.ScriptModule)]
        survey.others.update(dict.fromkeys(scripted, "is TorchScript, whose output cannot be read"))
        if not survey.layers:
            reasons = "; ".join(f"{name} {reason}" for name, reason in list(survey.others.items())[-3:])
            raise BadModel(
                f"{self._name} has no layer: none of its submodules returns a feature map [b, u, h, w]"
                + (f" ({reasons})" if reasons else "")
            )
        return survey, torch.cat([images, *(self._run(part) for part in torch.split(z[2:], 2) if len(part))])

    def _hooked(self, hook: Hook) -> contextlib.AbstractContextManager[None]:
        return hooked(self.network, readable(self.network), hook)

    def _run(self, z: Latents) -> Tensor:
        returned = call(self.network, self.network_input(z), self._name, self._forward)
        self.output, images = images_in(returned, len(z), self._name, self.output)
        return images

    def _draw(
        self, z: Latents, kept: Sequence[str], planned: Mapping[str, list[Edit]], put: Mapping[str, Features]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return images, and features of layers `kept`, after edits and replacements; as many rows at once as it can.

        The module itself may split its batch: it is then given fewer latents.
        """
        size = max(min(self._batch_limit, len(z)), 1)
        edits = planned
        if size < len(z):
            edits = {name: [ChunkedEdit(edit, len(z)) for edit in each] for name, each in planned.items()}
        chunks: list[tuple[Tensor, dict[str, Tensor]]] = []
        for start in range(0, max(len(z), 1), size):
            rows = slice(start, start + size)
            drawn = self._draw_chunk(z[rows], kept, edits, {name: r[rows] for name, r in put.items()})
            if isinstance(drawn, int):
                self._batch_limit = drawn
                return self._draw(z, kept, planned, put)
            chunks.append(drawn)
        low, high = self._bounds
        images = torch.cat([images for images, _ in chunks])
        if (low, high) != (-1, 1):
            images = (images - low) * (2 / (high - low)) - 1
        return images.expand(-1, 3, -1, -1), {name: torch.cat([read[name] for _, read in chunks]) for name in kept}

    def _draw_chunk(
        self, z: Latents, kept: Sequence[str], planned: Mapping[str, list[Edit]], put: Mapping[str, Features]
    ) -> tuple[Tensor, dict[str, Tensor]] | int:
        """Run the module once; return how many latents to give it instead, where a layer saw only a part of these."""
        followed = torch.is_grad_enabled() and any(r.requires_grad for r in put.values())
        hook = LayerHook(self._name, self._forms, len(z), LayerPlan(kept, planned, put, followed))
        try:
            with hook.on(self.network):
                images = self._run(z)
        except BadModel:
            if hook.fewest == len(z):
                raise
        if hook.fewest < len(z):
            if not hook.fewest:
                layers = ", ".join(sorted({*kept, *planned, *put}))
                raise BadModel(f"{self._name} does not return one map for each latent at {layers}")
            return hook.fewest
        hook.check_done()
        if followed and not images.requires_grad:
            raise BadModel(f"{self._name} keeps no gradient from {', '.join(put)} to its images")
        return images, hook.features


def call(module: nn.Module, inputs: Tensor, name: str, forward: Callable[[Tensor], Any] | None = None) -> Any:
    """Return what a module, or `forward`, which runs it, returns in evaluation mode, without gradients for its weights.

    Raises:
        BadModel: it raises.
    """
    with evaluating(module), uncompiled(module), foreign_errors(f"running {name}"):
        return (forward or module)(inputs)


@contextlib.contextmanager
def evaluating(module: nn.Module, *, learning: bool = False) -> Iterator[None]:
    """Put a module in evaluation mode, with no gradients for its weights unless `learning`; restore it after."""
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
