"""A generator whose images are photographs that were inverted: edits of units change them, the rest stays as it is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.blending import shown_change, with_change
from ganatomy.core.errors import BadValue
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators.protocol import Edit, Generator, LayerShape, Observation, forward_order


@dataclass(frozen=True, eq=False)
class Offset:
    """An `Edit` that adds values to a layer's output, of each image its own."""

    layer: str
    values: Float[Tensor, "b u h w"]

    def __call__(self, r: Features) -> Features:
        """Return the features with the offset added."""
        return r + self.values.to(r)


@dataclass(frozen=True, eq=False)
class _Row:
    """What a latent of a photograph consists of."""

    z: Latents
    offsets: list[Offset]
    photographs: Images
    images: Images


class PhotographGenerator:
    """Photographs as the images of a generator, through its latents for them; see `ganatomy.models.inversion`.

    An image without edits is the photograph. One with edits is the photograph and the change that they make to its
    reconstruction, see `ganatomy.core.blending`. Features are those of the reconstruction. A latent is one row: the
    generator's own, the offset, the photograph and the reconstruction.

    Args:
        base: the generator.
        z, offset, layer: as in `Inverted`.
        photographs, images: the photographs, and their reconstructions, [b, 3, H, W] in [-1, 1].
    """

    def __init__(
        self, base: Generator, z: Latents, offset: Features, photographs: Images, images: Images, layer: str = ""
    ) -> None:
        self.base, self.layers, self.fingerprint, self.device = base, base.layers, base.fingerprint, base.device
        self.margins: Mapping[str, int] = getattr(base, "margins", {})
        self.listed: Mapping[str, LayerShape] = getattr(base, "listed", base.layers)
        self._layer, parts = layer, (z, offset, photographs, images)
        self._shapes = [each.shape[1:] for each in parts]
        self._rows = torch.cat([each.flatten(1).float().to(base.device) for each in parts], 1)

    def __len__(self) -> int:
        return len(self._rows)

    def latents(self, ids: range, seed: int) -> Latents:  # noqa: ARG002  # as the protocol has it
        """Return the rows of these photographs, whatever the seed.

        Raises:
            BadValue: there are fewer.
        """
        if ids and not 0 <= min(ids) <= max(ids) < len(self):
            raise BadValue(f"there are {len(self)} photographs, numbers 0 to {len(self) - 1}; not {max(ids)}")
        return self._rows[list(ids)]

    @torch.no_grad()
    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the photographs, and the features of their reconstructions; see `Subject`."""
        row = self._row(z)
        seen = self.base.observe(row.z, layers, [*row.offsets, *edits])
        return Observation(self._changed(row, seen.images) if edits else row.photographs, seen.features)

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the photographs with the change that replacing a layer's output makes; see `Generator`."""
        row, order = self._row(z), forward_order(self.layers)
        later = [each for each in row.offsets if layer in self.layers and order(each.layer) > order(layer)]
        return self._changed(row, self.base.render(r, layer, row.z, [*later, *edits]))

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the photographs with the change that edits make."""
        return self.observe(z, (), edits).images

    def change(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return what edits add to the photographs."""
        row = self._row(z)
        return shown_change(self.base.edited(row.z, [*row.offsets, *edits]), row.images)

    def _changed(self, row: _Row, edited: Images) -> Images:
        return with_change(row.photographs, shown_change(edited, row.images))

    def _row(self, z: Latents) -> _Row:
        sizes = [math.prod(shape) for shape in self._shapes]
        parts = [
            part.reshape(len(z), *shape) for part, shape in zip(torch.split(z, sizes, 1), self._shapes, strict=True)
        ]
        own, offset, photographs, images = parts
        return _Row(own, [Offset(self._layer, offset)] if self._layer else [], photographs, images)
