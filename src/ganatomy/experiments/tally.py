"""Everything that dissection counts, in one pass over the sample."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ganatomy.experiments.dissect_spec import HALVES
from ganatomy.resample import labels_at
from ganatomy.stats.agreement import Agreement, combine
from ganatomy.stats.base import Accumulator
from ganatomy.stats.presence import Presence
from ganatomy.stats.topk import TopImages
from ganatomy.types import Features, Labels

T = TypeVar("T", bound="Tally")

_KINDS: dict[str, type[Accumulator]] = {"agreement": Agreement, "top": TopImages, "presence": Presence}


class Tally:
    """The statistics of every layer and both halves of the sample.

    Attributes:
        parts: by name: ``agreement/HALF/LAYER``, ``top/HALF/LAYER``, ``presence/HALF``.
    """

    def __init__(self, parts: Mapping[str, Accumulator]) -> None:
        self.parts = dict(parts)

    @classmethod
    def empty(cls, levels: Mapping[str, Tensor], concepts: int, pixels: int, top: int) -> "Tally":
        """Start with nothing counted.

        Args:
            levels: of each layer, float64 [u, l], on the device that counts.
            concepts: how many, nothing included.
            pixels: how many a unit will see at the most.
            top: how many images to remember for each unit.
        """
        parts: dict[str, Accumulator] = {}
        for half in HALVES:
            for layer, cuts in levels.items():
                parts[f"agreement/{half}/{layer}"] = Agreement(cuts, concepts, pixels)
                parts[f"top/{half}/{layer}"] = TopImages(len(cuts), top, cuts.device)
                parts[f"presence/{half}"] = Presence(concepts, cuts.device)
        return cls(parts)

    def update(
        self, half: str, ids: Sequence[int], features: Mapping[str, Features], labels: Labels, size: tuple[int, int]
    ) -> None:
        """Take in one batch of one half: the features of every layer, and the labels of the pictures."""
        labels = labels_at(labels, size)
        self.parts[f"presence/{half}"].update(labels)
        numbered = None
        for layer, r in features.items():
            agreement = self.agreement(half, layer)
            numbered = numbered or combine(labels, agreement.counts.shape[-1])
            agreement.update_combined(r.float(), numbered)
            self.parts[f"top/{half}/{layer}"].update(r.float().amax((2, 3)), torch.tensor(ids, device=r.device))

    def agreement(self, half: str, layer: str) -> Agreement:
        """Return the pixel counts of a layer in one half."""
        part = self.parts[f"agreement/{half}/{layer}"]
        assert isinstance(part, Agreement)
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

    def merge(self: T, other: T) -> T:
        """Return the statistics of both samples."""
        return type(self)({name: part.merge(other.parts[name]) for name, part in self.parts.items()})

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
        return cls({name: _KINDS[name.split("/")[0]].from_state(part) for name, part in fields.items()})
