"""Everything that dissection counts, in one pass over the sample."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ganatomy.core.resample import Grid, labels_at
from ganatomy.core.tensor_files import Archive, packed
from ganatomy.core.tensor_types import Features, Images, Labels
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.base import Accumulator
from ganatomy.stats.combinations import index_labels
from ganatomy.stats.counting import count_pixels
from ganatomy.stats.images import ImageSample, Presence
from ganatomy.stats.mentioned import DRAWN, PixelShares, SaidDrawn
from ganatomy.stats.pairs import PairCounts
from ganatomy.stats.regions import concept_counts
from ganatomy.stats.topk import TopImages

T = TypeVar("T", bound="Tally")
V = TypeVar("V")
P = TypeVar("P", bound=Accumulator)

KINDS: Mapping[str, type[Accumulator]] = {
    "agreement": Agreement,
    "pairs": PairCounts,
    "top": TopImages,
    "presence": Presence,
    "sample": ImageSample,
    "shares": PixelShares,
    "said": SaidDrawn,
}
"""Of parts by name: ``agreement/HALF/LAYER``, ``pairs/HALF/LAYER``, ``top/HALF/LAYER``, ``presence/HALF``, …

Of text-to-image models also ``shares/HALF``, and ``said/HALF/LAYER`` where a prompt says a concept. Of a large layer
``agreement/…`` and ``pairs/…`` hold the first units, ``agreement.1/…`` and ``pairs.1/…`` the next, and so on."""

RUN = 512
"""Units of a layer that are one part: the counts of so many are in memory at once where they are merged or read."""


class SaidConcepts(NamedTuple):
    """Which concepts the prompts of a sample say.

    Attributes:
        concepts: indices int64 [said] of those that any prompt says.
        by_prompt: bool [prompts, said].
    """

    concepts: Tensor
    by_prompt: Tensor


class _Lazy(Mapping[str, V]):
    """Values by name, each made when it is asked for, so that no more than one layer is in memory."""

    def __init__(self, makers: Mapping[str, Callable[[], V]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> V:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class Tally:
    """The statistics of every layer, of one half of the sample; `parts` are named as `KINDS` says."""

    def __init__(self, parts: Mapping[str, Accumulator]) -> None:
        self.parts = parts

    def merge(self: T, other: T) -> T:
        """Return the statistics of both samples, each merged when it is asked for."""
        if self.parts.keys() != other.parts.keys():
            raise ValueError("tallies of other layers cannot be merged")
        return type(self)(_Lazy({name: partial(_merged, name, self.parts, other.parts) for name in self.parts}))

    @classmethod
    def joined(cls: type[T], tallies: Sequence[T]) -> T:
        """Return the parts of several tallies of one sample; of those that two have, the first one's."""
        if len(tallies) == 1:
            return tallies[0]
        makers: dict[str, Callable[[], Accumulator]] = {}
        for own in tallies:
            for name in own.parts:
                makers.setdefault(name, partial(own.parts.__getitem__, name))
        return cls(_Lazy(makers))

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return every tensor, named by part and field; each part is asked for once."""
        last: dict[str, Mapping[str, Tensor]] = {}

        def tensor(name: str, field: str) -> Tensor:
            if name not in last:
                last.clear()  # before the next is made
                last[name] = self.parts[name].state_dict()
            return last[name][field]

        keys = [(name, field) for name in self.parts for field in _kind(name).FIELDS]
        return _Lazy({f"{name}:{field}": partial(tensor, name, field) for name, field in keys})

    @classmethod
    def from_state(cls: type[T], state: Mapping[str, Tensor]) -> T:
        """Build the tally from what `state_dict` returned."""
        fields: dict[str, list[str]] = {}
        for key in state:
            name, _, field = key.rpartition(":")
            fields.setdefault(name, []).append(field)
        kinds = {name: _kind(name) for name in fields}  # an error where it is of no tally
        return cls(_Lazy({name: partial(_read, state, name, kinds[name], own) for name, own in fields.items()}))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (packed(self.state_dict()),)  # a few times smaller

    def runs(self, half: str, layer: str) -> range:
        """Return the numbers of the runs of units that the pixel counts of a layer are kept in, one part each."""
        count = 1
        while any(_part_name(kind, half, layer, count) in self.parts for kind in ("agreement", "pairs")):
            count += 1
        return range(count)

    def agreement(self, half: str, layer: str, run: int = 0) -> Agreement:
        """Return the pixel counts of a run of units of a layer at all levels."""
        return self._part(_part_name("agreement", half, layer, run), Agreement)

    def pairs(self, half: str, layer: str, run: int = 0) -> PairCounts:
        """Return the pixel counts of a run of units of a layer at the level of each pair, by blocks of images."""
        return self._part(_part_name("pairs", half, layer, run), PairCounts)

    def top(self, half: str, layer: str) -> TopImages:
        """Return the top images of a layer."""
        return self._part(f"top/{half}/{layer}", TopImages)

    def presence(self, half: str) -> Presence:
        """Return how many images and pixels show each concept."""
        return self._part(f"presence/{half}", Presence)

    def shares(self, half: str) -> PixelShares | None:
        """Return how much of each image shows each concept, of text-to-image models."""
        return self._part(f"shares/{half}", PixelShares) if f"shares/{half}" in self.parts else None

    def mentioned(self, half: str, layer: str) -> SaidDrawn | None:
        """Return what units do where a word is said and a thing drawn, where a prompt says any concept."""
        return self._part(f"said/{half}/{layer}", SaidDrawn) if f"said/{half}/{layer}" in self.parts else None

    def sample(self, half: str) -> dict[str, float]:
        """Return what `ImageSample` says of the images."""
        return self._part(f"sample/{half}", ImageSample).read()

    def _part(self, name: str, kind: type[P]) -> P:
        part = self.parts[name]
        assert isinstance(part, kind)
        return part


class Counting:
    """A tally that takes in one batch after the other.

    Args:
        half: which half of the sample.
        tables: of each layer, empty, on the device that counts: what takes in its pixel counts.
        top: how many images to remember for each unit.
        concepts: how many the vocabulary has.
        mentioned: of text-to-image models, which of them each prompt says.
    """

    def __init__(
        self,
        half: str,
        tables: Mapping[str, Sequence[Agreement | PairCounts]],
        top: int,
        concepts: int,
        mentioned: SaidConcepts | None = None,
    ) -> None:
        self.half, self.tables = half, dict(tables)
        device = next(iter(tables.values()))[0].levels.device
        self.top = {layer: TopImages(len(own[0].levels), top, device) for layer, own in tables.items()}
        self.presence = Presence(concepts, device)
        self.sample: ImageSample | None = None
        self._concepts, self._said_by = concepts, mentioned
        self.shares = None if mentioned is None else PixelShares(concepts)
        self.mentioned = {
            layer: SaidDrawn(len(own[0].levels), mentioned.concepts, device)
            for layer, own in tables.items()
            if mentioned is not None and len(mentioned.concepts)
        }

    @property
    def nbytes(self) -> int:
        """How much memory the tables take."""
        return sum(table.nbytes for own in self.tables.values() for table in own)

    def drop(self, layer: str) -> None:
        """Forget a layer."""
        del self.tables[layer], self.top[layer]
        self.mentioned.pop(layer, None)

    def update(self, ids: Sequence[int], features: Mapping[str, Features], labels: Labels, grid: Grid) -> None:
        """Count one batch."""
        labels = labels_at(labels, (grid.height, grid.width))
        tables = next(iter(self.tables.values()))
        bins = tables[0].levels.shape[1] + 1
        blocks = next((each.parts(ids[0], len(ids)) for each in tables if isinstance(each, PairCounts)), None)
        maps = {layer: features[layer].float() for layer in self.tables}
        for part, block in blocks or [(slice(0, len(ids)), None)]:
            numbered = index_labels(labels[part], bins, grid.image)
            self.presence.update_combined(labels[part], numbered)
            for layer, own in self.tables.items():
                takes = [
                    table.taking(numbered, block) if isinstance(table, PairCounts) else table.taking(numbered)
                    for table in own
                ]
                count_pixels(own[0].levels, maps[layer][part], numbered, takes)
        mentioned, drawn = self._prompted(ids, labels)
        for layer, r in maps.items():
            greatest = r.amax((2, 3))
            self.top[layer].update(greatest, torch.tensor(ids, device=r.device))
            if layer in self.mentioned:
                self.mentioned[layer].update(greatest, r.mean((2, 3)), mentioned, drawn)

    def _prompted(self, ids: Sequence[int], labels: Labels) -> tuple[Tensor, Tensor]:
        """Count the concepts of each image, of a text-to-image model; return which each prompt says and image shows."""
        if self._said_by is None or self.shares is None:
            return torch.empty(0), torch.empty(0)
        concepts, by_prompt = (each.to(labels.device) for each in self._said_by)
        counts = concept_counts(labels, self._concepts)
        self.shares.update(counts)
        prompt = torch.tensor(ids, device=labels.device) % len(by_prompt)
        return by_prompt[prompt], counts[:, concepts] >= DRAWN * counts[:, :1]

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
        if self.shares is not None:
            parts[f"shares/{self.half}"] = self.shares
        parts |= {f"said/{self.half}/{layer}": own for layer, own in self.mentioned.items()}
        for layer, own in self.tables.items():
            for table in own:
                kind = "pairs" if isinstance(table, PairCounts) else "agreement"
                for run, start in enumerate(range(0, len(table.levels), RUN)):
                    parts[_part_name(kind, self.half, layer, run)] = table.cut(slice(start, start + RUN))
            parts[f"top/{self.half}/{layer}"] = self.top[layer]
        return Tally(parts)


def _part_name(kind: str, half: str, layer: str, run: int) -> str:
    return f"{kind}.{run}/{half}/{layer}" if run else f"{kind}/{half}/{layer}"


def _kind(name: str) -> type[Accumulator]:
    return KINDS[name.partition("/")[0].partition(".")[0]]


def _merged(name: str, one: Mapping[str, Accumulator], other: Mapping[str, Accumulator]) -> Accumulator:
    return one[name].merge(other[name])


def _read(state: Mapping[str, Tensor], name: str, kind: type[Accumulator], fields: Sequence[str]) -> Accumulator:
    return kind.from_state({field: state[f"{name}:{field}"] for field in fields})


def _unpacked(content: bytes) -> Tally:
    return Tally.from_state(Archive(content))
