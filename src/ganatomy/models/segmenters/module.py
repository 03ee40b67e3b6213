"""Any torch module that labels pixels: ``torch:package.module:callable?vocabulary=FILE``, or `as_segmenter`."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import torch
import torch.nn.functional as F
from jaxtyping import Integer
from torch import Tensor, nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadModel, BadValue
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors, instantiate
from ganatomy.core.tensor_types import Images, Labels, Scores
from ganatomy.core.vocabulary import Concept, Vocabulary, checked_vocabulary, read_vocabulary
from ganatomy.models.segmenters.protocol import check_concept, check_range, plane_names
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.weights import load_weights
from ganatomy.models.wrapped import cast, frozen, unwrapped, weights_fingerprint


class ModuleSegmenter:
    """A module around which nothing is known but its vocabulary; every output is checked.

    The module gets images in [-1, 1] and returns, for each plane, class logits [b, C, h, w] or a label map of
    integers [b, h, w]: one tensor, or a tuple, list or dictionary of them in the order of the planes, or label maps
    stacked as [b, plane, h, w]. Label maps number the concepts of the vocabulary. So do the channels of logits, if
    there are as many as concepts; else they are nothing and the concepts of the category that names the plane. Logits
    of another size than the images are resized bilinearly before the argmax, label maps by nearest neighbour.
    With a `dtype` a copy of the module computes in that format, and gets images in it; logits are then made float32.
    """

    def __init__(
        self,
        module: Callable[..., Any],
        vocabulary: Vocabulary,
        *,
        planes: Sequence[str] = (),
        device: torch.device,
        dtype: torch.dtype | None = None,
        name: str = "the module",
    ) -> None:
        self.vocabulary = vocabulary
        self.planes = tuple(planes) or plane_names(vocabulary)
        if len(set(self.planes)) < len(self.planes) or not all(self.planes):
            raise BadValue(f"planes={','.join(self.planes)}: give each plane a name of its own, as planes=object,part")
        self.device = device
        self.fingerprint = fingerprint({}, name, vocabulary, self.planes)
        if isinstance(module, nn.Module):
            if dtype is not None:
                with foreign_errors(f"copying {name}"):
                    module = copy.deepcopy(unwrapped(module))
                module = cast(module, dtype, name)
            module = frozen(module, device, name)
            facts = [] if dtype in (None, torch.float32) else [str(dtype)]  # weights may be the same in both
            self.fingerprint = weights_fingerprint(module, name, vocabulary, self.planes, *facts)
        elif dtype is not None:
            raise BadValue(f"{name} is no torch module, whose weights dtype= could cast; leave it out")
        self._module, self._name, self._dtype = module, name, dtype
        self._everything = torch.arange(len(vocabulary), device=device)

    @torch.no_grad()
    def __call__(self, images: Images) -> Labels:
        """Return the labels of the module."""
        found = self._planes(images)
        return torch.stack([self._labels(out, plane, images) for out, plane in zip(found, self.planes, strict=True)], 1)

    def score(self, images: Images, concept: int) -> Scores:
        """Return the softmax probability of a concept, summed over the planes that may show it."""
        check_concept(self.vocabulary, concept)
        total = images.new_zeros(len(images), *images.shape[2:])
        for out, plane in zip(self._planes(images), self.planes, strict=True):
            if not out.is_floating_point():
                raise BadModel(f"{self._name} returns labels, not logits: it cannot score a concept")
            own = self._channels(out, plane) == concept
            if bool(own.any()):
                scores = self._resized(out, images).softmax(1)
                total = total + scores[:, own].sum(1)
        return total.clamp(0, 1)

    def _planes(self, images: Images) -> list[Tensor]:
        """Run the module and return one tensor a plane: logits [b, C, h, w] or labels [b, h, w]."""
        with foreign_errors(self._name):
            out = self._module(images if self._dtype is None else images.to(self._dtype))
        if isinstance(out, Mapping):
            out = list(out.values())
        elif isinstance(out, Tensor):
            stacked = out.ndim == 4 and not out.is_floating_point()
            out = list(out.unbind(1)) if stacked else [out]
        if not isinstance(out, (tuple, list)):
            raise BadModel(f"{self._name} returned a {type(out).__name__}, not class logits or label maps")
        if len(out) != len(self.planes):
            shapes = ", ".join(str(list(each.shape)) for each in out if isinstance(each, Tensor))
            raise BadModel(
                f"{self._name} returned {len(out)} planes ({shapes}), expected {len(self.planes)} "
                f"({', '.join(self.planes)}); return one plane for each, or name those that it returns with planes="
            )
        for plane in out:
            self._check(plane, images)
        return list(out)

    def _check(self, plane: Any, images: Images) -> None:
        if not isinstance(plane, Tensor) or plane.dtype == torch.bool or plane.is_complex():
            kind = str(plane.dtype) if isinstance(plane, Tensor) else type(plane).__name__
            raise BadModel(f"{self._name} returned a plane of type {kind}, not class logits or integer labels")
        rank = 4 if plane.is_floating_point() else 3
        if plane.ndim != rank or len(plane) != len(images) or 0 in plane.shape:
            kind = "logits [b, C, h, w]" if rank == 4 else "labels [b, h, w]"
            raise BadModel(f"{self._name} returned shape {list(plane.shape)}, expected {kind} with b = {len(images)}")
        if rank == 4 and bool(plane.isnan().any()):
            raise BadModel(f"{self._name} returned NaN logits")

    def _labels(self, out: Tensor, plane: str, images: Images) -> Integer[Tensor, "b H W"]:
        if out.is_floating_point():
            return self._channels(out, plane)[self._resized(out, images).argmax(1)]
        check_range(out, self.vocabulary, self._name)
        if out.shape[1:] == images.shape[2:]:
            return out.long()
        return F.interpolate(out[:, None].double(), images.shape[2:], mode="nearest-exact")[:, 0].long()

    def _channels(self, logits: Tensor, plane: str) -> Tensor:
        """Return the concept of each channel."""
        if logits.shape[1] == len(self.vocabulary):
            return self._everything
        own = [0, *(i for i, concept in enumerate(self.vocabulary) if concept.category == plane)]
        if logits.shape[1] != len(own):
            hint = ""
            if len(own) == 1:
                hint = f"; its categories are {', '.join(plane_names(self.vocabulary))}, so name planes after them"
            elif logits.shape[1] + 1 in (len(own), len(self.vocabulary)):
                hint = "; the first channel must be for nothing, as the first concept is"
            raise BadModel(
                f"{self._name} returned {logits.shape[1]} channels for plane {plane}, expected {len(self.vocabulary)} "
                f"(the vocabulary) or {len(own)} (nothing and the concepts of category {plane}){hint}"
            )
        return self._everything[own]

    @staticmethod
    def _resized(logits: Tensor, images: Images) -> Tensor:
        if logits.shape[2:] == images.shape[2:]:
            return logits.float()
        return F.interpolate(logits.float(), images.shape[2:], mode="bilinear")


def as_segmenter(
    module: Callable[..., Any],
    vocabulary: Sequence[tuple[str, str]],
    *,
    planes: Sequence[str] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> ModuleSegmenter:
    """Make a segmenter of a module at hand, which is frozen; `ModuleSegmenter` says what it may return.

    With a `dtype` a copy of it is, and computes in that format.

    >>> from ganatomy.core.vocabulary import NOTHING, Concept
    >>> bright = lambda images: (images.mean(1) > 0).long()
    >>> segmenter = as_segmenter(bright, [NOTHING, Concept("bright", "object")])
    >>> segmenter(torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    if not all(isinstance(each, tuple | list) and len(each) == 2 for each in vocabulary):
        raise BadValue("the vocabulary must be a list of Concept(name, category), the first of them nothing")
    concepts = checked_vocabulary([Concept(*each) for each in vocabulary], "the vocabulary")
    planes = planes.split(",") if isinstance(planes, str) else planes
    return ModuleSegmenter(module, concepts, planes=planes, device=torch.device(device), dtype=dtype)


def named_module(argument: str, options: Mapping[str, str], weights: str, prefix: str) -> tuple[Any, str]:
    """Call ``package.module:callable`` with the options and load weights into the module; return also its name."""
    module = instantiate(argument, options)
    if weights:
        if not isinstance(module, nn.Module):
            raise BadValue(f"{argument} returned no torch module that could load weights={weights}")
        load_weights(module, Path(weights), prefix)
    return module, f"{argument}?{urlencode(options)}" if options else argument


@SEGMENTERS.register("torch", argument="code")
def open_module(
    argument: str,
    /,
    *,
    device: torch.device,
    vocabulary: str = "",
    weights: str = "",
    prefix: str = "",
    planes: str = "",
    dtype: str | None = None,
    **options: str,
) -> ModuleSegmenter:
    """Open ``package.module:callable``; it takes all options but vocabulary=, weights=, prefix=, planes=A,B, dtype=."""
    if not vocabulary:
        raise BadValue(f"torch:{argument} needs a vocabulary; add ?vocabulary=FILE, a JSON list of [name, category]")
    concepts = read_vocabulary(Path(vocabulary))
    module, name = named_module(argument, options, weights, prefix)
    return ModuleSegmenter(
        module,
        concepts,
        planes=planes.split(",") if planes else (),
        device=device,
        dtype=None if dtype is None else find_dtype(dtype),
        name=name,
    )
