"""Networks that look at images: ``classifier:package.module:callable?images=DIR&weights=FILE&size=224``.

Network Dissection (Bau et al. 2017): what the units of a classifier respond to, in images that somebody labelled.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.devices import find_dtype
from ganatomy.errors import BadFile, BadModel, BadValue, UnknownName
from ganatomy.files import read_text
from ganatomy.generators.batches import check_alone
from ganatomy.generators.hooked import HookedGenerator, listening, readable
from ganatomy.generators.module import check_arguments, numbers_in
from ganatomy.generators.protocol import Edit, LayerShape, Observation
from ganatomy.generators.registry import GENERATORS
from ganatomy.generators.replay import Replay, Replays
from ganatomy.generators.structures import tensors
from ganatomy.generators.view import View
from ganatomy.imported import call_named, guarded
from ganatomy.types import Images, Latents
from ganatomy.weights import fingerprint, load_weights
from ganatomy.wrapped import cast, check_readable, device_of, dtype_of, frozen, uncompiled, unwrapped

MANY = 1 << 20
"""More images than any batch has."""
INSIDE = "net."
"""What the names of a network's layers begin with inside of `_Watched`."""


class Classifier:
    """A network that looks at images, opened at the layers that `HookedGenerator` would find in it.

    It is a subject to dissect and no generator: it shows the images as they are, whatever is edited, in the size that
    `View.labelled` says. Edits change its scores; `rest` has them without computing again what comes before a layer.
    The network is frozen, in evaluation mode.

    Args:
        module: takes images [b, 3, H, W], returns scores [b, classes], or a structure whose first float tensor with
            a row for each image they are (an attribute or entry ``logits``, if there is one).
        view: the images.
        layers: the layers to offer; all if none is named.
        classes: what the scores stand for, in their order; the classes of the images, if not given.
        name: what to call it in messages and fingerprints.

    Attributes:
        layers: shape of every layer, in forward order.
        others: the submodules that are no layers, each with the reason.
        classes: what the scores stand for.
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
        self._module, self._view, self._name, self._most = module, view, name, MANY
        watched = _Watched(module, view)
        self._hooked = HookedGenerator(watched, view.latents, bounds=(-1.0, 1.0), name=name, takes=torch.float32)
        self.layers: Mapping[str, LayerShape] = {
            layer.removeprefix(INSIDE): shape for layer, shape in self._hooked.layers.items()
        }
        self.others: Mapping[str, str] = {
            layer.removeprefix(INSIDE): reason.replace(INSIDE, "")
            for layer, reason in self._hooked.others.items()
            if layer.startswith(INSIDE)
        }
        if layers:
            self._check(layers)
            self.layers = {layer: shape for layer, shape in self.layers.items() if layer in layers}
        self.device = self._hooked.device
        self.label_size = view.labelled.shape
        self.scores = self._probe()
        self.classes = tuple(classes) or view.pictures.classes
        for each in view.pictures.classes:
            if each not in self.classes:
                raise UnknownName(f"class among those of the scores of {name}", each, self.classes)
        look = (view.pictures.fingerprint, view.frame, view.split, view.mean, view.std, self.classes)
        finer = [view.labelled] if view.labelled != view.frame else []
        self.fingerprint = fingerprint({}, "classifier", self._hooked.fingerprint, *look, *finer)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return which images a sample takes: the split, shuffled by the seed.

        Raises:
            BadValue: there are not so many images.
        """
        return self._view.latents(ids, seed).to(self.device)

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Show the images and read every asked layer in one forward pass, edits made on the way.

        Raises:
            UnknownName: there is no such submodule.
            BadModel: there is, but its output is no feature map.
        """
        self._check([*layers, *(edit.layer for edit in edits)])
        inside = [_Inside(edit) for edit in edits]
        seen = self._hooked.observe(z, [INSIDE + layer for layer in layers], inside)
        features = {layer: seen.features[INSIDE + layer] for layer in layers}
        labelled = self._view.labelled
        images = seen.images if labelled == self._view.frame else self._view.images(z, labelled)
        return Observation(images, features, self._view.shown(z))

    def rest(self, z: Latents, layer: str) -> Replay | Replays:
        """Return the rest of the network from a layer on, for these images: from features to scores.

        Raises:
            UnknownName, BadModel: as `observe`.
        """
        self._check([layer])
        given = self._view.given(self._view.images(z))
        while self._most:
            parts = []
            for rows in torch.split(given, self._most):
                part = Replay(self._module, layer, partial(self._scores, rows))
                if (seen := len(part.features)) != len(rows):  # the network takes its batch in parts
                    self._most = seen if seen < len(rows) else len(rows) // 2
                    break
                parts.append(part)
            else:
                return parts[0] if len(parts) == 1 else Replays(parts)
        raise BadModel(f"{self._name} does not return one map for each image at {layer}")

    def truth(self, z: Latents) -> Int64[Tensor, " b"]:
        """Return the class of each image, an index into `classes`.

        Raises:
            BadValue: the images are in no classes, or there is not one class for each score.
        """
        own = self._view.pictures.classes
        if not own:
            why = getattr(self._view.pictures, "unclassed", "") or "give each class a folder"
            raise BadValue(f"{self._view.pictures.name}: the images are in no classes; {why}")
        if len(self.classes) != self.scores:
            raise BadValue(
                f"{self._name} gives {self.scores} scores and there are {len(self.classes)} classes; say what each "
                "score stands for: classes=FILE, the name of a class in each line"
            )
        places = [self.classes.index(each) for each in own]
        found = self._view.pictures.class_ids(self._view.shown(z).indices)
        if -1 in found:
            raise BadValue(f"{self._view.pictures.name}: some images are in no class; give each class a folder")
        return torch.tensor([places[i] for i in found], device=self.device)

    def _scores(self, given: Images) -> Float[Tensor, "b c"]:
        with uncompiled(self._module), guarded(f"running {self._name}"):
            output = self._module(given.to(dtype_of(self._module)))
        scores = scores_in(output, len(given))
        if scores is None:
            kind = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise BadModel(f"{self._name} returns {kind} for {len(given)} images; it must return scores [b, classes]")
        return scores

    @torch.no_grad()
    def _probe(self) -> int:
        """Return how many scores there are, once it is certain that they are a function of an image alone."""
        given = self._view.given(self._view.images(self.latents(range(2), 0)))
        listen = partial(listening, self._module, readable(self._module))
        return check_alone(self._scores, given, self._module, listen, (self._name, "score of an image")).shape[1]

    def _check(self, layers: Sequence[str]) -> None:
        for layer in layers:
            if layer in self.others:
                raise BadModel(f"layer {layer} of {self._name} {self.others[layer]}")
            if layer not in self.layers:
                raise UnknownName(f"layer of {self._name}", layer, self.layers)


class _Watched(nn.Module):
    """Looks images up by their latents, shows them to a network, and returns them."""

    def __init__(self, net: nn.Module, view: View) -> None:
        super().__init__()
        self.net, self._view = net, view

    def forward(self, z: Latents) -> Images:
        images = self._view.images(z)
        self.net(self._view.given(images).to(dtype_of(self.net)))
        return images


class _Inside:
    """An edit of a layer, under the name that the layer has inside of `_Watched`."""

    def __init__(self, edit: Edit) -> None:
        self.layer, self._edit = INSIDE + edit.layer, edit

    def __call__(self, r: Tensor) -> Tensor:
        return self._edit(r)


def scores_in(output: object, count: int) -> Float[Tensor, "b c"] | None:
    """Return the scores in what a network returned for so many images, as float32 [b, classes]; None if none are."""
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


@GENERATORS.register("classifier")
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
    """Open a network that looks at the images of images=DIR and gives scores; other options go to the callable.

    Args:
        argument: what to import and call, ``package.module:callable``; the current directory is importable.
        device: where it shall compute.
        images: the images, see `open_images`.
        weights: a file with its state dict.
        prefix: what the names of its tensors begin with in that file.
        size: height and width at which it looks at images.
        crop: look at a square in the middle, so much of the shorter side; else at all of it.
        split: the part of the images to take samples from.
        mean, std: what it takes is ``(x - mean) / std``, x in [0, 1]; three numbers each, for red, green and blue.
        layers: the layers to offer, ``a,b``; else all.
        classes: a file with the name of the class of each score, one a line; else the folders of the images, sorted.
        dtype: the number format in which it shall compute.
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
    module = call_named(argument, options)
    if not isinstance(module, nn.Module):
        raise BadModel(f"{argument} gives a {type(module).__name__}; it must give a torch.nn.Module")
    if weights:
        load_weights(module, Path(weights), prefix)
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
