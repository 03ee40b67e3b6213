"""The settings by which a concept may be inserted, and the Spec that names those that are tried."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganatomy.core.errors import BadValue
from ganatomy.experiments.causal.dissected_model import SampleSpec, at_least
from ganatomy.experiments.causal.insertion import (
    InsertionSpec,
    LayerUnits,
)
from ganatomy.experiments.causal.pool import PoolSpec

VALUES = (("k", 1.0, 1.0), ("k", 2.0, 1.0), ("k", 3.0, 1.0), ("k", 4.0, 1.0), ("place", 1.0, 1.0), ("k", 1.0, 0.85))
"""Constants, multiples of them, and strengths that are tried."""


class Rounds(NamedTuple):
    """Ids of the images on which all settings are tried, of those on which the best are, and of those that measure."""

    few: Sequence[int]
    more: Sequence[int]
    last: Sequence[int]

    @classmethod
    def of(cls, ids: Sequence[int]) -> "Rounds":
        """Return an eighth of the images, the rest of their first half, and the other half."""
        middle = len(ids) // 2
        first = max(1, middle // 4)
        return cls(ids[:first], ids[first:middle], ids[middle:])


@dataclass(frozen=True, kw_only=True)
class SettingSpec(SampleSpec):
    """Which settings are tried, and on how many images.

    Attributes:
        layer: the first of the layers.
        concept: what is inserted.
        sets: by name, units of some layers: ``iou-20``, ``ace-40``, ``all``.
        values: constants, multiples and strengths: all units are tried with multiples of 1, others with strengths of 1.
        cells: a place is so many places of the grid of `places` high and wide; each is tried.
        pool: on how many images constants are measured.
        grammar: category of scenes whose renderer says where the object may be; None for the generator's own.
        images: so many that have a free place where the object may be, and so many that have one where it may not: half
            of them choose, the others are measured on.
        searched: among so many images they are looked for, at most.
    """

    concept: str
    sets: tuple[tuple[str, tuple[LayerUnits, ...]], ...]
    values: tuple[tuple[str, float, float], ...] = VALUES
    cells: tuple[int, ...] = (1,)
    pool: int = PoolSpec.images
    grammar: str | None = None
    images: int = 240
    searched: int = 2400
    first: int = 3_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, images=4, pool=2, searched=4)
        if not self.sets or not self.values or not self.cells:
            raise BadValue("there is no setting to try; give sets of units, constants, and cells")
        if any(len(value) != 3 for value in self.values):
            raise BadValue(f"values={list(self.values)}: give a constant, a multiple and a strength each")
        if min(self.cells) < 1:
            raise BadValue(f"cells={list(self.cells)}: a place has at least one cell")

    def layers(self) -> list[str]:
        """Return the layers of each set, each once, in the order of their first set."""
        return list(dict.fromkeys(layer for _, units in self.sets for layer, _ in units))

    @property
    def places(self) -> str:
        """The layer of whose grid the places are: the last of the first set."""
        return self.sets[0][1][-1][0]

    def settings(self) -> list["Setting"]:
        """Return every setting that is tried, those of one cell after the other."""
        tried = []
        for cell, (by, units), value in itertools.product(self.cells, self.sets, self.values):
            _, multiple, strength = value
            if (multiple if by == "all" else strength) == 1:  # all units twice as strong are no image
                tried.append(self.setting(by, units, value, cell))
        return tried

    def setting(self, by: str, units: Sequence[LayerUnits], value: tuple[str, float, float], cell: int) -> "Setting":
        """Return one setting."""
        constant, multiple, strength = value
        names = {name: getattr(self, name) for name in ("dissection", "generator", "segmenter", "pool")}
        (layer, first), *more = units
        own: dict[str, Any] = {"layer": layer, "units": first, "more": tuple(more), "constant": constant}
        return Setting(**names, **own, multiple=multiple, strength=strength, by=by, cell=cell, places=self.places)


@dataclass(frozen=True, kw_only=True)
class Setting(InsertionSpec):
    """One way to insert.

    Attributes:
        by: name of the set of units.
        cell: side of the places that it is meant for, in the grid of `places`.
        places: a layer.
    """

    by: str
    cell: int
    places: str
    units: tuple[int, ...]
    multiple: float
    strength: float
    constant: str
    more: tuple[LayerUnits, ...]
    pool: int

    @property
    def name(self) -> str:
        """What it is, for people and directories: ``all units at k(place)``."""
        units = "all units" if self.by == "all" else f"top {self.by.rpartition('-')[2]} by {self.by.partition('-')[0]}"
        value = "k(place)" if self.constant == "place" else "k"
        part = "" if self.strength == 1 else f" at {100 * self.strength:.0f} %"
        return f"{units}, {'' if self.multiple == 1 else f'{self.multiple:g} × '}{value}{part}"

    def fields(self) -> dict[str, Any]:
        """Return the fields of a Spec that say what is inserted."""
        return {name: getattr(self, name) for name in ("layer", "units", "more", "constant", "multiple", "strength")}
