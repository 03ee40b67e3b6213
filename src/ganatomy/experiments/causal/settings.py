"""The settings that are tried to insert a concept: which units of which layers, and to what value (SPEC 6)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganatomy.errors import BadValue
from ganatomy.experiments.causal.choice import Wanted, ace_home, choose
from ganatomy.experiments.causal.insertion import in_order
from ganatomy.experiments.causal.places import LayerUnits, at_least
from ganatomy.experiments.causal.pool import PoolSpec
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.study import is_study

TOPS = (20, 40)
"""So many units of each ranking and layer are tried, and all of them."""
VALUES = (("k", 1.0), ("k", 2.0), ("place", 1.0))
"""Constants, and multiples of them, that are tried."""
SIDE = 3 / 16
"""A place is about so large, as a share of the image's side."""
FINEST = 4
"""Without layers given, those with the finest grid whose places are at least so many pixels a side."""


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
    shard: int = 16

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        at_least(self, images=4, cell=1, pool=2)
        if not self.sets or not self.values:
            raise BadValue("there is no setting to try; give sets of units, and constants")

    def settings(self) -> list["Setting"]:
        """Return every setting that is tried."""
        return [
            Setting(name, *own[0], own[1:], constant, multiple, self.pool, self.batch)
            for (name, own), (constant, multiple) in itertools.product(self.sets, self.values)
        ]

    def halves(self) -> tuple[list[range], list[range]]:
        """Return the shards of the images that choose, and of those that are measured on."""
        shards = []
        ids, middle = self.ids(), self.images // 2
        for half in (ids[:middle], ids[middle:]):
            shards.append([half[i : i + self.shard] for i in range(0, len(half), self.shard)])
        return shards[0], shards[1]


class Setting(NamedTuple):
    """One way to insert.

    Attributes:
        by: name of the set of units.
        layer, units: of the first layer.
        more: later layers, and their units.
        constant: ``k`` or ``place``.
        multiple: so many times that.
        pool, batch: how the constant is measured.
    """

    by: str
    layer: str
    units: tuple[int, ...]
    more: tuple[LayerUnits, ...]
    constant: str
    multiple: float
    pool: int = PoolSpec.images
    batch: int = SampleSpec.batch

    @property
    def name(self) -> str:
        """What it is, for people and directories: ``all units at k(place)``."""
        units = "all units" if self.by == "all" else f"top {self.by.rpartition('-')[2]} by {self.by.partition('-')[0]}"
        value = "k(place)" if self.constant == "place" else "k"
        return f"{units}, {'' if self.multiple == 1 else f'{self.multiple:g} × '}{value}"

    def fields(self) -> dict[str, Any]:
        """Return the fields of a Spec that say what is inserted."""
        return {
            "layer": self.layer,
            "units": self.units,
            "more": self.more,
            "constant": self.constant,
            "multiple": self.multiple,
        }


def default_layers(source: Source) -> list[str]:
    """Return the layers that are set where none are named: the first two with the finest grid that can make an object.

    A place of it is at least `FINEST` pixels a side; of networks without such, it is the first layer.
    """
    generator, layers = source.models.generator, source.dissection.layers
    height = generator.observe(generator.latents(range(1), 0), ()).images.shape[-2]
    apt = {name: shape.height for name, shape in layers.items() if 1 < shape.height <= height // FINEST}
    if not apt:
        return [next(iter(layers))]
    return [name for name, side in apt.items() if side == max(apt.values())][:2]


def setting_spec(source: Source, layers: Sequence[str], concept: str, **options: Any) -> SettingSpec:
    """Return the Spec of the settings that are tried for a concept at some layers.

    The units of each layer are ranked by IoU, and by ACE too where that was run for all of them.

    Raises:
        UnknownName: no such layer or concept.
        BadValue: the concept is too rare, or no unit of a layer has to do with it.
    """
    source.concept(concept)
    names = in_order(source, layers)
    shapes = {name: source.shape(name) for name in layers}
    ranked = all(
        any(is_study(ace_home(source, name, concept, each)) for each in ("fast", "published")) for name in names
    )
    most = min(shape.units for shape in shapes.values())
    sets: list[tuple[str, tuple[LayerUnits, ...]]] = []
    for by in ("iou", "ace") if ranked else ("iou",):
        for top in sorted({min(top, most) for top in TOPS} - {most}):
            units = [(name, choose(source, name, Wanted(concept=concept, top=top, by=by)).units) for name in names]
            sets.append((f"{by}-{top}", tuple(units)))
    sets.append(("all", tuple((name, tuple(range(shapes[name].units))) for name in names)))
    last = shapes[names[-1]]
    cell = max(1, round(SIDE * min(last.height, last.width)))
    return SettingSpec(
        **{**source.names(), "layer": names[0], "concept": concept, "sets": tuple(sets), "cell": cell, **options}
    )


def paper_setting(source: Source, spec: SettingSpec) -> Setting:
    """Return the paper's setting: the 20 best units of the first layer at k; all of a smaller layer's."""
    layer = spec.layer
    top = min(TOPS[0], source.shape(layer).units)
    units = choose(source, layer, Wanted(concept=spec.concept, top=top)).units
    return Setting(f"iou-{top}", layer, units, (), "k", 1.0, spec.pool, spec.batch)
