"""Everything that dissection counts, in one pass over the sample."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ganatomy.resample import Grid, labels_at
from ganatomy.stats.agreement import Agreement, combine
from ganatomy.stats.base import Accumulator
from ganatomy.stats.blocks import Blocked, BlockedAgreement, GroupedAgreement
from ganatomy.stats.images import ImageSample
from ganatomy.stats.presence import Presence
from ganatomy.stats.topk import TopImages
from ganatomy.types import Features, Images, Labels

T = TypeVar("T", bound="Tally")

_KINDS: dict[str, type[Accumulator]] = {
    "agreement": Agreement,
    "top": TopImages,
    "presence": Presence,
    "sample": ImageSample,
}


class Tally:
    """The statistics of every layer, of one half of the sample or of both.

    Attributes:
        parts: by name: ``agreement/HALF/LAYER``, ``top/HALF/LAYER``, ``presence/HALF``, ``sample/HALF``.
    """

    def __init__(self, parts: Mapping[str, Accumulator]) -> None:
        self.parts = dict(parts)

    @classmethod
    def empty(cls, half: str, tables: Mapping[str, Blocked], top: int) -> "Tally":
        """Start with nothing counted of a half.

        Args:
            half: its name.
            tables: of each layer, empty, on the device that counts.
            top: how many images to remember for each unit.
        """
        parts: dict[str, Accumulator] = {}
        for layer, table in tables.items():
            parts[f"agreement/{half}/{layer}"] = table
            parts[f"top/{half}/{layer}"] = TopImages(len(table.levels), top, table.levels.device)
            parts[f"presence/{half}"] = Presence(table.counts.shape[2], table.levels.device)
        return cls(parts)

    def update(
        self, half: str, ids: Sequence[int], features: Mapping[str, Features], labels: Labels, grid: Grid
    ) -> None:
        """Take in one batch of one half: the features of every layer, and the labels of the images."""
        labels = labels_at(labels, (grid.height, grid.width))
        self.parts[f"presence/{half}"].update(labels)
        features = {layer: r.float() for layer, r in features.items()}
        tables = {layer: self.blocked(half, layer) for layer in features}
        first = next(iter(tables.values()))
        for part, block in first.parts(ids[0], len(ids)):
            numbered = combine(labels[part], first.counts.shape[-1], grid.image)
            for layer, table in tables.items():
                table.update_block(features[layer][part], numbered, block)
        for layer, r in features.items():
            self.parts[f"top/{half}/{layer}"].update(r.amax((2, 3)), torch.tensor(ids, device=r.device))

    def see(self, half: str, ids: Sequence[int], images: Images, count: int) -> None:
        """Take in the images of a batch of one half, which will have so many."""
        name, device = f"sample/{half}", images.device
        if name not in self.parts:
            self.parts[name] = ImageSample((images.shape[2], images.shape[3]), count, device)
        self.parts[name].update(images, torch.tensor(ids, device=device))

    def sample(self, half: str) -> dict[str, float]:
        """Return what `ImageSample` says of the images of a half; nothing where they were not taken in."""
        part = self.parts.get(f"sample/{half}")
        return part.read() if isinstance(part, ImageSample) else {}

    def agreement(self, half: str, layer: str) -> Agreement:
        """Return the pixel counts of a layer in one half."""
        part = self.parts[f"agreement/{half}/{layer}"]
        assert isinstance(part, Agreement)
        return part

    def blocked(self, half: str, layer: str) -> Blocked:
        """Return them, where they were also kept by blocks of pictures."""
        part = self.parts[f"agreement/{half}/{layer}"]
        assert isinstance(part, Blocked)
        return part

    def top(self, half: str, layer: str) -> TopImages:
        """Return the top images of a layer in one half."""
        part = self.parts[f"top/{half}/{layer}"]
        assert isinstance(part, TopImages)
        return part

    def images(self, half: str) -> Tensor:
        """Return how many images of a half contain each concept; entry 0 counts all."""
        part = self.parts[f"presence/{half}"]
        assert isinstance(part, Presence)
        return part.images

    def beside(self: T, other: T) -> T:
        """Return the statistics of both halves."""
        return type(self)({**self.parts, **other.parts})

    def merge(self: T, other: T) -> T:
        """Return the statistics of both samples; those that an older version did not count are left out."""
        both = [name for name in self.parts if name in other.parts]
        return type(self)({name: self.parts[name].merge(other.parts[name]) for name in both})

    def state_dict(self) -> dict[str, Tensor]:
        """Return every tensor, named by part and field."""
        return {f"{name}:{field}": t for name, part in self.parts.items() for field, t in part.state_dict().items()}

    @classmethod
    def from_state(cls: type[T], state: Mapping[str, Tensor]) -> T:
        """Build the tally from what `state_dict` returned."""
        fields: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            name, _, field = key.rpartition(":")
            fields.setdefault(name, {})[field] = tensor
        return cls({name: _kind(name, part).from_state(part) for name, part in fields.items()})


def _kind(name: str, fields: Mapping[str, Tensor]) -> type[Accumulator]:
    for kind in (BlockedAgreement, GroupedAgreement):
        if kind.FIELDS.keys() == fields.keys():
            return kind
    return _KINDS[name.split("/")[0]]
