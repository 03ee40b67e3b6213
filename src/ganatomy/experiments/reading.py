"""From a tally to scores: the level, IoU and control of every unit and concept of a layer (SPEC 2).

**The control.** Sky covers much of a scene, so a unit that is always on at the top of the picture has a high IoU with
it. The control is the same tally with features and pictures mismatched, read at the same levels: it keeps where things
tend to be, how often, and how much of the map is on, and loses what is in this picture. A unit is *matched* if it is
interpretable by the paper's rule, its IoU with its label exceeds the label's share of all pixels, which a unit that is
always on reaches, and it exceeds its control by more than the control's sampling noise. The noise of a concept is how
much the control's IoU differs between the two halves of the sample; the unit must exceed the `noise` quantile (99 %) of
these differences over all units. So of units that do not know the picture, no more than about 1 % are matched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from ganatomy.experiments.dissect_spec import HALVES, DissectSpec
from ganatomy.experiments.tally import Tally
from ganatomy.stats.scores import Rates, accuracy, at_level, choose_levels, information_quality, iou, rates

R = TypeVar("R", bound="Reading")
UNITS_AT_ONCE = 64
"""Units read together: the scores of a unit take a few hundred bytes for each concept and level."""


@dataclass(frozen=True, eq=False)
class Reading:
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

    def state_dict(self) -> dict[str, Tensor]:
        """Return every table by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls: type[R], state: Mapping[str, Tensor]) -> R:
        """Build the reading from what `state_dict` returned."""
        return cls(**state)


def read(spec: DissectSpec, tally: Tally, layers: Iterable[str]) -> Reading:
    """Choose levels on one half and score on the other, for every unit of the layers."""
    parts = []
    for layer in layers:
        evaluation, validation = (tally.agreement(half, layer) for half in HALVES)
        for start in range(0, len(evaluation.levels), UNITS_AT_ONCE):
            units = slice(start, start + UNITS_AT_ONCE)
            scored, chosen_on = (half.counts[:, units] for half in (evaluation, validation))
            parts.append(_read(spec, evaluation.levels[units], scored, chosen_on))
    return Reading(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _read(spec: DissectSpec, levels: Tensor, scored: Tensor, chosen_on: Tensor) -> tuple[Tensor, ...]:
    level = _levels(spec, chosen_on[0], levels)
    iqr = information_quality(Rates(*(at_level(x, level)[..., None] for x in rates(chosen_on[0]))))[..., 0]
    result, control = (_scores(half, level) for half in scored)
    drift = _iou(control) - _iou(_scores(chosen_on[1], level))
    if spec.validation == "cross":
        other_level = _levels(spec, scored[0], levels)
        back, control_back = (_scores(half, other_level) for half in chosen_on)
        result, control = _pooled(result, back), _pooled(control, control_back)
    pixels = sum(result)
    on = (result.on_and_shown + result.on_only) / pixels
    return level, _iou(result), (accuracy(result) / pixels)[..., 0], on[..., 0], iqr, _iou(control), drift


def _levels(spec: DissectSpec, counts: Tensor, levels: Tensor) -> Tensor:
    if spec.quantile is None:
        return choose_levels(counts, levels, spec.threshold)
    place = int(abs(spec.tops() - spec.quantile).argmin())
    return torch.full(counts.shape[:2], place)


def _scores(counts: Tensor, level: Tensor) -> Rates:
    """Return the pixels of each kind at each pair's level, [u, c, 1]; a pair without a level is never on."""
    table = rates(counts)
    pixels = counts[:, :1].sum(-1, keepdim=True)
    both, on_only = (at_level(x, level)[..., None] * pixels for x in (table.on_and_shown, table.on_only))
    shown = (table.on_and_shown + table.shown_only)[..., :1] * pixels
    return Rates(both, on_only, shown - both, pixels - shown - on_only)


def _pooled(a: Rates, b: Rates) -> Rates:
    return Rates(*(x + y for x, y in zip(a, b, strict=True)))


def _iou(pixels: Rates) -> Tensor:
    return iou(pixels)[..., 0]
