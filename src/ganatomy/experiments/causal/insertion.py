"""What is inserted: units of one layer or of several at once, each set to its own constant (SPEC 4, 6)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.core.layer_steps import is_window
from ganatomy.core.progress import Progress
from ganatomy.core.resample import pooled
from ganatomy.core.tensor_types import Constant, Features, Images, PerPlace, PerUnit, Where
from ganatomy.engines import Engine, local
from ganatomy.experiments.causal.choice import random_alpha, random_sets
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, at_least, checked_set
from ganatomy.experiments.causal.places import Rows, corners
from ganatomy.experiments.causal.pool import LayerMeans, PoolSpec, layer_pool, place_means
from ganatomy.experiments.causal.trials import Baseline
from ganatomy.interventions import Intervention, blend, check_units
from ganatomy.models.generators import LayerShape
from ganatomy.models.generators.protocol import Edit

CONSTANTS = ("k", "place")
"""One value a unit, or one a unit at each place."""
LayerUnits = tuple[str, tuple[int, ...]]
"""A layer, and some of its units."""


class InsertionSpec(SampleSpec):
    """Which units of which layers are set, and to what; subclasses declare these fields, in an order of their own.

    Attributes:
        units: which units are set to k.
        chosen: how they were chosen, in words.
        concept: of which k is the class constant, and whose pixels are counted.
        multiple: they are set to this many times k.
        strength: α, from 0 to 1.
        constant: ``k``, one value a unit, or ``place``, one a unit at each place.
        more: later layers of which units are set, too, each to its own constant.
        pool: how many images k is measured on.
    """

    units: tuple[int, ...]
    multiple: float
    strength: float
    constant: str
    more: tuple[LayerUnits, ...]
    pool: int

    def layer_units(self) -> list[LayerUnits]:
        """Return every layer that is edited, and its units, in order."""
        return [(self.layer, self.units), *self.more]

    def layers(self) -> list[str]:
        """Return every layer that is edited, the first one first."""
        return [layer for layer, _ in self.layer_units()]


@dataclass(frozen=True, kw_only=True)
class PlaceSpec(InsertionSpec):
    """What is inserted, and how large a place is.

    Attributes:
        cell: a place is cell × cell of the layer's grid; of several layers, of the last one's.
    """

    concept: str
    units: tuple[int, ...]
    chosen: str
    multiple: float = 1.0
    strength: float = 1.0
    constant: str = "k"
    more: tuple[LayerUnits, ...] = ()
    cell: int = 1
    pool: int = PoolSpec.images

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "units", checked_set(self.units))
        object.__setattr__(self, "more", tuple((layer, checked_set(units)) for layer, units in self.more))
        at_least(self, cell=1, pool=2)
        if not 0 < self.strength <= 1:
            raise BadValue(f"strength={self.strength} is not above 0 and at most 1")
        if not (math.isfinite(self.multiple) and self.multiple):
            raise BadValue(f"multiple={self.multiple} is no number to take k by")

    @property
    def place_layer(self) -> str:
        """The layer whose grid the places are of."""
        return self.layers()[-1]


class Part(NamedTuple):
    """The units of one layer, and what they are set to.

    Attributes:
        layer: its name.
        shape: its units and grid.
        units: those that are set.
        value: what to, the multiple included.
        without: where all units of the layer are set, what they are at each place in images without the concept.
    """

    layer: str
    shape: LayerShape
    units: tuple[int, ...]
    value: Constant
    without: PerPlace | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the layer's map."""
        return self.shape.height, self.shape.width

    def edit(self, units: Sequence[int], value: Constant, where: Tensor | None, strength: float) -> Intervention:
        """Return the edit that sets units of the layer; `where` may be of another layer's grid."""
        place = None if where is None else at_grid(where, self.grid)
        return Intervention.insert(self.layer, self.shape, units, value, place, strength)


@dataclass(frozen=True, eq=False)
class RowEdit:
    """An edit with units and a map of its own for each row of a batch."""

    layer: str
    alpha: Float[Tensor, "#n u"]
    value: Constant
    where: Where

    def __call__(self, r: Features) -> Features:
        """Return the edited features."""
        return blend(r, self.alpha.to(r)[:, :, None, None] * self.where.to(r)[:, None], self.value)


def check_insertion(source: DissectedModel, spec: InsertionSpec) -> None:
    """Refuse what cannot be inserted."""
    if spec.constant not in CONSTANTS:
        raise UnknownName("constant", spec.constant, CONSTANTS)
    for layer, units in spec.layer_units():
        check_units(layer, source.shape(layer).units, units)
        if not units:
            raise BadValue(f"no units of {layer} are given; name some, or leave the layer out")
    if spec.layers() != source.in_order(spec.layers()):
        raise BadValue(f"layers={', '.join(spec.layers())}: give different ones, in the order of the network")


def check_places(spec: PlaceSpec, source: DissectedModel) -> int:
    """Check a Spec against the models, and return the index of its concept."""
    check_insertion(source, spec)
    corners(source.grid(spec.place_layer), spec.cell)
    return source.concept(spec.concept)


def sets_all(source: DissectedModel, spec: InsertionSpec) -> bool:
    """Return whether all units of every layer are set."""
    return all(len(set(units)) == source.shape(layer).units for layer, units in spec.layer_units())


def placed_layers(source: DissectedModel, spec: InsertionSpec) -> list[str]:
    """Return the layers whose units are measured at every place: set to k(place), or all of them set.

    Those of several steps too: one pass measures all of them, a pool of each would sample every image anew.
    """
    if is_window(spec.layers()):
        return spec.layers()
    return [
        layer
        for layer, units in spec.layer_units()
        if spec.constant == "place" or len(set(units)) == source.shape(layer).units
    ]


def measured_parts(
    source: DissectedModel, spec: InsertionSpec, concept: str, engine: Engine = local, progress: Progress | None = None
) -> list[Part]:
    """Return what is inserted, with the constants of each layer: measured, or read where they lie already."""
    needed = placed_layers(source, spec)
    means = place_means(source, needed, concept, spec.pool, engine, progress) if needed else {}
    c = source.concept(concept)
    k = {
        layer: means[layer].mean()
        if layer in means
        else layer_pool(source, layer, spec.pool, engine, progress).constant(c)
        for layer in spec.layers()
    }
    return constant_parts(source, spec, k, means)


def constant_parts(
    source: DissectedModel, spec: InsertionSpec, k: Mapping[str, PerUnit], means: Mapping[str, LayerMeans]
) -> list[Part]:
    """Return what is inserted, given k of each layer, and the means of `placed_layers`."""
    parts = []
    for layer, units in spec.layer_units():
        shape = source.shape(layer)
        value: Constant = k[layer].cpu()
        if spec.constant == "place":
            value = means[layer].constant(value).cpu()
        without = means[layer].absent().cpu() if len(set(units)) == shape.units else None
        parts.append(Part(layer, shape, tuple(units), value * spec.multiple, without))
    return parts


def constant_edits(parts: Sequence[Part], where: Where | None = None, strength: float = 1.0) -> list[Intervention]:
    """Return the insertion everywhere, or at maps of the last layer's grid: one for all images, or one for each row."""
    return [part.edit(part.units, part.value, where, strength) for part in parts]


def control_trials(
    parts: Sequence[Part], where: Where | None, strength: float, random: int, seed: int
) -> list[list[Intervention]]:
    """Return the controls of an insertion that is the same in all images: so many sets of as many random units.

    Where all units of a layer are set, random ones would be the same: so there is one control, which sets them to what
    they are at that place in images without the concept.
    """
    if all(part.without is not None for part in parts):
        own = [part.edit(part.units, part.without, where, strength) for part in parts if part.without is not None]
        return [own] if random else []
    sets = [random_sets(part.shape.units, len(set(part.units)), range(random), seed, part.units) for part in parts]
    return [
        [part.edit(own[i], part.value, where, strength) for part, own in zip(parts, sets, strict=True)]
        for i in range(random)
    ]


def control_edits(
    parts: Sequence[Part],
    where: Where,
    image: Int64[Tensor, " n"],
    ids: Sequence[int],
    seed: int,
    strength: float = 1.0,
) -> list[RowEdit]:
    """Return the control in every row, see `control_trials`: random units are drawn anew for each image."""
    edits = []
    for part in parts:
        if part.without is not None:
            alpha, value = torch.ones(len(ids), part.shape.units), part.without
        else:
            alpha, value = random_alpha(part.shape.units, part.units, ids, seed), part.value
        edits.append(RowEdit(part.layer, strength * alpha[image], value, at_grid(where, part.grid)))
    return edits


def at_grid(where: Where, grid: tuple[int, int]) -> Float[Tensor, "p rows columns"]:
    """Return maps at the grid of another layer; a coarser place is edited where any of it is."""
    return where if tuple(where.shape[1:]) == grid else pooled(where, grid, "max")


@torch.no_grad()
def draw_edited(source: DissectedModel, given: Baseline, rows: Rows, edits: Sequence[Edit]) -> Images:
    """Draw one image a row; `given` holds the features of the first layer."""
    r, z = given.features[rows.image], given.z[rows.image]
    return source.models.generator.render(r, edits[0].layer, z, edits)
