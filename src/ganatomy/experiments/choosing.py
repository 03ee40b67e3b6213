"""What the validation half decides: the levels that pairs are scored at, and which concepts are scored (SPEC 2)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ganatomy.experiments.base import Tensors
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection_stats import Tally
from ganatomy.stats.pairs import GROUPED, PairLevels
from ganatomy.stats.scores import (
    Rates,
    at_level,
    candidates,
    choose_levels,
    information_quality,
    iou,
    rates,
)

READ_BYTES = 1 << 25
"""How large the counts are that are read at once; the scores made of them take a few times as much."""
KEPT_BYTES = 1 << 27
"""How much room the counts of all levels may take that are kept of both halves, for curves and errors."""
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class ChosenLevels(Tensors):
    """What the validation half decided, for every unit (rows, through all layers) and scored concept (columns).

    Attributes:
        concepts: int64 [c], the scored ones, by their index in the vocabulary, ascending; 0 the first.
        level, null_level: int16 [u, c], index into the unit's levels, chosen on the counts of images and of mismatched
            images; -1 where none is a candidate.
        iqr: float64 [u, c], at the level, on the validation half; 0 where the rule would not choose it for the pair.
        null: int64 [2, u, c], mismatched pixels above the null level: that show the concept, and all.
        kept: int16 [u, k], places in `concepts`: those that go best with the unit on the validation half, best first.
        curves: integer [u, 1 + k, l + 1], pixels by bin: all, and those that show each kept concept.
        pixels, images: int64 [vocabulary], pixels and images that show each concept of the vocabulary, scored or not.
        shown: int64 [c], pixels of mismatched images that show each scored concept.
    """

    concepts: Tensor
    level: Tensor
    null_level: Tensor
    iqr: Tensor
    null: Tensor
    kept: Tensor
    curves: Tensor
    pixels: Tensor
    images: Tensor
    shown: Tensor

    def pair_levels(self, levels: Mapping[str, Tensor]) -> dict[str, PairLevels]:
        """Return what is counted of the evaluation half by layer, given the levels of each."""
        found, done = {}, 0
        for layer, own in levels.items():
            rows = slice(done, done + len(own))
            found[layer] = PairLevels(own, self.concepts, self.level[rows], self.null_level[rows], self.kept[rows])
            done += len(own)
        return found


def choose(spec: DissectSpec, validation: Tally, layers: Iterable[str]) -> ChosenLevels:
    """Choose the level of every unit and every concept that is common enough to be scored.

    With crossed halves both decide what is common; then all that occur are looked at.
    """
    names = list(layers)
    presence, first = validation.presence("validation"), validation.agreement("validation", names[0])
    common = torch.ones(len(first.concepts), dtype=torch.bool)
    if spec.validation == "separate":
        common[1:] = presence.pixels[first.concepts[1:]].double() / presence.pixels[0].double() >= spec.rare
    concepts = first.concepts[common]
    units = sum(len(validation.top("validation", name).ids) for name in names)
    bins = first.levels.shape[1] + 1
    kept = max(GROUPED, KEPT_BYTES // (3 * first.kept.element_size() * units * bins) - 1)
    parts: list[dict[str, Tensor]] = []
    for name in names:
        for run in validation.runs("validation", name):
            table = validation.agreement("validation", name, run)
            for rows in portions(len(table.levels), len(table.concepts), bins):
                parts.append(_choose(spec, table.counts_of(rows)[:, :, common], table.levels[rows], kept))
    columns = {name: torch.cat([part[name] for part in parts], int(name == "null")) for name in parts[0]}
    return ChosenLevels(
        concepts, **columns, pixels=presence.pixels, images=presence.images, shown=first.shown[1, common]
    )


def portions(units: int, concepts: int, bins: int) -> Iterator[slice]:
    """Cut the units of a table of counts into runs that are read at once."""
    size = max(1, READ_BYTES // (8 * concepts * bins))
    yield from (slice(i, min(i + size, units)) for i in range(0, units, size))


def _choose(spec: DissectSpec, counts: Tensor, levels: Tensor, kept: int) -> dict[str, Tensor]:
    """Return rows of `ChosenLevels` by field, given counts [2, u, c, bins] and how many concepts are kept."""
    own, other = counts
    level, null_level, shares = levels_of(spec, own, levels), levels_of(spec, other, levels), rates(own)
    allowed = candidates(shares, levels, spec.threshold, spec.rare)
    quality = at_level(torch.where(allowed, information_quality(shares), 0), level)
    at_null = pixels_at(other, null_level[..., None])
    null = torch.stack([at_null.on_and_shown, at_null.on_and_shown + at_null.on_only])[..., 0]
    fit, control = (
        iou(Rates(*(at_level(x, level)[..., None] for x in table)))[..., 0] for table in (shares, rates(other))
    )
    chance = (shares.on_and_shown + shares.shown_only)[..., 0]
    best = best_first((fit, fit / torch.maximum(control, chance).clamp(min=TINY), quality))[:, :kept]
    rows = torch.cat([torch.zeros_like(best[:, :1]), best], 1)
    return {
        "level": level.to(torch.int16),
        "null_level": null_level.to(torch.int16),
        "iqr": quality,
        "null": null.round().long(),
        "kept": best.to(torch.int16),
        "curves": own.gather(1, rows[..., None].expand(-1, -1, own.shape[-1])),
    }


def best_first(scores: Iterable[Tensor]) -> Tensor:
    """Return the concepts of units [u, c] but 0, those first that are best by any score; ties go to the lower index."""
    place: Tensor | None = None
    for score in scores:
        own = score[:, 1:].argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        place = own if place is None else torch.minimum(place, own)
    assert place is not None
    return place.argsort(dim=1, stable=True) + 1


def levels_of(spec: DissectSpec, counts: Tensor, levels: Tensor) -> Tensor:
    """Return the level that the rule chooses for every pair, int64 [u, c]."""
    if spec.quantile is None:
        return choose_levels(counts, levels, spec.threshold, spec.rare)
    place = int(abs(spec.tops() - spec.quantile).argmin())
    return torch.full(counts.shape[:2], place)


def pixels_at(counts: Tensor, level: Tensor) -> Rates:
    """Return the pixels of each kind at levels [u, c, l] of each pair; without a level a unit is never on."""
    above = torch.nn.functional.pad(counts.double().flip(-1).cumsum(-1).flip(-1), (0, 1))
    at = torch.where(level >= 0, level + 1, counts.shape[-1])
    both, on = above.gather(-1, at), above[:, :1].expand_as(above).gather(-1, at)
    shown, pixels = above[..., :1], above[:, :1, :1]
    return Rates(both, on - both, shown - both, pixels - shown - on + both)
