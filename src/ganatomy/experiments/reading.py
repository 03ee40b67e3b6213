"""From a tally to scores: the level, IoU and control of every unit and concept of a layer (SPEC 2).

**The control.** Sky covers much of a scene, so a unit that is always on at the top of the picture has a high IoU with
it. The control is the same tally with features and pictures mismatched, read at the same levels: it keeps where things
tend to be, how often, and how much of the map is on, and loses what is in this picture. A unit is *matched* if it is
interpretable by the paper's rule, its IoU with its label exceeds the label's share of all pixels, which a unit that is
always on reaches, and it exceeds its control by more than the control's sampling noise. The noise of a concept is how
much the control's IoU differs between the two halves of the sample; the unit must exceed the `noise` quantile (99 %) of
these differences over all units. So of units that do not know the picture, no more than about 1 % are matched.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ganatomy.experiments.dissect_spec import HALVES, DissectSpec
from ganatomy.experiments.tally import Tally
from ganatomy.stats.scores import NO_LEVEL, Rates, accuracy, at_level, choose_levels, information_quality, iou, rates

R = TypeVar("R", bound="_Stored")
UNITS_AT_ONCE = 64
"""Units read together: the scores of a unit take a few hundred bytes for each concept and level."""


class _Stored:
    """Tables that a study keeps by name."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return every table by name."""
        return dict(vars(self))

    @classmethod
    def from_state(cls: type[R], state: Mapping[str, Tensor]) -> R:
        """Build it from what `state_dict` returned."""
        return cls(**state)


@dataclass(frozen=True, eq=False)
class Chosen(_Stored):
    """What the validation half chose, for every unit (rows) and concept (columns).

    Attributes:
        level: int64, index into the unit's levels; -1 where none is a candidate.
        iqr: float64, at that level, on the validation half.
    """

    level: Tensor
    iqr: Tensor

    def scored(self, spec: DissectSpec, validation: Tally, layers: Iterable[str]) -> Tensor:
        """Return the levels that scores are read at, int16 [u, c]; -1 for concepts too rare to be scored."""
        level = self.level.to(torch.int16)
        if spec.validation == "separate":  # with crossed halves both decide what is rare
            counts = validation.agreement("validation", next(iter(layers))).counts[0, 0].sum(-1).double()
            level[:, counts / counts[0] < spec.rare] = NO_LEVEL
        return level


@dataclass(frozen=True, eq=False)
class Reading(_Stored):
    """Scores of every unit (rows, through all layers in forward order) and concept (columns; column 0 means nothing).

    Attributes:
        level: int64, index into the unit's levels; -1 where none is a candidate.
        iou, accuracy, on: float64, on the evaluation half at that level (`on`: the share of pixels above it).
        iqr: float64, on the validation half at that level.
        control: float64, IoU of the mismatched tally at that level.
        drift: float64, how much greater the control's IoU is on the evaluation half than on the validation half.
    """

    level: Tensor
    iou: Tensor
    accuracy: Tensor
    on: Tensor
    iqr: Tensor
    control: Tensor
    drift: Tensor


class Counted(NamedTuple):
    """What some units are scored by.

    Attributes:
        layer, rows: which, of which layer.
        level: int64 [u, c], that they are read at.
        own, control: pixels of each kind, float64 [u, c, 1], of the pictures and of mismatched pictures.
        drift: float64 [u, c], see `Reading`.
    """

    layer: str
    rows: slice
    level: Tensor
    own: Rates
    control: Rates
    drift: Tensor


def choose(spec: DissectSpec, validation: Tally, layers: Iterable[str]) -> Chosen:
    """Choose the level of every unit and concept."""
    parts = []
    for layer in layers:
        table = validation.agreement("validation", layer)
        for start in range(0, len(table.levels), UNITS_AT_ONCE):
            units = slice(start, start + UNITS_AT_ONCE)
            counts = table.counts[0, units]
            level = levels_of(spec, counts, table.levels[units])
            quality = information_quality(Rates(*(at_level(x, level)[..., None] for x in rates(counts))))
            parts.append((level, quality[..., 0]))
    return Chosen(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def read(spec: DissectSpec, tally: Tally, chosen: Chosen, layers: Iterable[str]) -> Reading:
    """Score at the levels that the other half chose, for every unit of the layers."""
    parts = []
    for _, _, _, own, control, drift in counted(spec, tally, chosen.level, layers):
        scores = (iou(own), share_right(own), share_on(own))
        parts.append((*(table[..., 0] for table in scores), iou(control)[..., 0], drift))
    overlap, right, on, noise, drift = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return Reading(chosen.level, overlap, right, on, chosen.iqr, noise, drift)


def counted(spec: DissectSpec, tally: Tally, level: Tensor, layers: Iterable[str]) -> Iterator[Counted]:
    """Yield what units are scored by, some at a time, in order."""
    done = 0
    for layer in layers:
        evaluation, validation = (tally.agreement(half, layer) for half in HALVES)
        for start in range(0, len(evaluation.levels), UNITS_AT_ONCE):
            rows = slice(start, start + UNITS_AT_ONCE)
            scored, chosen_on = (half.counts[:, rows] for half in (evaluation, validation))
            own = level[done : done + scored.shape[1]]
            yield Counted(layer, rows, own, *_count(spec, evaluation.levels[rows], own, scored, chosen_on))
            done += len(own)


def _count(
    spec: DissectSpec, levels: Tensor, level: Tensor, scored: Tensor, chosen_on: Tensor
) -> tuple[Rates, Rates, Tensor]:
    result, control = (pixels_at(half, level[..., None]) for half in scored)
    drift = (iou(control) - iou(pixels_at(chosen_on[1], level[..., None])))[..., 0]
    if spec.validation == "cross":
        other_level = levels_of(spec, scored[0], levels)[..., None]
        back, control_back = (pixels_at(half, other_level) for half in chosen_on)
        result, control = _pooled(result, back), _pooled(control, control_back)
    return result, control, drift


def share_right(pixels: Rates) -> Tensor:
    """Return the share of pixels where unit and concept agree."""
    return accuracy(pixels) / sum(pixels)


def share_on(pixels: Rates) -> Tensor:
    """Return the share of pixels where the unit is on."""
    return (pixels.on_and_shown + pixels.on_only) / sum(pixels)


def levels_of(spec: DissectSpec, counts: Tensor, levels: Tensor) -> Tensor:
    """Return the level that the rule chooses for every pair, int64 [u, c]; counts of pictures, not of the control."""
    if spec.quantile is None:
        return choose_levels(counts, levels, spec.threshold)
    place = int(abs(spec.tops() - spec.quantile).argmin())
    return torch.full(counts.shape[:2], place)


def pixels_at(counts: Tensor, level: Tensor) -> Rates:
    """Return the pixels of each kind at levels [u, c, l] of each pair; without a level a unit is never on."""
    table = rates(counts)
    pixels = counts[:, :1].sum(-1, keepdim=True)
    both, on_only = (
        torch.where(level >= 0, x.gather(-1, level.clamp(min=0)), 0.0) * pixels
        for x in (table.on_and_shown, table.on_only)
    )
    shown = (table.on_and_shown + table.shown_only)[..., :1] * pixels
    return Rates(both, on_only, shown - both, pixels - shown - on_only)


def _pooled(a: Rates, b: Rates) -> Rates:
    return Rates(*(x + y for x, y in zip(a, b, strict=True)))
