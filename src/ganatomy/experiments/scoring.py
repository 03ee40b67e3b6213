"""From counts to scores: the IoU and control of every unit and concept (SPEC 2).

**The control.** Sky covers much of a scene, so a unit that is always on at the top of the image has a high IoU with
it. The control is the same count with features and images mismatched, read at the same levels: it keeps where things
tend to be, how often, and how much of the map is on, and loses what is in this image.

**The null.** To know how far a pair must exceed its control, the whole rule is applied to the mismatched counts: levels
are chosen on the mismatched validation counts, IoU is read on the mismatched evaluation counts, and the control is the
mismatched validation counts at the same level. What such a pair reaches is due to chance, over all concepts tried.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ganatomy.experiments.base import Tensors
from ganatomy.experiments.choosing import ChosenLevels, levels_of, pixels_at, portions
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection_stats import Tally
from ganatomy.stats.agreement import Agreement
from ganatomy.stats.pairs import PairCounts
from ganatomy.stats.scores import Rates, accuracy, iou


@dataclass(frozen=True, eq=False)
class UnitScores(Tensors):
    """Scores of every unit (rows, through all layers in forward order) and scored concept (columns; column 0 is none).

    Attributes:
        concepts: int64 [c], the scored concepts, by their index in the vocabulary, ascending; 0 the first.
        level: int16, index into the unit's levels; -1 where none is a candidate.
        iou, accuracy, on: float64, on the evaluation half at that level (`on`: the share of pixels above it).
        iqr: float64, on the validation half at that level; 0 where the threshold rule would not choose that level.
        control: float64, IoU of the mismatched counts at that level.
        null: float32, the IoU of mismatched counts as a multiple of the one that a matched pair exceeds, see
            `required_iou`; 0 where the mismatched pair is not interpretable, infinite where it is more than half of the
            way from there to 1.
        pixels: int64 [2, 3, u, c], of the images and of mismatched images: how many are above the level and show the
            concept, are above it, show the concept. Column 0 is shown by all.
        images, shown: int64 [vocabulary], images and pixels of the evaluation half that show each concept.
    """

    concepts: Tensor
    level: Tensor
    iou: Tensor
    accuracy: Tensor
    on: Tensor
    iqr: Tensor
    control: Tensor
    null: Tensor
    pixels: Tensor
    images: Tensor
    shown: Tensor


class PixelCounts(NamedTuple):
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

    def of(self, rows: slice) -> "PixelCounts":
        """Return those of some of the units of a layer, given all of them."""
        own, control = (Rates(*(table[rows] for table in kind)) for kind in (self.own, self.control))
        return PixelCounts(self.layer, rows, self.level[rows], own, control)


def read(
    spec: DissectSpec, evaluation: Tally, fold: Tally | None, chosen: ChosenLevels, layers: Iterable[str]
) -> UnitScores:
    """Score units at the levels that the other half chose; `fold` is the other one of crossed halves, else None."""
    parts, done = [], 0
    for layer, run in _runs(evaluation, layers):
        table = evaluation.pairs("evaluation", layer, run)
        rows = slice(done, done + len(table.levels))
        pixels = _pixels(table)
        null, control = table.null.double(), chosen.null[:, rows].double()
        mismatched = pixels[1, 2]
        of_null = [
            _rates(null[0], null[1], mismatched),
            _rates(control[0], control[1], chosen.shown.expand_as(mismatched)),
        ]
        if fold is not None:
            folds = evaluation.agreement("evaluation", layer, run), fold.agreement("validation", layer, run)
            more, more_null = _other_fold(spec, *folds, chosen)
            pixels += more
            of_null = [
                Rates(*(x + y for x, y in zip(*pair, strict=True))) for pair in zip(of_null, more_null, strict=True)
            ]
        own, other = (_rates(*kind) for kind in pixels)
        scores = (iou(own), share_right(own), share_on(own), iou(other), null_ratio(spec, *of_null))
        parts.append((*(score[..., 0] for score in scores), pixels))
        done = rows.stop
    overlap, right, on, control_iou, ratio, pixels = (torch.cat(each, -2) for each in zip(*parts, strict=True))
    halves = [evaluation.presence("evaluation")]
    if fold is not None:
        halves.append(fold.presence("validation"))
    images, shown = (sum(getattr(half, name) for half in halves) for name in ("images", "pixels"))
    return UnitScores(
        chosen.concepts, chosen.level, overlap, right, on, chosen.iqr, control_iou, ratio, pixels, images, shown
    )


def _runs(evaluation: Tally, layers: Iterable[str]) -> Iterator[tuple[str, int]]:
    for layer in layers:
        yield from ((layer, run) for run in evaluation.runs("evaluation", layer))


def _pixels(table: PairCounts) -> Tensor:
    shown = table.shown.sum(1, dtype=torch.long)[:, None].expand(-1, *table.level.shape)
    return torch.stack([table.both.sum(1, dtype=torch.long), table.on.sum(1, dtype=torch.long), shown], 1)


def _rates(both: Tensor, on: Tensor, shown: Tensor) -> Rates:
    """Return the pixels of each kind [u, c, 1]; column 0 is shown by all."""
    both, on, shown = (x.double()[..., None] for x in (both, on, shown))
    return Rates(both, on - both, shown - both, shown[:, :1] - shown - on + both)


def _other_fold(
    spec: DissectSpec, first: Agreement, second: Agreement, chosen: ChosenLevels
) -> tuple[Tensor, tuple[Rates, Rates]]:
    """Return what the second fold adds, scored at the levels that the first chose.

    Returns:
        As `UnitScores.pixels`; and the pixels of mismatched pairs and of what they are controlled by.
    """
    parts = []
    for rows in portions(len(first.levels), len(chosen.concepts), first.levels.shape[1] + 1):
        scored, chosen_on = (_columns(t.counts_of(rows), t.concepts, chosen.concepts) for t in (first, second))
        back, null_back = (levels_of(spec, kind, first.levels[rows])[..., None] for kind in scored)
        more = [pixels_at(kind, back) for kind in chosen_on]
        null = [pixels_at(kind, null_back) for kind in (chosen_on[1], scored[1])]
        parts.append((torch.stack([_counts(each) for each in more]), *(torch.stack(each) for each in null)))
    pixels, scored, controls = (torch.cat(each, -2 if i == 0 else 1) for i, each in enumerate(zip(*parts, strict=True)))
    return pixels, (Rates(*scored), Rates(*controls))


def _counts(each: Rates) -> Tensor:
    """Return a kind of `UnitScores.pixels` from the pixels of each kind [u, c, 1]."""
    kinds = (each.on_and_shown, each.on_and_shown + each.on_only, each.on_and_shown + each.shown_only)
    return torch.stack(kinds)[..., 0].round().long()


def _columns(counts: Tensor, own: Tensor, concepts: Tensor) -> Tensor:
    """Return counts [2, u, own concepts, bins] of other concepts: 0 for those that do not occur."""
    places = torch.searchsorted(own, concepts).clamp(max=len(own) - 1)
    return torch.where((own[places] == concepts)[:, None], counts[:, :, places], 0)


def counted(reading: UnitScores, layers: Iterable[tuple[str, int]]) -> Iterator[PixelCounts]:
    """Yield what units are scored by, layer by layer, given the names of the layers and their units."""
    done = 0
    for layer, units in layers:
        rows = slice(done, done + units)
        own, control = (_rates(*kind) for kind in reading.pixels[:, :, rows])
        yield PixelCounts(layer, slice(0, units), reading.level[rows].long(), own, control)
        done += units


def null_ratio(spec: DissectSpec, scored: Rates, control: Rates) -> Tensor:
    """Return `UnitScores.null` of mismatched pairs, float32, given their pixels and those of their control."""
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


def share_right(pixels: Rates) -> Tensor:
    """Return the share of pixels where unit and concept agree."""
    return accuracy(pixels) / sum(pixels)


def share_on(pixels: Rates) -> Tensor:
    """Return the share of pixels where the unit is on."""
    return (pixels.on_and_shown + pixels.on_only) / sum(pixels)
