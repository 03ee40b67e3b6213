"""What strokes did to an image, concept by concept, in numbers and in words; what was painted comes first."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ganatomy.core.cache import cache_directory
from ganatomy.core.tensor_types import Labels
from ganatomy.core.vocabulary import addresses
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.place_truth import LEAST, scene_labels, truth_category, typical_area
from ganatomy.report.palette import category_colours
from ganatomy.scenes.places import POSSIBLE, Bank, drawing_jobs, kept_bank, place_probabilities
from ganatomy.scenes.redraw import SIZE
from ganatomy.stats.regions import concept_counts
from ganatomy.web.raster import rasterized
from ganatomy.web.schemas import Change, CloneSource, Stroke

NO_CHANGE = 0.05
"""Percentage points below which nothing is said to have changed."""
MARK = 1 / 32
"""Radius of the place that is marked as the source of a clone, as a share of the image's width."""


class Painted(NamedTuple):
    """What strokes were meant to do to a concept.

    Attributes:
        concept: its index.
        drawn: the last stroke that draws or copies it; None if all of them remove it.
    """

    concept: int
    drawn: Stroke | None


class Before(NamedTuple):
    """The labels of images without strokes: of the one that is painted on, and of those that are copied from."""

    image: Labels
    of: Callable[[CloneSource], Labels]


def list_changes(source: DissectedModel, before: Before, after: Labels, strokes: Sequence[Stroke]) -> list[Change]:
    """Return the change of every concept that is seen before or after, or was painted, or copied by a clone.

    Args:
        source: the study.
        before, after: labels [1, plane, H, W].
        strokes: what was done.
    """
    vocabulary, painted = source.dissection.vocabulary, _painted(source, before, strokes)
    counts = [concept_counts(labels, source.concepts)[0].double() for labels in (before.image, after)]
    shares = [(own / own[0]).tolist() for own in counts]
    names, found = addresses(vocabulary), []
    for c, (concept, b, a) in enumerate(zip(vocabulary, *shares, strict=True)):
        if concept.category == "nothing" or (max(a, b) == 0 and c not in painted):
            continue
        points, sentence = 100 * (a - b), None
        if c in painted:
            sentence = _refusal(source, painted[c], names[concept], before.image, after)
        change = Change(
            concept=names[concept],
            category=concept.category,
            before=b,
            after=a,
            points=points,
            painted=c in painted,
            sentence=sentence or f"{names[concept]}: {_points(points)}",
        )
        found.append(change)
    return sorted(found, key=lambda row: (not row.painted, -abs(row.points)))


def place_jobs(source: DissectedModel, names: Iterable[str]) -> Iterator[Callable[[], object]]:
    """Yield what must be drawn before it can be said why one of these concepts did not appear, in short jobs."""
    known = {name: category for name in names if (category := truth_category(source, name, None))}
    for category in set(known.values()):
        if kept_bank(category, cache_directory()) is not None:
            yield from drawing_jobs(category, [source.named(source.concept(name)) for name in known])


def _points(points: float) -> str:
    return f"{points:+.1f} points of the image" if abs(points) >= NO_CHANGE else "no change"


def _painted(source: DissectedModel, before: Before, strokes: Sequence[Stroke]) -> dict[int, Painted]:
    found: dict[int, Painted] = {}
    concepts = {name: source.concept(name) for name in {stroke.concept for stroke in strokes} if name is not None}
    for stroke in strokes:
        c = None
        if stroke.concept is not None:
            c = concepts[stroke.concept]
        elif stroke.action == "clone" and stroke.source is not None:
            c = _copied(source, stroke, stroke.source, before.of(stroke.source))
        if c is not None:
            earlier = found.get(c)
            found[c] = Painted(c, stroke if stroke.action != "remove" else earlier and earlier.drawn)
    return found


def _copied(source: DissectedModel, stroke: Stroke, taken: CloneSource, labels: Labels) -> int | None:
    """Return the concept that a clone is meant to copy: the largest at the marked place, else in all that is taken.

    Objects are preferred to parts and materials; None where nothing is named.
    """
    shift = np.subtract(taken.at, stroke.points[0])
    path = [(float(x), float(y)) for x, y in np.add(stroke.points, shift)]
    size = (labels.shape[-2], labels.shape[-1])
    regions = [rasterized([taken.at], MARK, size), rasterized(path, stroke.radius, size)]
    counts = [concept_counts(labels, source.concepts, torch.from_numpy(r)[None].bool())[0] for r in regions]
    for category in category_colours(source.dissection.vocabulary):
        own = [c for c, concept in enumerate(source.dissection.vocabulary) if c and concept.category == category]
        for count in counts:
            best = max(own, key=lambda c: int(count[c]), default=0)
            if best and count[best] > 0:
                return best
    return None


def _refusal(source: DissectedModel, painted: Painted, name: str, before: Labels, after: Labels) -> str | None:
    """Say that the concept did not appear under its last stroke, and what the renderer would do there; None if it did.

    Where the stroke is of the whole image, or the concept was there, nothing is said.
    """
    stroke, c = painted.drawn, painted.concept
    if stroke is None or not stroke.points:
        return None
    height, width = before.shape[-2:]
    under = torch.from_numpy(rasterized(stroke.points, stroke.radius, (height, width))).bool()
    old, new = ((labels[0] == c).any(0).cpu()[under].double().mean() for labels in (before, after))
    category = truth_category(source, name, None)
    bank = None if category is None else kept_bank(category, cache_directory())
    least = LEAST
    if bank is not None:
        least = min(least, 0.5 * typical_area(bank, source.named(c)) / float(under.double().mean()))
    if float(old) > 0 or float(new) >= least:
        return None
    sentence = f"no {name} appeared"
    if bank is not None:
        return f"{sentence}: {_probability(source, bank, c, before, stroke)}"
    return sentence if stroke.action == "draw" else f"{sentence}; try a place like the one that it was taken from"


def _probability(source: DissectedModel, bank: Bank, c: int, labels: Labels, stroke: Stroke) -> str:
    scene = scene_labels(source.dissection.vocabulary, labels)
    p = float(place_probabilities(bank, source.named(c), scene, _box(stroke))[0, 0])
    refused = " (the model refuses it)" if p < POSSIBLE else ""
    return f"the renderer would put one here with probability {p:.2f}{refused}"


def _box(stroke: Stroke) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return the rectangle around a stroke as top, left, height and width in pixels of a scene."""
    x, y = np.array(stroke.points).T * SIZE
    reach = stroke.radius * SIZE
    low = np.clip(np.floor([y.min() - reach + 0.5, x.min() - reach + 0.5]), 0, SIZE - 1)
    high = np.clip(np.floor([y.max() + reach + 0.5, x.max() + reach + 0.5]), low + 1, SIZE)
    return np.concatenate([low, high - low]).astype(np.int64)[None]
