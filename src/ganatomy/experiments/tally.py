"""Everything that dissection counts, in one pass over the sample."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganatomy.resample import Grid, labels_at
from ganatomy.stats.agreement import Agreement, count_pixels
from ganatomy.stats.base import Accumulator
from ganatomy.stats.combinations import index_labels
from ganatomy.stats.images import ImageSample, Presence
from ganatomy.stats.pairs import PairCounts
from ganatomy.stats.topk import TopImages
from ganatomy.tensor_files import Archive, packed
from ganatomy.types import Features, Images, Labels

T = TypeVar("T", bound="Tally")
P = TypeVar("P", bound=Accumulator)
Parts = Mapping[str, Accumulator]

KINDS: Mapping[str, type[Accumulator]] = {
    "agreement": Agreement,
    "pairs": PairCounts,
    "top": TopImages,
    "presence": Presence,
    "sample": ImageSample,
}
"""Of parts by name: ``agreement/HALF/LAYER``, ``pairs/HALF/LAYER``, ``top/HALF/LAYER``, ``presence/HALF``, …"""


class Tally:
    """The statistics of every layer, of one half of the sample.

    Attributes:
        parts: by name, see `KINDS`. Those of a file are read each time they are asked for, so that no more than one
            layer is in memory.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def merge(self: T, other: T) -> T:
        """Return the statistics of both samples, each merged when it is asked for."""
        return type(self)(_Merged(self.parts, other.parts))

    @classmethod
    def joined(cls: type[T], tallies: Sequence[T]) -> T:
        """Return the parts of several tallies of one sample; of those that two have, the first one's."""
        return tallies[0] if len(tallies) == 1 else cls(_Joined([tally.parts for tally in tallies]))

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return every tensor, named by part and field; each part is asked for once."""
        return _State(self.parts)

    @classmethod
    def from_state(cls: type[T], state: Mapping[str, Tensor]) -> T:
        """Build the tally from what `state_dict` returned."""
        return cls(_Read(state))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (packed(self.state_dict()),)  # a few times smaller on its way

    def agreement(self, half: str, layer: str) -> Agreement:
        """Return the pixel counts of a layer in one half, at all levels."""
        return _expect(self.parts[f"agreement/{half}/{layer}"], Agreement)

    def pairs(self, half: str, layer: str) -> PairCounts:
        """Return those at the level of each pair, and by blocks of images."""
        return _expect(self.parts[f"pairs/{half}/{layer}"], PairCounts)

    def top(self, half: str, layer: str) -> TopImages:
        """Return the top images of a layer in one half."""
        return _expect(self.parts[f"top/{half}/{layer}"], TopImages)

    def presence(self, half: str) -> Presence:
        """Return how many images and pixels of a half show each concept."""
        return _expect(self.parts[f"presence/{half}"], Presence)

    def sample(self, half: str) -> dict[str, float]:
        """Return what `ImageSample` says of the images of a half."""
        return _expect(self.parts[f"sample/{half}"], ImageSample).read()


class Counting:
    """A tally that takes in one batch after the other.

    Args:
        half: which half of the sample.
        tables: of each layer, empty, on the device that counts: what takes in its pixel counts.
        top: how many images to remember for each unit.
        concepts: how many the vocabulary has.
    """

    def __init__(
        self, half: str, tables: Mapping[str, Sequence[Agreement | PairCounts]], top: int, concepts: int
    ) -> None:
        self.half, self.tables = half, dict(tables)
        device = next(iter(tables.values()))[0].levels.device
        self.top = {layer: TopImages(len(own[0].levels), top, device) for layer, own in tables.items()}
        self.presence = Presence(concepts, device)
        self.sample: ImageSample | None = None

    @property
    def nbytes(self) -> int:
        """How much memory the tables take."""
        return sum(table.nbytes for own in self.tables.values() for table in own)

    def drop(self, layer: str) -> None:
        """Count a layer no more, and forget what was counted of it."""
        del self.tables[layer], self.top[layer]

    def update(self, ids: Sequence[int], features: Mapping[str, Features], labels: Labels, grid: Grid) -> None:
        """Take in one batch: the features of every layer, and the labels of the images."""
        labels = labels_at(labels, (grid.height, grid.width))
        bins = next(iter(self.tables.values()))[0].levels.shape[1] + 1
        maps = {layer: features[layer].float() for layer in self.tables}
        for part, block in self._parts(ids[0], len(ids)):
            numbered = index_labels(labels[part], bins, grid.image)
            self.presence.update_combined(labels[part], numbered)
            for layer, own in self.tables.items():
                takes = [
                    table.taking(numbered, block) if isinstance(table, PairCounts) else table.taking(numbered)
                    for table in own
                ]
                count_pixels(own[0].levels, maps[layer][part], numbered, takes)
        for layer, r in maps.items():
            self.top[layer].update(r.amax((2, 3)), torch.tensor(ids, device=r.device))

    def see(self, ids: Sequence[int], images: Images, count: int) -> None:
        """Take in the images of a batch of the half, which will have so many."""
        if self.sample is None:
            self.sample = ImageSample((images.shape[2], images.shape[3]), count, images.device)
        self.sample.update(images, torch.tensor(ids, device=images.device))

    def tally(self) -> Tally:
        """Return what was counted."""
        parts: dict[str, Accumulator] = {f"presence/{self.half}": self.presence}
        if self.sample is not None:
            parts[f"sample/{self.half}"] = self.sample
        for layer, own in self.tables.items():
            for table in own:
                kind = "pairs" if isinstance(table, PairCounts) else "agreement"
                parts[f"{kind}/{self.half}/{layer}"] = table
            parts[f"top/{self.half}/{layer}"] = self.top[layer]
        return Tally(parts)

    def _parts(self, first: int, images: int) -> Iterator[tuple[slice, int | None]]:
        """Cut images of consecutive ids where blocks begin, if anything is counted by blocks."""
        for table in next(iter(self.tables.values())):
            if isinstance(table, PairCounts):
                yield from table.parts(first, images)
                return
        yield slice(0, images), None


class _Read(Mapping[str, Accumulator]):
    """Parts made from tensors, each when it is asked for."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state
        self._fields: dict[str, list[str]] = {}
        for key in state:
            name, _, field = key.rpartition(":")
            self._fields.setdefault(name, []).append(field)
        for name in self._fields:
            KINDS[name.split("/")[0]]  # an error where it is of no tally

    def __getitem__(self, name: str) -> Accumulator:
        fields = {field: self._state[f"{name}:{field}"] for field in self._fields[name]}
        return KINDS[name.split("/")[0]].from_state(fields)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class _Merged(Mapping[str, Accumulator]):
    """The parts of two samples, each merged when it is asked for."""

    def __init__(self, one: Parts, other: Parts) -> None:
        if one.keys() != other.keys():
            raise ValueError("tallies of other layers cannot be merged")
        self._one, self._other = one, other

    def __getitem__(self, name: str) -> Accumulator:
        return self._one[name].merge(self._other[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._one)

    def __len__(self) -> int:
        return len(self._one)


class _Joined(Mapping[str, Accumulator]):
    """The parts of several tallies, the first one's before those that only the next has."""

    def __init__(self, parts: Sequence[Parts]) -> None:
        self._where = {name: own for own in reversed(parts) for name in own}
        self._names = list(dict.fromkeys(name for own in parts for name in own))

    def __getitem__(self, name: str) -> Accumulator:
        return self._where[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _State(Mapping[str, Tensor]):
    """The tensors of parts, by part and field; the last part that was asked for is remembered."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._last: tuple[str, Mapping[str, Tensor]] = ("", {})

    def __getitem__(self, key: str) -> Tensor:
        name, _, field = key.rpartition(":")
        if self._last[0] != name:
            self._last = ("", {})  # before the next is made
            self._last = (name, self._parts[name].state_dict())
        return self._last[1][field]

    def __iter__(self) -> Iterator[str]:
        return (f"{name}:{field}" for name in self._parts for field in KINDS[name.split("/")[0]].FIELDS)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _unpacked(content: bytes) -> Tally:
    return Tally.from_state(Archive(content))


def _expect(part: Accumulator, kind: type[P]) -> P:
    assert isinstance(part, kind)
    return part
