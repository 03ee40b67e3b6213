"""An intervention: which units of a layer, where, set to what, and how far (Section 3.2, Eqn 3-5; SPEC 4).

``r' = (1 - a) r + a k`` at the layer's output, with ``a = alpha × where``: alpha says how far each unit is taken, where
says how far each place of the layer's grid is. Ablation sets to k = 0, insertion to a constant of the class. Units and
places with a = 0 keep their bits, those with a = 1 are exactly k.

An edit is a sequence of interventions, one layer each, in the order in which they are to be done; as JSON it names the
fingerprint of the generator that it was made for.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ganatomy.errors import BadFile, BadValue, UnknownName
from ganatomy.files import write_text
from ganatomy.types import Features, PerUnit, Where

FORMAT = 1
Shape = tuple[int, int, int]
"""Units, height and width of a layer."""


@dataclass(frozen=True, eq=False)
class Intervention:
    """What is done to one layer.

    >>> off = Intervention.ablate("layer4", (8, 4, 4), [2, 5])
    >>> door = Intervention.insert("layer4", (8, 4, 4), [1], torch.full((8,), 3.0), where=place((4, 4), 2, 0))
    >>> r = torch.randn(1, 8, 4, 4)
    >>> bool((off.then(door)(r) == door(off(r))).all())
    True

    Attributes:
        layer: its name.
        alpha: how far each unit is taken, in [0, 1].
        value: k, what each unit is taken to.
        where: how far each place is, in [0, 1]; one map for all pictures, or one for each of a batch.
        before: what is done to this layer first.
    """

    layer: str
    alpha: PerUnit
    value: PerUnit
    where: Where
    before: "Intervention | None" = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name, each in (("alpha", self.alpha), ("where", self.where)):
            if not bool(((each >= 0) & (each <= 1)).all()):  # NaN fails too
                raise BadValue(f"{name} of an edit of {self.layer} is not between 0 and 1 everywhere")
        if not bool(self.value.isfinite().all()):
            raise BadValue(f"the values of an edit of {self.layer} hold NaN or Inf")
        if len(self.alpha) != len(self.value):
            raise BadValue(f"an edit of {self.layer} has {len(self.alpha)} alphas and {len(self.value)} values")
        if self.before is not None and (self.before.layer != self.layer or self.before.shape != self.shape):
            raise BadValue(f"an edit of {self.before.layer} {self.before.shape} and one of {self.layer} {self.shape}"
                           " are not of one layer; hand both over, as a list")  # fmt: skip

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
                f"an edit of {self.layer} for {list(self.shape)} (units, height, width) does not fit {list(r.shape)}"
            )
        if self.before is not None:
            r = self.before(r)
        a = (self.alpha[:, None, None] * self.where[:, None]).to(r)
        return (1 - a) * r + a * self.value[:, None, None].to(r)

    def then(self, later: "Intervention") -> "Intervention":
        """Return the two as one: a = 1 - (1 - a₂)(1 - a₁), a·k = k₁ a₁ (1 - a₂) + k₂ a₂.

        Raises:
            BadValue: they are of different layers; edits of several layers are a list.
        """
        first = self if later.before is None else self.then(later.before)
        return dataclasses.replace(later, before=first)

    def strokes(self) -> list["Intervention"]:
        """Return the single interventions that it is made of, in order."""
        own = dataclasses.replace(self, before=None)
        return [own] if self.before is None else [*self.before.strokes(), own]

    @classmethod
    def ablate(
        cls, layer: str, shape: Shape, units: Sequence[int], where: Where | None = None, strength: float = 1.0
    ) -> "Intervention":
        """Return the ablation of some units: k = 0.

        Args:
            layer: its name.
            shape: units, height and width of the layer, as ``generator.layers[layer]``.
            units: which.
            where: how far each place is edited; None for everywhere.
            strength: alpha of these units; below 1 they are only weakened.

        Raises:
            UnknownName: a unit that the layer does not have.
        """
        return cls.insert(layer, shape, units, torch.zeros(shape[0]), where, strength)

    @classmethod
    def insert(
        cls,
        layer: str,
        shape: Shape,
        units: Sequence[int],
        value: PerUnit,
        where: Where | None = None,
        strength: float = 1.0,
    ) -> "Intervention":
        """Return the insertion of some units: they are set to their entries of `value`, one for each unit of the layer.

        Raises:
            UnknownName: a unit that the layer does not have.
        """
        check_units(layer, shape[0], units)
        alpha = torch.zeros(shape[0])
        alpha[list(units)] = strength
        return cls(layer, alpha, value, everywhere(shape[1:]) if where is None else where)


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
    """Return a rectangle of a grid, given its top left place; one place, or a square, unless told otherwise.

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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: not a file of edits ({error})") from error
    return edits_from_json(text, layers, fingerprint, str(path))


def edits_json(edits: Sequence[Intervention], fingerprint: str) -> str:
    """Return edits as the text of a JSON object, which `edits_from_json` reads back to the same bits."""
    content = {
        "format": FORMAT,
        "generator": fingerprint,
        "edits": [{"layer": e.layer, "strokes": [_stroke(s) for s in e.strokes()]} for e in edits],
    }
    return json.dumps(content) + "\n"


def edits_from_json(
    text: str, layers: Mapping[str, Shape], fingerprint: str, source: str = "edits"
) -> list[Intervention]:
    """Read edits from JSON; the generator's layers and fingerprint must be those that they were made for.

    Raises:
        BadFile: they are not, or this is no such JSON; names the source.
    """
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise BadFile(f"{source}: edits of format {content['format']}; this version reads format {FORMAT}")
        if content["generator"] != fingerprint:
            raise BadFile(
                f"{source}: made for another generator (fingerprint {str(content['generator'])[:12]}…, "
                f"this one is {fingerprint[:12]}…)"
            )
        return [_edit(each, layers) for each in content["edits"]]
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError, BadValue, UnknownName) as error:
        raise BadFile(f"{source}: not a file of edits ({error})") from error


def _stroke(stroke: Intervention) -> dict[str, Any]:
    """Return a single intervention as plain values: only the units that it touches."""
    units = stroke.alpha.nonzero()[:, 0]
    return {
        "units": units.tolist(),
        "alpha": stroke.alpha[units].tolist(),
        "value": stroke.value[units].tolist(),
        "where": stroke.where.tolist(),
    }


def _edit(record: Mapping[str, Any], layers: Mapping[str, Shape]) -> Intervention:
    name = str(record["layer"])
    if name not in layers:
        raise UnknownName("layer", name, layers)
    edit: Intervention | None = None
    for stroke in record["strokes"]:
        check_units(name, layers[name][0], stroke["units"])
        alpha, value = torch.zeros(2, layers[name][0])
        alpha[stroke["units"]] = torch.tensor(stroke["alpha"], dtype=torch.float32)
        value[stroke["units"]] = torch.tensor(stroke["value"], dtype=torch.float32)
        where = torch.tensor(stroke["where"], dtype=torch.float32)
        if where.ndim != 3 or tuple(where.shape[1:]) != tuple(layers[name][1:]):
            raise BadValue(f"where has shape {list(where.shape)}, the grid of {name} is {list(layers[name][1:])}")
        own = Intervention(name, alpha, value, where)
        edit = own if edit is None else edit.then(own)
    if edit is None:
        raise BadValue(f"an edit of {name} without strokes")
    return edit
