"""What is set where, and to what: units of one layer or of several at once, each with its own constant (SPEC 4, 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ganatomy.edit import Intervention, blend, check_units
from ganatomy.errors import BadValue, UnknownName
from ganatomy.execute import Engine, local
from ganatomy.experiments.causal.choice import random_sets
from ganatomy.experiments.causal.constants import place_means
from ganatomy.experiments.causal.places import LayerUnits, Rows, layer_pool, random_units, switched_on
from ganatomy.experiments.causal.source import Source
from ganatomy.experiments.causal.trials import Untouched
from ganatomy.generators import LayerShape
from ganatomy.progress import Progress
from ganatomy.resample import pooled
from ganatomy.types import Constant, Features, Images, PerPlace, Where

CONSTANTS = ("k", "place")
"""One value a unit, or one a unit at each place."""


@runtime_checkable
class Inserts(Protocol):
    """The fields of a Spec that say what is inserted."""

    @property
    def layer(self) -> str:
        """The first layer."""
        ...

    @property
    def units(self) -> tuple[int, ...]:
        """Its units."""
        ...

    @property
    def more(self) -> tuple[LayerUnits, ...]:
        """Later layers, and their units."""
        ...

    @property
    def constant(self) -> str:
        """Of `CONSTANTS`."""
        ...

    @property
    def multiple(self) -> float:
        """So many times the constant."""
        ...

    @property
    def pool(self) -> int:
        """On how many images it is measured."""
        ...

    @property
    def batch(self) -> int:
        """How many of them at once."""
        ...


def layers_of(spec: Inserts) -> list[LayerUnits]:
    """Return every layer that is set, and its units, in order."""
    return [(spec.layer, spec.units), *spec.more]


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


@dataclass(frozen=True, eq=False)
class RowEdit:
    """An edit with units and a map of its own for each row of a batch."""

    layer: str
    alpha: Float[Tensor, "n u"]
    value: Constant
    where: Where

    def __call__(self, r: Features) -> Features:
        """Return the edited features."""
        a = self.alpha.to(r)[:, :, None, None] * self.where.to(r)[:, None]
        return blend(r, a, self.value)


def check_insertion(source: Source, spec: Inserts) -> None:
    """Refuse what cannot be inserted.

    Raises:
        UnknownName: no such constant, layer or unit.
        BadValue: the layers are not different ones in the order of the network.
    """
    if spec.constant not in CONSTANTS:
        raise UnknownName("constant", spec.constant, CONSTANTS)
    names = [layer for layer, _ in layers_of(spec)]
    for layer, units in layers_of(spec):
        check_units(layer, source.shape(layer).units, units)
        if not units:
            raise BadValue(f"no units of {layer} are given; name some, or leave the layer out")
    if names != in_order(source, names):
        raise BadValue(f"layers={', '.join(names)}: give different ones, in the order of the network")


def sets_all(source: Source, spec: Inserts) -> bool:
    """Return whether all units of every layer are set."""
    return all(len(set(units)) == source.shape(layer).units for layer, units in layers_of(spec))


def in_order(source: Source, layers: Sequence[str]) -> list[str]:
    """Return layers in the order of the network, each once."""
    return [name for name in source.models.subject.layers if name in set(layers)]


def placed_layers(source: Source, spec: Inserts) -> list[str]:
    """Return the layers whose units are measured at every place: set to k(place), or all of them set."""
    return [
        layer
        for layer, units in layers_of(spec)
        if spec.constant == "place" or len(set(units)) == source.shape(layer).units
    ]


def measured_parts(
    source: Source, spec: Inserts, concept: str, execute: Engine = local, progress: Progress | None = None
) -> list[Part]:
    """Return what is inserted, with the constants of each layer: measured, or read where they lie already."""
    c, parts = source.concept(concept), []
    needed = placed_layers(source, spec)
    means = place_means(source, needed, concept, (spec.pool, spec.batch), execute, progress) if needed else {}
    for layer, units in layers_of(spec):
        shape = source.shape(layer)
        value: Constant = layer_pool(source, layer, spec.pool, spec.batch, execute, progress).constant(c).cpu()
        if spec.constant == "place":
            value = means[layer].constant(value).cpu()
        without = means[layer].absent().cpu() if len(set(units)) == shape.units else None
        parts.append(Part(layer, shape, tuple(units), value * spec.multiple, without))
    return parts


def row_edits(parts: Sequence[Part], where: Where) -> list[RowEdit]:
    """Return the insertion in every row, at the row's place; `where` is of the last layer's grid."""
    n = len(where)
    return [
        RowEdit(
            part.layer,
            switched_on(part.units, part.shape.units)[None].expand(n, -1),
            part.value,
            at_grid(where, part.grid),
        )
        for part in parts
    ]


def control_edits(
    parts: Sequence[Part], where: Where, picture: Int64[Tensor, " n"], ids: range, seed: int
) -> list[RowEdit]:
    """Return the control in every row: as many random units, drawn anew for each image.

    Where all units of a layer are set, random ones would be the same: they are set to what they are at that place in
    images without the concept.
    """
    edits = []
    for part in parts:
        if part.without is not None:
            alpha, value = torch.ones(len(ids), part.shape.units), part.without
        else:
            alpha, value = random_units(part.shape.units, part.units, ids, seed), part.value
        edits.append(RowEdit(part.layer, alpha[picture], value, at_grid(where, part.grid)))
    return edits


def at_grid(where: Where, grid: tuple[int, int]) -> Float[Tensor, "p rows columns"]:
    """Return maps at the grid of another layer; a coarser place is edited where any of it is."""
    return where if tuple(where.shape[1:]) == grid else pooled(where, grid, "max")


@torch.no_grad()
def draw_edited(source: Source, given: Untouched, rows: Rows, edits: Sequence[RowEdit]) -> Images:
    """Draw one image a row; `given` holds the features of the first layer."""
    generator, (first, *later) = source.models.generator, edits
    z = given.z[rows.picture]
    r = first(given.features[rows.picture])
    return generator.render(r, first.layer, z, later)


def constant_edits(parts: Sequence[Part], where: Where | None, strength: float) -> list[Intervention]:
    """Return the insertion that is the same in all images: everywhere, or at a map of the last layer's grid."""
    return [_edit(part, part.units, part.value, where, strength) for part in parts]


def control_trials(
    parts: Sequence[Part], where: Where | None, strength: float, random: int, seed: int
) -> list[list[Intervention]]:
    """Return the controls of such an insertion: so many random sets, or one where all units are set."""
    if all(part.without is not None for part in parts):
        return [[_edit(part, part.units, part.without, where, strength) for part in parts]] if random else []
    sets = [random_sets(part.shape.units, len(set(part.units)), range(random), seed, part.units) for part in parts]
    return [
        [_edit(part, own[i], part.value, where, strength) for part, own in zip(parts, sets, strict=True)]
        for i in range(random)
    ]


def _edit(
    part: Part, units: Sequence[int], value: Constant | None, where: Tensor | None, strength: float
) -> Intervention:
    assert value is not None
    place = None if where is None else at_grid(where, part.grid)
    return Intervention.insert(part.layer, part.shape, units, value, place, strength)
