"""From a tally to scores: the level, IoU and control of every unit and concept of a layer (SPEC 2).

**The control.** Sky covers much of a scene, so a unit that is always on at the top of the image has a high IoU with
it. The control is the same tally with features and images mismatched, read at the same levels: it keeps where things
tend to be, how often, and how much of the map is on, and loses what is in this image.

**The null.** To know how far a pair must exceed its control, the whole rule is applied to the mismatched counts: levels
are chosen on the mismatched validation counts, IoU is read on the mismatched evaluation counts, and the control is the
mismatched validation counts at the same level. What such a pair reaches is due to chance, over all concepts tried.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ganatomy.experiments.dissect_spec import HALVES, DissectSpec
from ganatomy.experiments.tally import Tally
from ganatomy.stats.scores import (
    NO_LEVEL,
    Rates,
    accuracy,
    at_level,
    candidates,
    choose_levels,
    information_quality,
    iou,
    rates,
)

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
        iqr: float64, at that level, on the validation half; 0 where the rule would not choose that level for the pair.
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
        iqr: float64, on the validation half at that level; 0 where the threshold rule would not choose that level.
        control: float64, IoU of the mismatched tally at that level.
        null: float32, the IoU of mismatched counts as a multiple of the one that a matched pair exceeds, see
            `required_iou`; 0 where the mismatched pair is not interpretable, infinite where it is more than half of the
            way from there to 1.
    """

    level: Tensor
    iou: Tensor
    accuracy: Tensor
    on: Tensor
    iqr: Tensor
    control: Tensor
    null: Tensor


class Counted(NamedTuple):
    """What some units are scored by.

    Attributes:
        layer, rows: which, of which layer.
        level: int64 [u, c], that they are read at.
        own, control: pixels of each kind, float64 [u, c, 1], of the images and of mismatched images.
    """

    layer: str
    rows: slice
    level: Tensor
    own: Rates
    control: Rates


def choose(spec: DissectSpec, validation: Tally, layers: Iterable[str]) -> Chosen:
    """Choose the level of every unit and concept."""
    parts = []
    for layer in layers:
        table = validation.agreement("validation", layer)
        for start in range(0, len(table.levels), UNITS_AT_ONCE):
            units = slice(start, start + UNITS_AT_ONCE)
            counts, levels = table.counts[0, units], table.levels[units]
            level, shares = levels_of(spec, counts, levels), rates(counts)
            quality = torch.where(candidates(shares, levels, spec.threshold, spec.rare), information_quality(shares), 0)
            parts.append((level, at_level(quality, level)))
    return Chosen(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def read(spec: DissectSpec, tally: Tally, chosen: Chosen, layers: Iterable[str]) -> Reading:
    """Score at the levels that the other half chose, for every unit of the layers."""
    names, parts = list(layers), []
    for (_, _, _, own, control), null in zip(
        counted(spec, tally, chosen.level, names), null_ratios(spec, tally, names), strict=True
    ):
        scores = (iou(own), share_right(own), share_on(own), iou(control))
        parts.append((*(table[..., 0] for table in scores), null))
    overlap, right, on, control_iou, null = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return Reading(chosen.level, overlap, right, on, chosen.iqr, control_iou, null)


def counted(spec: DissectSpec, tally: Tally, level: Tensor, layers: Iterable[str]) -> Iterator[Counted]:
    """Yield what units are scored by, some at a time, in order."""
    done = 0
    for layer, rows, levels, scored, chosen_on in _tables(tally, layers):
        own = level[done : done + len(levels)]
        back = levels_of(spec, scored[0], levels) if spec.validation == "cross" else None
        pixels = (_both_folds(kind, other, own, back) for kind, other in zip(scored, chosen_on, strict=True))
        yield Counted(layer, rows, own, *pixels)
        done += len(own)


def null_ratios(spec: DissectSpec, tally: Tally, layers: Iterable[str]) -> Iterator[Tensor]:
    """Yield `Reading.null` of the units that `counted` yields."""
    for _, _, levels, (_, scored), (_, chosen_on) in _tables(tally, layers):
        own = levels_of(spec, chosen_on, levels)
        back = levels_of(spec, scored, levels) if spec.validation == "cross" else None
        null, control = _both_folds(scored, chosen_on, own, back), _both_folds(chosen_on, scored, own, back)
        yield null_ratio(spec, null, control)[..., 0]


def null_ratio(spec: DissectSpec, scored: Rates, control: Rates) -> Tensor:
    """Return `Reading.null` of mismatched pairs, float32, given their pixels and those that they are controlled by."""
    chance = (scored.on_and_shown + scored.shown_only) / sum(scored)
    above = (iou(scored) > spec.interpretable_iou) & (share_right(scored) > spec.interpretable_accuracy)
    required = required_iou(spec, iou(control), chance)
    ratio = torch.where(iou(scored) > (1 + required) / 2, torch.inf, iou(scored) / required)
    return torch.where(above, ratio, 0.0).float()


def required_iou(spec: DissectSpec, control: Tensor, chance: Tensor) -> Tensor:
    """Return the IoU that a matched pair exceeds: so many times its control and its chance level.

    At most a third of the way from either to 1 is asked for; else a concept on half of the pixels could have no unit.
    """
    times = ((spec.over_control, control), (spec.over_chance, chance))
    return torch.maximum(*(torch.minimum(factor * level, (1 + 2 * level) / 3) for factor, level in times))


def _tables(tally: Tally, layers: Iterable[str]) -> Iterator[tuple[str, slice, Tensor, Tensor, Tensor]]:
    """Yield layer, rows, levels [u, l], and the counts [2, u, c, bins] of evaluation and validation, in order."""
    for layer in layers:
        evaluation, validation = (tally.agreement(half, layer) for half in HALVES)
        for start in range(0, len(evaluation.levels), UNITS_AT_ONCE):
            rows = slice(start, start + UNITS_AT_ONCE)
            yield layer, rows, evaluation.levels[rows], evaluation.counts[:, rows], validation.counts[:, rows]


def _both_folds(scored: Tensor, chosen_on: Tensor, level: Tensor, back: Tensor | None) -> Rates:
    """Return pixels of `scored` at its levels; with crossed halves also those of `chosen_on` at the levels `back`."""
    result = pixels_at(scored, level[..., None])
    if back is None:
        return result
    return Rates(*(x + y for x, y in zip(result, pixels_at(chosen_on, back[..., None]), strict=True)))


def share_right(pixels: Rates) -> Tensor:
    """Return the share of pixels where unit and concept agree."""
    return accuracy(pixels) / sum(pixels)


def share_on(pixels: Rates) -> Tensor:
    """Return the share of pixels where the unit is on."""
    return (pixels.on_and_shown + pixels.on_only) / sum(pixels)


def levels_of(spec: DissectSpec, counts: Tensor, levels: Tensor) -> Tensor:
    """Return the level that the rule chooses for every pair, int64 [u, c]; counts of pictures, not of the control."""
    if spec.quantile is None:
        return choose_levels(counts, levels, spec.threshold, spec.rare)
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
