"""The average causal effect of sets of units on a concept (Eqn 4; SPEC 4): both terms, on images that chose none.

The insertion term E[s_c(x_i)_P] is measured as E[s_c(x_i)_P - s_c(x)_P] + E[s_c(x)]: the same expectation, as the place
P is uniform, but what stood at the place before drops out of the difference. Read alone at one place an image, the term
mostly measures that.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ganatomy.edit import Intervention
from ganatomy.experiments.causal.ace_spec import AceSpec
from ganatomy.experiments.causal.locations import SALT, maps
from ganatomy.experiments.causal.places import Rows, insert_at, read_at, switched_on
from ganatomy.experiments.causal.source import Source
from ganatomy.experiments.causal.trials import Untouched, batches, redrawn
from ganatomy.generators.latents import standard_normal
from ganatomy.stats.base import Accumulator, Merge, concat
from ganatomy.stats.paired import holds_zero
from ganatomy.stats.regions import concept_counts
from ganatomy.types import Labels, PerUnit

TERMS = ("ablation", "insertion", "ace")


class Shares(Accumulator):
    """The share of pixels that shows the concept, image by image.

    Attributes:
        before: float64 [images], of the whole image.
        ablated: float64 [images, sets], of the whole image, the set ablated everywhere.
        gained: float64 [images, sets], of a place, the set inserted there, less of the same place before: the mean over
            several places of the image, one at a time.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"before": concat, "ablated": concat, "gained": concat}

    def __init__(self, sets: int) -> None:
        self.before = torch.zeros(0, dtype=torch.float64)
        self.ablated, self.gained = torch.zeros(2, 0, sets, dtype=torch.float64)

    def update(self, *batch: Tensor) -> None:
        """Take in (before [b], ablated [b, sets], gained [b, sets])."""
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


def judge_sets(source: Source, spec: AceSpec, sets: Sets, ids: range) -> Shares:
    """Ablate each set everywhere, and insert it at several places of each image, drawn uniformly, one at a time."""
    shape = source.shape(spec.layer)
    ablate = partial(Intervention.ablate, spec.layer, shape)
    found = Shares(len(sets.units))
    for given in batches(source, spec, ids):
        places = uniform_places(given.ids, spec.seed, (shape.height, shape.width), spec.places)
        gained = [_gained(source, spec, sets, given, (units, places)) for units in sets.units]
        ablated = [_share(source, spec, sets, given, ablate(units)) for units in sets.units]
        found.update(_read(given.labels, sets.concept), torch.stack(ablated, 1), torch.stack(gained, 1))
    return found


def uniform_places(ids: range, seed: int, grid: tuple[int, int], count: int) -> Float[Tensor, "b places h w"]:
    """Return maps that are 1 at one place: `count` different places of each image, all being equally likely.

    Row i depends on (seed, ids[i]) only. A grid of fewer places gives all of them.
    """
    size = grid[0] * grid[1]
    keys = standard_normal(ids, seed + SALT, (size,), torch.device("cpu"))
    drawn = keys.argsort(descending=True, stable=True)[:, :count]
    return maps(drawn.flatten(), grid).view(*drawn.shape, *grid)


def effect_table(shares: Shares, names: Sequence[str]) -> pd.DataFrame:
    """Return the effect of each set and term, with standard errors over images: the places of one are one draw.

    Args:
        shares: as measured.
        names: of the sets; those named alike are given as their mean, and the standard deviation over them as `spread`.

    Returns:
        Columns by, term, value, error, normalised (by E[s_c(x)]; NaN where that is not clearly above zero),
        normalised_error (to first order), spread (of the normalised values).
    """
    rows = []
    for i, name in enumerate(names):
        inserted = shares.gained[:, i] + shares.before
        terms = (shares.ablated[:, i], inserted, inserted - shares.ablated[:, i])
        for term, each in zip(TERMS, terms, strict=True):
            rows.append({"by": name, "term": term, **_ratio(each, shares.before)})
    table = pd.DataFrame(rows)
    groups = table.groupby(["by", "term"], sort=False)
    means = groups[["value", "error", "normalised", "normalised_error"]].mean()
    return means.assign(spread=groups["normalised"].std()).reset_index()


def _ratio(each: Tensor, before: Tensor) -> dict[str, float]:
    """Return the mean of a term and its error, plain and in units of the mean of what was there before."""
    n, mean, base = len(each), each.mean(), before.mean()
    absent = holds_zero(float(base), float(before.std() / n**0.5))  # to divide by it could give anything
    ratio = mean / base if not absent else torch.tensor(torch.nan)
    errors = [value.std() / n**0.5 for value in (each, each - ratio * before)]
    numbers = {"value": mean, "error": errors[0], "normalised": ratio, "normalised_error": errors[1] / base}
    return {name: float(number) for name, number in numbers.items()}


def _gained(
    source: Source, spec: AceSpec, sets: Sets, given: Untouched, what: tuple[Sequence[int], Tensor]
) -> Float64[Tensor, " b"]:
    """Insert some units at each of the places; return the mean gain of the place, image by image."""
    units, places = what
    shape, segmenter = source.shape(spec.layer), source.models.segmenter
    alpha = switched_on(units, shape.units)[None]
    picture = torch.arange(len(places)).repeat_interleave(places.shape[1])
    gains = []
    for rows in Rows(picture, places.flatten(0, 1)).split(source.batch(spec.batch)):
        before = read_at(given.labels[rows.picture], sets.concept, rows.where)
        after = read_at(
            segmenter(insert_at(source, spec.layer, given, rows, alpha, sets.value)), sets.concept, rows.where
        )
        gains.append((after.at - before.at).double() / before.area)
    return torch.cat(gains).view(len(places), -1).mean(1)


def _share(source: Source, spec: AceSpec, sets: Sets, given: Untouched, edit: Intervention) -> Float64[Tensor, " b"]:
    return _read(source.models.segmenter(redrawn(source, spec, given, [edit])), sets.concept)


def _read(labels: Labels, concept: int) -> Float64[Tensor, " b"]:
    """Return the share of the pixels that shows the concept."""
    counts = concept_counts((labels == concept).any(1, keepdim=True).long(), 2).double()
    return counts[:, 1] / counts[:, 0]
