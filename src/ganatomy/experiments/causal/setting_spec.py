"""The settings by which a concept may be inserted, and the Spec that names those that are tried."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganatomy.core.errors import BadValue
from ganatomy.experiments.causal.dissected_model import SampleSpec, at_least
from ganatomy.experiments.causal.insertion import (
    InsertionSpec,
    LayerUnits,
)
from ganatomy.experiments.causal.pool import PoolSpec

VALUES = (("k", 1.0), ("k", 2.0), ("place", 1.0))
"""Constants, and multiples of them, that are tried."""


@dataclass(frozen=True, kw_only=True)
class SettingSpec(SampleSpec):
    """Which settings are tried, and on how many images.

    Attributes:
        layer: the first of the layers.
        concept: what is inserted.
        sets: by name, units of every layer: ``iou-20``, ``ace-40``, ``all``.
        values: constants and multiples; each is tried with each set.
        cell: a place is cell × cell of the last layer's grid.
        pool: on how many images constants are measured.
        grammar: category of scenes whose renderer says where the object may be; None for the generator's own.
        images: half of them choose, the others are measured on.
    """

    concept: str
    sets: tuple[tuple[str, tuple[LayerUnits, ...]], ...]
    values: tuple[tuple[str, float], ...] = VALUES
    cell: int = 1
    pool: int = PoolSpec.images
    grammar: str | None = None
    images: int = 120
    first: int = 3_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, images=4, cell=1, pool=2)
        if not self.sets or not self.values:
            raise BadValue("there is no setting to try; give sets of units, and constants")

    def layers(self) -> list[str]:
        """Return every layer that is edited, the first one first."""
        return [layer for layer, _ in self.sets[0][1]]

    def settings(self) -> list["Setting"]:
        """Return every setting that is tried."""
        return [self.setting(*own, *value) for own, value in itertools.product(self.sets, self.values)]

    def setting(self, by: str, units: Sequence[LayerUnits], constant: str, multiple: float) -> "Setting":
        """Return one setting."""
        names = {name: getattr(self, name) for name in ("dissection", "generator", "segmenter", "pool")}
        (layer, first), *more = units
        return Setting(**names, layer=layer, units=first, more=tuple(more), constant=constant, multiple=multiple, by=by)

    def halves(self) -> tuple[range, range]:
        """Return the ids of the images that choose, and of those that are measured on."""
        ids, middle = self.ids(), self.images // 2
        return ids[:middle], ids[middle:]


@dataclass(frozen=True, kw_only=True)
class Setting(InsertionSpec):
    """One way to insert.

    Attributes:
        by: name of the set of units.
    """

    by: str
    units: tuple[int, ...]
    multiple: float
    constant: str
    more: tuple[LayerUnits, ...]
    pool: int

    @property
    def name(self) -> str:
        """What it is, for people and directories: ``all units at k(place)``."""
        units = "all units" if self.by == "all" else f"top {self.by.rpartition('-')[2]} by {self.by.partition('-')[0]}"
        value = "k(place)" if self.constant == "place" else "k"
        return f"{units}, {'' if self.multiple == 1 else f'{self.multiple:g} × '}{value}"

    def fields(self) -> dict[str, Any]:
        """Return the fields of a Spec that say what is inserted."""
        return {name: getattr(self, name) for name in ("layer", "units", "more", "constant", "multiple")}
