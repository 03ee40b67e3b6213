"""The average causal effect of sets of units on a concept (Eqn 4; SPEC 4): both terms, on pictures that chose none."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import pandas as pd
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from ganatomy.edit import Intervention
from ganatomy.experiments.causal.locations import SALT, maps
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.experiments.causal.trials import Untouched, batches, pixels_edited, redrawn
from ganatomy.generators.latents import standard_normal
from ganatomy.stats.base import Accumulator, Merge, join
from ganatomy.stats.regions import concept_counts
from ganatomy.types import Labels, PerUnit, Where

TERMS = ("ablation", "insertion", "ace")


class Shares(Accumulator):
    """The share of pixels that shows the concept, picture by picture.

    Attributes:
        before: float64 [images], of the whole picture.
        ablated: float64 [images, sets], of the whole picture, the set ablated everywhere.
        inserted: float64 [images, sets], of the place at which the set is inserted.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"before": join, "ablated": join, "inserted": join}

    def __init__(self, sets: int) -> None:
        self.before = torch.zeros(0, dtype=torch.float64)
        self.ablated, self.inserted = torch.zeros(2, 0, sets, dtype=torch.float64)

    def update(self, *batch: Tensor) -> None:
        """Take in (before [b], ablated [b, sets], inserted [b, sets])."""
        for name, own in zip(self.FIELDS, batch, strict=True):
            setattr(self, name, torch.cat([getattr(self, name), own.cpu()]))


class Sets(NamedTuple):
    """Sets of units, and what they are judged on.

    Attributes:
        units: of each set.
        concept: its index.
        value: k, to which they are set when inserted.
    """

    units: Sequence[Sequence[int]]
    concept: int
    value: PerUnit


def judge_sets(source: Source, spec: SampleSpec, sets: Sets, ids: range) -> Shares:
    """Ablate each set everywhere, and insert it at one place of each picture, drawn uniformly."""
    shape = source.shape(spec.layer)
    ablate, insert = partial(Intervention.ablate, spec.layer, shape), partial(Intervention.insert, spec.layer, shape)
    found = Shares(len(sets.units))
    for given in batches(source, spec, ids):
        where = uniform_places(given.ids, spec.seed, (shape.height, shape.width))
        ablated = [_share(source, spec, sets, given, ablate(units), at=False) for units in sets.units]
        inserted = [
            _share(source, spec, sets, given, insert(units, sets.value, where), at=True) for units in sets.units
        ]
        before = _read(given.labels, sets.concept, None)
        found.update(before, torch.stack(ablated, 1), torch.stack(inserted, 1))
    return found


def uniform_places(ids: range, seed: int, grid: tuple[int, int]) -> Where:
    """Return a map for each picture that is 1 at one place, all places being equally likely.

    Row i depends on (seed, ids[i]) only.
    """
    keys = standard_normal(ids, seed + SALT, (grid[0] * grid[1],), torch.device("cpu"))
    return maps(keys.argmax(1), grid)


def effect_table(shares: Shares, names: Sequence[str]) -> pd.DataFrame:
    """Return the effect of each set and term, with standard errors over pictures.

    Args:
        shares: as measured.
        names: of the sets; those named alike are given as their mean, and the standard deviation over them as `spread`.

    Returns:
        Columns by, term, value, error, normalised (by E[s_c(x)]; NaN where the concept never occurs), normalised_error
        (to first order), spread (of the normalised values).
    """
    rows = []
    for i, name in enumerate(names):
        terms = (shares.ablated[:, i], shares.inserted[:, i], shares.inserted[:, i] - shares.ablated[:, i])
        for term, each in zip(TERMS, terms, strict=True):
            rows.append({"by": name, "term": term, **_ratio(each, shares.before)})
    table = pd.DataFrame(rows)
    groups = table.groupby(["by", "term"], sort=False)
    means = groups[["value", "error", "normalised", "normalised_error"]].mean()
    return means.assign(spread=groups["normalised"].std()).reset_index()


def _ratio(each: Tensor, before: Tensor) -> dict[str, float]:
    """Return the mean of a term and its error, plain and in units of the mean of what was there before."""
    n, mean, base = len(each), each.mean(), before.mean()
    ratio = mean / base if base > 0 else torch.tensor(torch.nan)
    errors = [value.std() / n**0.5 for value in (each, each - ratio * before)]
    numbers = {"value": mean, "error": errors[0], "normalised": ratio, "normalised_error": errors[1] / base}
    return {name: float(number) for name, number in numbers.items()}


def _share(
    source: Source, spec: SampleSpec, sets: Sets, given: Untouched, edit: Intervention, *, at: bool
) -> Float64[Tensor, " b"]:
    labels = source.models.segmenter(redrawn(source, spec, given, [edit]))
    return _read(labels, sets.concept, pixels_edited([edit], labels) if at else None)


def _read(labels: Labels, concept: int, where: Bool[Tensor, "p H W"] | None) -> Float64[Tensor, " b"]:
    """Return the share of the pixels, or of those at the places, that shows the concept."""
    counts = concept_counts((labels == concept).any(1, keepdim=True).long(), 2, where).double()
    return counts[:, 1] / counts[:, 0]
