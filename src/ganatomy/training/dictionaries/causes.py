"""What dictionaries do when they are edited: do labels say what features cause, how strongly, and what else changes?"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ganatomy.core.progress import Progress
from ganatomy.core.vocabulary import find_concept
from ganatomy.engines import Engine
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.dissection import Dissection
from ganatomy.models.generators.basis import BasisSubject
from ganatomy.stats.paired import SURE
from ganatomy.training.dictionaries.edits import (
    DictionaryEditSpec,
    EditedPixels,
    edit_spec,
    edited_pixels,
    set_size,
    trials,
)
from ganatomy.training.dictionaries.measure import Drawn, Measure, ratio
from ganatomy.training.dictionaries.rebuilt import image_weights
from ganatomy.training.dictionaries.spec import DictionarySpec

MOST = 6
"""Concepts that are edited where none are named."""
TITLES = (
    (
        "agreement",
        "label-cause agreement",
        "share of labelled features whose ablation lessens their concept more than that of random features does, "
        "by more than two standard errors",
    ),
    ("ablation", "ablation strength", "part of a concept that goes with its best features, less with random ones"),
    (
        "insertion",
        "insertion strength",
        "share of a square that newly shows a concept where its best features are inserted, less random ones",
    ),
    (
        "side_effects",
        "side effects",
        "of the pixels that an ablation of a concept's best features changes, the share that did not show it",
    ),
)
"""Names of the measures, how they are called, and what they are; in the order of `_read`."""


def chosen_concepts(spec: DictionarySpec, dissections: Mapping[str, Dissection]) -> list[int]:
    """Return the numbers of the concepts that are edited: those named, else those that the dictionaries know best.

    That is by how far the IoU of their best feature exceeds its chance level and its control, on average.

    Raises:
        UnknownName: the segmenter has no such concept.
        BadValue: one is too rare in the sample to be scored.
    """
    first = next(iter(dissections.values()))
    if spec.concepts:
        for name in spec.concepts:
            first.column(name)
        return [find_concept(first.vocabulary, name) for name in spec.concepts]
    above = []
    for own in dissections.values():
        floor = np.maximum(own.scores.reading.control.numpy(), own.scores.share)
        above.append(np.where(own.scores.rare, -1.0, np.nan_to_num(own.scores.iou, nan=-1.0) - floor).max(0))
    mean = np.mean(above, 0)
    mean[0] = -1.0  # nothing
    best = np.argsort(-mean, kind="stable")[:MOST]
    return [int(first.reading.concepts[c]) for c in best if mean[c] > 0]


def cause_measures(
    spec: DictionarySpec,
    sources: Mapping[str, DissectedModel],
    model: BasisSubject,
    concepts: Sequence[int],
    engine: Engine,
    progress: Progress | None,
) -> list[Measure]:
    """Return how often labels say what features cause, how much ablations and insertions do, and what else changes."""
    weights = image_weights(spec.edited, spec.draws, spec.seed)
    read: dict[str, list[Drawn]] = {}
    size = set_size(min(len(source.dissection.units) for source in sources.values()))
    for name, source in sources.items():
        chosen = edit_spec(source, model.at[0], concepts, spec.edited, spec.seed, size)
        chosen = dataclasses.replace(chosen, pool=spec.images)
        pixels = edited_pixels(source, chosen, _directory(source, model.layer), engine, progress)
        read[name] = _read(chosen, pixels, weights)
    return [
        Measure(
            name,
            title,
            text,
            {each: own[i] for each, own in read.items()},
            spec.edited - 1,
            share=True,
            low_is_good=name == "side_effects",
        )
        for i, (name, title, text) in enumerate(TITLES)
    ]


def _directory(source: DissectedModel, layer: str) -> Path:
    return source.sibling_path(layer, "edited")


def _read(spec: DictionaryEditSpec, pixels: EditedPixels, weights: Drawn) -> list[Drawn]:
    """Return agreement, ablation, insertion, side effects, [1 + draws] each."""
    done = trials(spec)
    ends = np.cumsum([0, *map(len, done.values())])
    part = {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(done)}
    before, after, area = (each.double().numpy() for each in (pixels.before, pixels.after, pixels.area))
    changed, own = pixels.changed.double().numpy(), pixels.own.double().numpy()
    change = after - before[:, :1]
    each = range(len(spec.concepts))
    agreement = _agreement(spec, change[:, part["labelled"]], change[:, part["alone"]].mean(1), weights)
    there = weights @ before[:, 0]
    ablated = change[:, part["sets"]][:, each, each] - change[:, part["random"]].mean(1)
    strength = -np.nanmean(ratio(weights @ ablated, there), 1)
    gained = after[:, part["inserted"]][:, each, each] - after[:, part["inserted at random"]][:, each, each]
    insertion = np.mean((weights @ gained) / (weights @ area[:, 1:]), 1)
    apart = changed[:, part["sets"]].sum(1)
    aside = ratio(weights @ (apart - own[:, part["sets"]][:, each, each].sum(1)), weights @ apart)
    return [agreement, strength, insertion, aside]


def _agreement(spec: DictionaryEditSpec, change: Drawn, random: Drawn, weights: Drawn) -> Drawn:
    """Return the share of labelled features that lessen their concept more than random ones; NaN where none are.

    They are few, so each draw takes some of them twice and some not at all, as it does with images.
    """
    if not spec.labelled:
        return np.full(len(weights), np.nan)
    numbers = {c: i for i, c in enumerate(spec.concepts)}
    place = [numbers[c] for _, c in spec.labelled]
    less = change[:, range(len(place)), place] - random[:, place]
    error = less.std(0, ddof=1) / np.sqrt(len(less))
    mean = weights @ less / weights.sum(1, keepdims=True)
    times = image_weights(len(place), len(weights) - 1, spec.seed) if len(place) > 1 else np.ones((len(weights), 1))
    share: Drawn = ((mean < -SURE * error) * times).sum(1) / times.sum(1)
    return share
