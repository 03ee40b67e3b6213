"""Networks that classify images: ``classifier:package.module:callable?images=DIR&weights=FILE&size=224``.

Network Dissection (Bau et al. 2017): what the units of a classifier respond to, in images that somebody labelled.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile, BadModel, BadValue, UnknownName
from ganatomy.core.files import read_text
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.models.generators.batches import check_alone
from ganatomy.models.generators.hooked import HookedGenerator, call
from ganatomy.models.generators.hooks import hooked, readable
from ganatomy.models.generators.module import build, check_arguments, numbers_in
from ganatomy.models.generators.nested_tensors import tensors
from ganatomy.models.generators.protocol import Edit, Observation
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.generators.suffix_runner import SuffixRunner, SuffixRunners
from ganatomy.models.generators.view import View
from ganatomy.models.wrapped import cast, check_readable, device_of, dtype_of, frozen, unwrapped, weights_fingerprint


class Classifier:
    """A network that returns scores of images, opened at the layers that `HookedGenerator` would find in it.

    It is a subject to dissect and no generator: it shows the images as they are, whatever is edited, in the size that
    `View.labelled` says. Edits change its scores; `rest` returns them without computing again what precedes a layer.
    The network is frozen, in evaluation mode.

    Args:
        module: takes images [b, 3, H, W], returns scores [b, classes], or a structure whose first float tensor with
            a row for each image they are (an attribute or entry ``logits``, if there is one).
        view: the images.
        layers: the layers to offer; else all.
        classes: names of the scores, in their order; else the classes of the images.
        name: of the network in messages and fingerprints.

    Attributes:
        layers: shape of every layer, in forward order.
        others: the submodules that are no layers, each with the reason.
        scores: how many there are.
        label_size: height and width at which images are shown and segmented.

    Raises:
        UnknownName: no such layer, or a class of the images that is not among `classes`.
        BadFile: its weights hold NaN or Inf, or an image cannot be read.
        BadModel: it raises, returns no scores, other scores every time, or has no layer.
    """

    def __init__(
        self,
        module: nn.Module,
        view: View,
        *,
        layers: Sequence[str] = (),
        classes: Sequence[str] = (),
        name: str = "module",
    ) -> None:
        module = unwrapped(module)
        check_readable(module, name)
        module = frozen(module, device_of(module), name)
        check_arguments(module, name)
        self._module, self._view, self._name, self._batch_limit = module, view, name, sys.maxsize
        self._hooked = HookedGenerator(
            module, view.latents, bounds=(-1.0, 1.0), layers=layers, name=name, forward=self._images
        )
        self.layers, self.others, self.device = self._hooked.layers, self._hooked.others, self._hooked.device
        self.label_size = view.labelled.shape
        self.scores = self._probe()
        self.classes = tuple(classes) or view.dataset.classes
        for each in view.dataset.classes:
            if each not in self.classes:
                raise UnknownName(f"class among those of the scores of {name}", each, self.classes)
        weights = weights_fingerprint(nn.ModuleDict({"net": module}), name, (-1.0, 1.0), (2,))
        facts = (view.dataset.fingerprint, view.frame, view.split, view.mean, view.std, self.classes)
        finer = [view.labelled] if view.labelled != view.frame else []
        self.fingerprint = fingerprint({}, "classifier", weights, *facts, *finer)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return the numbers of the images of a sample: the split, shuffled by the seed.

        Raises:
            BadValue: there are not so many images.
        """
        return self._view.latents(ids, seed).to(self.device)

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the images and the features of layers, of one forward pass; see `Subject`.

        Raises:
            UnknownName: there is no such submodule.
            BadModel: there is, but its output is no feature map.
        """
        seen = self._hooked.observe(z, layers, edits)
        labelled = self._view.labelled
        images = seen.images if labelled == self._view.frame else self._view.images(z, labelled)
        return Observation(images, seen.features, self._view.shown(z))

    def rest(self, z: Latents, layer: str) -> SuffixRunner | SuffixRunners:
        """Return the rest of the network from a layer on, for these images: from features to scores.

        Raises:
            UnknownName, BadModel: as `observe`.
        """
        self._hooked.check_layers([layer])
        inputs = self._view.inputs(self._view.images(z))
        while self._batch_limit:
            parts = []
            for rows in torch.split(inputs, min(self._batch_limit, max(len(inputs), 1))):
                part = SuffixRunner(self._module, layer, partial(self._scores, rows))
                if (seen := len(part.features)) != len(rows):  # the network splits its batch
                    self._batch_limit = seen if seen < len(rows) else len(rows) // 2
                    break
                parts.append(part)
            else:
                return parts[0] if len(parts) == 1 else SuffixRunners(parts)
        raise BadModel(f"{self._name} does not return one map for each image at {layer}")

    def truth(self, z: Latents) -> Int64[Tensor, " b"]:
        """Return the class of each image, an index into `classes`.

        Raises:
            BadValue: the images are in no classes, or there is not one class for each score.
        """
        own = self._view.dataset.classes
        if not own:
            why = getattr(self._view.dataset, "unclassed", "") or "give each class a folder"
            raise BadValue(f"{self._view.dataset.name}: the images are in no classes; {why}")
        if len(self.classes) != self.scores:
            raise BadValue(
                f"{self._name} gives {self.scores} scores and there are {len(self.classes)} classes; say what each "
                "score stands for: classes=FILE, the name of a class in each line"
            )
        indices = [self.classes.index(each) for each in own]
        found = self._view.dataset.class_ids(self._view.shown(z).indices)
        if -1 in found:
            raise BadValue(f"{self._view.dataset.name}: some images are in no class; give each class a folder")
        return torch.tensor([indices[i] for i in found], device=self.device)

    def _images(self, z: Latents) -> Images:
        """Return the images of latents, after a run of the network on them."""
        images = self._view.images(z)
        self._module(self._view.inputs(images).to(dtype_of(self._module)))
        return images

    def _scores(self, inputs: Images) -> Float[Tensor, "b c"]:
        output = call(self._module, inputs.to(dtype_of(self._module)), self._name)
        scores = scores_in(output, len(inputs))
        if scores is None:
            kind = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise BadModel(f"{self._name} returns {kind} for {len(inputs)} images; it must return scores [b, classes]")
        return scores

    @torch.no_grad()
    def _probe(self) -> int:
        """Return how many scores there are, after a check that they are a function of an image alone."""
        inputs = self._view.inputs(self._view.images(self.latents(range(2), 0)))
        hooks = partial(hooked, self._module, readable(self._module))
        return check_alone(self._scores, inputs, self._module, hooks, (self._name, "score of an image")).shape[1]


def scores_in(output: object, count: int) -> Float[Tensor, "b c"] | None:
    """Return the scores in what a network returned for `count` images, as float32 [b, classes]; None if none are."""
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    for found in tensors(output if named is None else named):
        if found.is_floating_point() and found.ndim and len(found) == count and found.shape[2:].numel() == 1:
            return found.reshape(count, -1).float()
    return None


def as_classifier(
    module: nn.Module,
    view: View,
    *,
    layers: Sequence[str] = (),
    classes: Sequence[str] = (),
    name: str | None = None,
) -> Classifier:
    """Make a subject to dissect of a network at hand, which is frozen.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> classifier = as_classifier(net, View.open("scenes:church", 32))
    >>> list(classifier.layers.items())[0]
    ('0', LayerShape(units=4, height=30, width=30))
    >>> classifier.observe(classifier.latents(range(5), seed=0), ["1"]).features["1"].shape
    torch.Size([5, 4, 30, 30])
    """
    name = name or type(unwrapped(module)).__name__
    return Classifier(module, view, layers=layers, classes=classes, name=name)


@GENERATORS.register("classifier", argument="code")
def open_classifier(
    argument: str,
    /,
    *,
    device: torch.device,
    images: str = "",
    weights: str = "",
    prefix: str = "",
    size: int = 224,
    crop: float = 0.0,
    split: str = "",
    mean: str = "0.5,0.5,0.5",
    std: str = "0.5,0.5,0.5",
    layers: str = "",
    classes: str = "",
    dtype: str = "float32",
    label_size: int = 0,
    **options: str,
) -> Classifier:
    """Open a network that gives scores to the images of images=DIR; other options go to the callable.

    Args:
        argument: what to import and call, ``package.module:callable``; the current directory is importable.
        images: the images, see `open_images`.
        weights: a file with its state dict.
        prefix: of the names of its tensors in that file.
        size: height and width of its inputs.
        crop: take a square in the middle, so much of the shorter side; else all of the image.
        split: the part of the images to take samples from.
        mean, std: its inputs are ``(x - mean) / std``, x in [0, 1]; three numbers each, for red, green and blue.
        layers: the layers to offer, ``a,b``; else all.
        classes: a file with the name of the class of each score, one a line; else the folders of the images, sorted.
        label_size: height and width at which images are shown and segmented; else `size`, or if that is below 128
            the size of the images, 256 at most.
        options: for the callable.

    Raises:
        UnknownName: no such module, callable, option, layer, split or number format.
        BadFile: the weights do not fit, or hold NaN or Inf; images or their labels cannot be read.
        BadModel: it gives no scores.
        BadValue: an option cannot be read, or there are too few images.
    """
    if not images:
        raise BadValue(f"classifier:{argument} needs images to look at; add ?images=DIR, or images=scenes:church")
    means, stds = (numbers_in(name, text, ",", float) for name, text in (("mean", mean), ("std", std)))
    view = View.open(images, size, crop, split=split, mean=means, std=stds, label_size=label_size)
    module = build(argument, options, weights, prefix)
    return as_classifier(
        cast(module, find_dtype(dtype), argument).to(device),
        view,
        layers=layers.split(",") if layers else (),
        classes=read_classes(Path(classes)) if classes else (),
        name=argument,
    )


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of classes, one a line; empty lines at the end do not count.

    Raises:
        BadFile: it cannot be read, or has a name twice, or none.
    """
    try:
        names = tuple(line.strip() for line in read_text(path).rstrip().splitlines())
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read as the names of classes ({error})") from error
    twice = [name for name in names if names.count(name) > 1]
    if twice or not names:
        raise BadFile(f"{path}: " + (f"has the class {twice[0]!r} twice" if twice else "names no classes"))
    return names
