"""Edited images of several people in one forward pass, which costs less than one each; to the same bits."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators import Generator
from ganatomy.models.generators.protocol import Edit, applied, edits_by_layer

AT_ONCE = 8
"""Images of a pass: more gain little, and all of them are done only when the last one is."""
PIXELS = 1 << 17
"""Pixels of a pass: from 512 px on an image keeps the processor busy by itself."""
RECENT = 64
"""Tensors of a kind that are kept."""
S = TypeVar("S")
T = TypeVar("T")


class Drawing(NamedTuple):
    """An image that is to be drawn.

    Attributes:
        layer: where drawing begins.
        r: the output of that layer, edited, [1, u, h, w]; None where it costs as much to have it as to draw on from it.
        z: the latent, [1, …].
        later: edits of later layers; where there is no r, of this one too.
        key: of the image among recent ones.
    """

    layer: str
    r: Features | None
    z: Latents
    later: Sequence[Edit] = ()
    key: Hashable = None


class RowEdits:
    """Edits of one layer, other ones for each row of a batch."""

    def __init__(self, layer: str, rows: Sequence[Sequence[Edit]]) -> None:
        self.layer, self._rows = layer, rows

    def __call__(self, r: Features) -> Features:
        """Return the edited features."""
        return torch.cat([applied(edits, r[i : i + 1]) for i, edits in enumerate(self._rows)])


class JointPasses:
    """Draws several images in one pass.

    Whether a row of a batch has the bits that it has alone is a matter of the kernels, which depend on the layer and
    on how many rows there are. So the first time that so many are drawn from a layer on, they are drawn alone too; if
    a bit differs, these are never drawn together.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._alike: dict[tuple[str, int, int], bool] = {}

    def __call__(self, drawings: Sequence[Drawing]) -> list[Images]:
        """Return the images [1, 3, H, W] of drawings; those with one key are drawn once."""
        once = {own.key or id(own): own for own in drawings}
        drawn = dict(zip(once, self._of_each(list(once.values())), strict=True))
        return [drawn[own.key or id(own)] for own in drawings]

    def _of_each(self, drawings: Sequence[Drawing]) -> list[Images]:
        found: dict[int, Images] = {}
        alike = [(each.layer, tuple(each.z.shape[1:])) for each in drawings]  # latents of photographs are longer
        order = sorted(range(len(drawings)), key=alike.__getitem__)
        for _, same in groupby(order, key=alike.__getitem__):
            numbers = list(same)
            found.update(zip(numbers, self._of_layer([drawings[i] for i in numbers]), strict=True))
        return [found[i] for i in range(len(drawings))]

    def _of_layer(self, drawings: Sequence[Drawing]) -> list[Images]:
        which = drawings[0].layer, len(drawings), drawings[0].z[0].numel()
        if len(drawings) == 1 or not self._alike.get(which, True):
            return [self._together([each]) for each in drawings]
        together = list(torch.split(self._together(drawings), 1))
        if which not in self._alike:
            alone = [self._together([each]) for each in drawings]
            self._alike[which] = all(map(torch.equal, together, alone))
            return alone
        return together

    def _together(self, drawings: Sequence[Drawing]) -> Images:
        planned = [edits_by_layer(each.later) for each in drawings]
        layers = dict.fromkeys(layer for own in planned for layer in own)
        edits = [RowEdits(layer, [own.get(layer, ()) for own in planned]) for layer in layers]
        z, known = torch.cat([each.z for each in drawings]), [each.r for each in drawings if each.r is not None]
        with torch.no_grad():
            if not known:
                return self._generator.edited(z, edits)
            return self._generator.render(torch.cat(known), drawings[0].layer, z, edits)


class RecentTensors:
    """The last tensors of a kind: what a person asks for next begins with what was computed just before.

    Args:
        most: bytes of them.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._tensors: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, of: Hashable) -> Tensor | None:
        """Return a tensor, if it is there."""
        return self._tensors.get(of)

    def put(self, of: Hashable, tensor: Tensor) -> None:
        """Keep a tensor; the oldest make room."""
        if of not in self._tensors:
            self._tensors[of] = tensor
            self._held += tensor.nbytes
        while self._held > self._most or len(self._tensors) > RECENT:
            self._held -= self._tensors.popitem(last=False)[1].nbytes


def each_alone(job: Callable[[S], T], items: Sequence[S]) -> list[T | Exception]:
    """Return what a job returns for each item, or the error that it raised."""
    found: list[T | Exception] = []
    for item in items:
        try:
            found.append(job(item))
        except Exception as error:
            found.append(error)
    return found
