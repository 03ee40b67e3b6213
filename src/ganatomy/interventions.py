"""An intervention: which units of a layer, where, set to what, and how far (Section 3.2, Eqn 3-5; SPEC 4).

``r' = (1 - a) r + a k`` at the layer's output, with ``a = alpha × where``: alpha says how far each unit is taken, where
says how far each place of the layer's grid is. Ablation sets to k = 0, insertion to a constant of the class. Units and
places with a = 0 keep their value, those with a = 1 are exactly k; NaN and Inf in r are not hidden by an edit.

An edit is a sequence of interventions, one layer each, in the order in which they are to be done; as JSON it names the
fingerprint of the generator that it was made for.
"""

import dataclasses
import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadFile, BadValue, UnknownName
from ganatomy.core.files import read_text, write_text
from ganatomy.core.tensor_types import Constant, Features, PerUnit, Where

FORMAT = 1
MAX_BYTES = 1 << 26
"""Size of a file of edits: maps of every place of wide layers."""
LARGEST = torch.finfo(torch.float32).max
T = TypeVar("T")
Shape = tuple[int, int, int]
"""Units, height and width of a layer."""


def blend(r: Features, a: Float[Tensor, "#b #u #h #w"], k: Constant) -> Features:
    """Return (1 - a) r + a k, in the type and on the device of r; differentiable in all three.

    k is one value for each unit, or one for each unit at each place.

    Nothing is checked, so a GPU never waits: this is what a loop that optimises a or k calls.

    >>> blend(torch.ones(1, 2, 1, 1), torch.tensor([0.0, 0.5]).view(1, 2, 1, 1), torch.tensor([7.0, 7.0])).flatten()
    tensor([1., 4.])
    """
    k = (k[:, None, None] if k.ndim == 1 else k)[None].to(r)
    if _channels_last(r):
        k = k.contiguous(memory_format=torch.channels_last)
    return torch.lerp(r, k, a.to(r))


def _channels_last(r: Features) -> bool:
    """Return whether the units of a place lie side by side; where k and a do not, a blend takes six times as long."""
    return not r.is_contiguous() and r.is_contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, eq=False)
class Intervention:
    """What is done to one layer.

    Making one reads its numbers, to check them; a loop on a GPU uses `blend`.

    >>> off = Intervention.ablate("layer4", (8, 4, 4), [2, 5])
    >>> door = Intervention.insert("layer4", (8, 4, 4), [1], torch.full((8,), 3.0), where=place((4, 4), 2, 0))
    >>> r = torch.randn(1, 8, 4, 4)
    >>> bool((off.then(door)(r) == door(off(r))).all())
    True

    Attributes:
        layer: its name.
        alpha: how far each unit is taken, in [0, 1].
        value: k, what each unit is taken to: one value for each, or one for each at each place of the grid.
        where: how far each place is, in [0, 1]; one map for all images, or one for each of a batch.
        before: what is done to this layer first, in order.

    Raises:
        BadValue: alpha or where is not within [0, 1], value is not finite, sizes differ, or before is of another layer.
    """

    layer: str
    alpha: PerUnit
    value: Constant
    where: Where
    before: tuple["Intervention", ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        fitting = (self.alpha.shape, self.alpha.shape + self.where.shape[-2:])
        if self.alpha.ndim != 1 or self.where.ndim != 3 or self.value.shape not in fitting:
            given = [list(each.shape) for each in (self.alpha, self.value, self.where)]
            raise BadValue(
                f"an edit of {self.layer} has alpha {given[0]}, value {given[1]}, where {given[2]}; they must be "
                "[units], [units] or [units, height, width], [1 or images, height, width]"
            )
        for name, each in (("alpha", self.alpha), ("where", self.where)):
            if not bool(((each >= 0) & (each <= 1)).all()):  # NaN fails too
                raise BadValue(f"{name} of an edit of {self.layer} is not between 0 and 1 everywhere")
        if not bool(self.value.isfinite().all()):
            raise BadValue(f"the values of an edit of {self.layer} hold NaN or Inf")
        for first in self.before:
            if (first.layer, first.shape) != (self.layer, self.shape):
                raise BadValue(
                    f"an edit of {first.layer} {list(first.shape)} and one of {self.layer} {list(self.shape)} "
                    "are not of one layer; hand both over, as a list"
                )
        if len(batches := self._batches()) > 1:
            raise BadValue(f"an edit of {self.layer} has parts for {' and '.join(map(str, sorted(batches)))} images")

    @property
    def shape(self) -> Shape:
        """Units, height and width of the layer that it fits."""
        return (len(self.alpha), *self.where.shape[-2:])

    def __call__(self, r: Features) -> Features:
        """Return the edited features; differentiable in r, alpha and value.

        Raises:
            BadValue: the layer has another shape, or the batch another size.
        """
        if tuple(r.shape[1:]) != self.shape or len(self.where) not in (1, len(r)):
            raise BadValue(
                f"an edit of {self.layer} for {[len(self.where), *self.shape]} (images, units, height, width) does "
                f"not fit {list(r.shape)}"
            )
        for each in self.before:
            r = each(r)
        return blend(r, self._amounts(r), self.value)

    def _amounts(self, r: Features) -> Float[Tensor, "#b u h w"]:
        """Return a = alpha × where, in memory as the features are."""
        alpha, where = self.alpha.to(r), self.where.to(r)
        if _channels_last(r):
            return (where[..., None] * alpha).permute(0, 3, 1, 2)
        return alpha[:, None, None] * where[:, None]

    def then(self, later: "Intervention") -> "Intervention":
        """Return the two as one: a = 1 - (1 - a₂)(1 - a₁), a·k = k₁ a₁ (1 - a₂) + k₂ a₂.

        Raises:
            BadValue: they are of different layers; edits of several layers are a list.
        """
        return dataclasses.replace(later, before=(*self.strokes(), *later.before))

    def strokes(self) -> list["Intervention"]:
        """Return the single interventions that it is made of, in order."""
        if not self.before:
            return [self]
        return [*(stroke for each in self.before for stroke in each.strokes()), dataclasses.replace(self, before=())]

    def _batches(self) -> set[int]:
        """Return for how many images it is, if not for any number."""
        return {len(self.where)}.union(*(each._batches() for each in self.before)) - {1}

    @classmethod
    def ablate(
        cls, layer: str, shape: Shape, units: Sequence[int], where: Where | None = None, strength: float = 1.0
    ) -> "Intervention":
        """Return the ablation of some units, k = 0; see `insert`."""
        return cls.insert(layer, shape, units, torch.zeros(shape[0]), where, strength)

    @classmethod
    def insert(
        cls,
        layer: str,
        shape: Shape,
        units: Sequence[int],
        value: Constant,
        where: Where | None = None,
        strength: float = 1.0,
    ) -> "Intervention":
        """Return the insertion of some units: they are set to their entries of `value`.

        Args:
            layer: its name.
            shape: units, height and width of the layer, as ``generator.layers[layer]``.
            units: which.
            value: one entry for each unit of the layer, or one for each unit at each place.
            where: how far each place is edited; None for everywhere.
            strength: alpha of these units; below 1 they are only partly changed.

        Raises:
            UnknownName: a unit that the layer does not have.
            BadValue: where is of another grid, strength is not within [0, 1], or value is not finite.
        """
        check_units(layer, shape[0], units)
        if where is None:
            where = everywhere(shape[1:])
        if tuple(where.shape[1:]) != tuple(shape[1:]):
            raise BadValue(f"where is a grid of {list(where.shape[1:])}, that of {layer} is {list(shape[1:])}")
        alpha = torch.zeros(shape[0])
        alpha[list(units)] = strength
        return cls(layer, alpha, value, where)

    @classmethod
    def clone(
        cls,
        layer: str,
        features: Float[Tensor, "u rows columns"],
        where: Where,
        shift: tuple[int, int] = (0, 0),
        strength: float = 1.0,
    ) -> "Intervention":
        """Return the edit that stamps features of an image into another: all units, each place to what it is there.

        >>> r = torch.arange(4.0).view(1, 2, 2)
        >>> stamp = Intervention.clone("layer4", r, place((2, 2), 1, 0), shift=(1, 0))
        >>> stamp(torch.full((1, 1, 2, 2), 9.0)).flatten().tolist()
        [9.0, 9.0, 0.0, 9.0]

        Args:
            layer: its name.
            features: of the layer in the image that is copied, from ``generator.observe``.
            where: how far each place is replaced: less than 1 at the edges for a soft transition.
            shift: rows down and columns to the right that the features move; what comes from beyond the image is left
                out, so those places keep what they have.
            strength: alpha of all units.

        Raises:
            BadValue: where is of another grid or for several images, strength is not within [0, 1], or the features
                are not finite.
        """
        units, *grid = features.shape
        if tuple(where.shape) != (1, *grid):
            raise BadValue(f"where has shape {list(where.shape)}; for these features of {layer} it is {[1, *grid]}")
        own, there = torch.zeros(units, *grid), torch.zeros(1, *grid)
        to, since = zip(*(_overlap(side, by) for side, by in zip(grid, shift, strict=True)), strict=True)
        there[0][to] = where[0][to].cpu()
        own[:, *to] = features[:, *since].cpu() * (there[:, *to] > 0)  # what is not used is not kept, see `edits_json`
        return cls(layer, torch.full((units,), float(strength)), own, there)


def _overlap(side: int, by: int) -> tuple[slice, slice]:
    """Return where an axis that is moved by so many places arrives within itself, and where that came from."""
    by = max(-side, min(side, by))
    return slice(max(0, by), side + min(0, by)), slice(max(0, -by), side + min(0, -by))


def check_units(layer: str, count: int, units: Sequence[int]) -> None:
    """Refuse units that a layer does not have.

    Raises:
        UnknownName: names the unit.
    """
    for unit in units:
        if not 0 <= unit < count:
            raise UnknownName("unit", f"{layer}/{unit}", [f"{layer}/0 … {layer}/{count - 1}"])


def everywhere(grid: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """Return the whole grid (height, width)."""
    return torch.ones(1, *grid)


def place(
    grid: tuple[int, int], row: int, column: int, height: int = 1, width: int | None = None
) -> Float[Tensor, "1 h w"]:
    """Return a rectangle of a grid, given its top left place; by default of one place, or a square.

    Raises:
        BadValue: it is not wholly in the grid.
    """
    width = height if width is None else width
    if min(row, column) < 0 or min(height, width) < 1 or row + height > grid[0] or column + width > grid[1]:
        raise BadValue(
            f"row {row}, column {column}, {height} × {width} places: not within the layer's {grid[0]} × {grid[1]}; "
            "rows and columns are counted from 0"
        )
    where = torch.zeros(1, *grid)
    where[:, row : row + height, column : column + width] = 1
    return where


def write_edits(path: Path, edits: Sequence[Intervention], fingerprint: str) -> None:
    """Write edits as a JSON file, whole or not at all; `fingerprint` is that of the generator."""
    write_text(path, edits_json(edits, fingerprint))


def read_edits(path: Path, layers: Mapping[str, Shape], fingerprint: str) -> list[Intervention]:
    """Read what `write_edits` wrote, for a generator of these layers and this fingerprint.

    Raises:
        BadFile: no such file, not edits, or made for another generator.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = "not text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", None) or error
        raise BadFile(f"{path}: not a file of edits ({reason})") from error
    return edits_from_json(text, layers, fingerprint, str(path))


def edits_json(edits: Sequence[Intervention], fingerprint: str) -> str:
    """Return edits as the text of a JSON object, which `edits_from_json` reads back to the same bits, in float32.

    Of each stroke it holds only the units with alpha > 0.
    """
    records = []
    for edit in edits:
        touched = [(stroke, stroke.alpha.nonzero()[:, 0]) for stroke in edit.strokes()]
        strokes = [
            {
                "units": units.tolist(),
                "alpha": stroke.alpha[units].tolist(),
                "value": stroke.value[units].tolist(),
                "where": stroke.where.tolist(),
            }
            for stroke, units in touched
        ]
        records.append({"layer": edit.layer, "strokes": strokes})
    return json.dumps({"format": FORMAT, "generator": fingerprint, "edits": records}, allow_nan=False) + "\n"


def edits_from_json(
    text: str, layers: Mapping[str, Shape], fingerprint: str, source: str = "edits"
) -> list[Intervention]:
    """Read edits from JSON; the generator's layers and fingerprint must be those that they were made for.

    Raises:
        BadFile: they are not, or this is no such JSON; names the source.
    """
    try:
        content = json.loads(text, parse_constant=_no_number)
        made_for, found = _entry(content, "generator", str), _entry(content, "format", int)
        if found != FORMAT:
            raise BadValue(f"format {reprlib.repr(found)}; this version reads format {FORMAT}")
        if made_for != fingerprint:
            raise BadValue(f"made for another generator, {made_for[:12]!r}…; this one is {fingerprint[:12]!r}…")
        return [_edit(each, layers) for each in _entry(content, "edits", list)]
    except (ValueError, RecursionError, BadValue, UnknownName) as error:  # JSON can be nested deeper than Python goes
        raise BadFile(f"{source}: not a file of edits for this generator ({error})") from error


def _edit(record: Any, layers: Mapping[str, Shape]) -> Intervention:
    name = _entry(record, "layer", str)
    if name not in layers:
        raise UnknownName("layer", reprlib.repr(name)[1:-1], layers)
    strokes = [_read_stroke(each, name, layers[name]) for each in _entry(record, "strokes", list)]
    if not strokes:
        raise BadValue(f"an edit of {name} without strokes")
    return dataclasses.replace(strokes[-1], before=tuple(strokes[:-1]))


def _read_stroke(record: Any, layer: str, shape: Shape) -> Intervention:
    units, maps = _entry(record, "units", list), _entry(record, "where", list)
    if any(type(unit) is not int for unit in units) or len(set(units)) != len(units):
        raise BadValue(f"units are {reprlib.repr(units)}; they must be different whole numbers")
    check_units(layer, shape[0], units)
    alpha = torch.zeros(shape[0])
    alpha[units] = torch.tensor(_numbers(_entry(record, "alpha", list), "alpha", len(units), (0, 1)))
    values, bounds = _entry(record, "value", list), (-LARGEST, LARGEST)
    if values and isinstance(values[0], list):
        value = torch.zeros(shape)
        if len(values) != len(units):
            raise BadValue(f"value must be {len(units)} numbers, or as many maps of {shape[1]} rows")
        value[units] = _maps(values, "value", layer, shape, bounds)
    else:
        value = torch.zeros(shape[0])
        value[units] = torch.tensor(_numbers(values, "value", len(units), bounds))
    return Intervention(layer, alpha, value, _maps(maps, "where", layer, shape, (0, 1)))


def _maps(maps: list[Any], name: str, layer: str, shape: Shape, bounds: tuple[float, float]) -> Tensor:
    """Read maps of a layer's grid, at least one."""
    if not maps or any(not isinstance(rows, list) or len(rows) != shape[1] for rows in maps):
        raise BadValue(f"{name} of an edit of {layer} must be maps of {shape[1]} rows")
    cells = [_numbers(row, f"a row of {name}", shape[2], bounds) for rows in maps for row in rows]
    return torch.tensor(cells).view(-1, *shape[1:])


def _entry(record: Any, key: str, kind: type[T]) -> T:
    """Return a required entry of a JSON object."""
    kinds = {str: "text", int: "a whole number", list: "a list"}
    entry = record.get(key) if isinstance(record, dict) else None
    if isinstance(entry, kind) and not isinstance(entry, bool):
        return entry
    raise BadValue(f"no {key!r} that is {kinds[kind]} in {reprlib.repr(record)}")


def _numbers(values: Any, name: str, count: int, bounds: tuple[float, float]) -> list[float]:
    low, high = bounds
    if not isinstance(values, list) or len(values) != count:
        raise BadValue(f"{name} is {reprlib.repr(values)}; it must be a list of {count} numbers")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadValue(f"{name} holds {reprlib.repr(value)}; it must hold numbers from {low:g} to {high:g}")
    return [float(value) for value in values]


def _no_number(token: str) -> NoReturn:
    raise BadValue(f"{token} is no number")
