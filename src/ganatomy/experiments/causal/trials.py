"""The same images before and after edits, drawn batch by batch.

What comes before the edited layer is computed once an image; each trial draws only the rest and segments it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.progress import report_progress
from ganatomy.core.tensor_types import Features, Images, Labels, Latents
from ganatomy.experiments.causal.choice import random_sets
from ganatomy.experiments.causal.dissected_model import DissectedModel, JoinedRows, SampleSpec
from ganatomy.experiments.sampling import latents_of
from ganatomy.interventions import Intervention
from ganatomy.stats.base import concat
from ganatomy.stats.paired import PairedChange
from ganatomy.stats.regions import concept_counts, place_of_pixels

Edits = Sequence[Intervention]
GRADIENT = 4
"""An image with its gradient takes as long as about so many without."""


class GainTable(JoinedRows):
    """What each image gained by each setting.

    Attributes:
        gain: float32 [images, settings, …], change of the share of a place's pixels that shows the concept; NaN where
            the image has no such place.
    """

    FIELDS: ClassVar = {"gain": concat}

    def __init__(self, *shape: int) -> None:
        self.gain = torch.zeros(0, *shape)


class Baseline(NamedTuple):
    """A batch of images before any edit; `features` are those of the edited layer, `layers` has all that were read."""

    ids: Sequence[int]
    z: Latents
    images: Images
    features: Features
    labels: Labels
    layers: Mapping[str, Features]


def baselines(
    source: DissectedModel, spec: SampleSpec, ids: Sequence[int], layers: Sequence[str] = ()
) -> Iterator[Baseline]:
    """Draw images, read the Spec's layer, or some that it is one of, and segment, batch by batch."""
    generator, segmenter = source.models.generator, source.models.segmenter
    for part in source.parts(ids):
        z = latents_of(generator, part, spec.seed)
        seen = generator.observe(z, layers or [spec.layer])
        yield Baseline(part, z, seen.images, seen.features[spec.layer], segmenter(seen.images), seen.features)
        report_progress(len(part))


@torch.no_grad()
def render_edited(source: DissectedModel, spec: SampleSpec, given: Baseline, edits: Edits) -> Images:
    """Draw a batch again with edits; where all are of the Spec's layer, only what follows it is computed."""
    generator = source.models.generator
    if any(edit.layer != spec.layer for edit in edits):
        return generator.edited(given.z, edits)
    return generator.render(given.features, spec.layer, given.z, edits)


def count_changes(source: DissectedModel, spec: SampleSpec, trials: Sequence[Edits], ids: range) -> PairedChange:
    """Count the pixels of every concept before each trial and after it."""
    result: PairedChange | None = None
    for given in baselines(source, spec, ids):
        before = concept_counts(given.labels, source.concepts)
        drawn = (source.models.segmenter(render_edited(source, spec, given, edits)) for edits in trials)
        after = [concept_counts(labels, source.concepts) for labels in drawn]
        result = result or PairedChange(len(trials), source.concepts, given.labels.device)
        result.update(before.expand(len(trials), -1, -1), torch.stack(after))
    assert result is not None
    return result


def pixels_edited(edits: Edits, labels: Labels) -> Tensor:
    """Return the pixels, bool [p, H, W], whose place in the layer's grid is edited at all."""
    size = (labels.shape[-2], labels.shape[-1])
    read = torch.zeros(1, *size, dtype=torch.bool, device=labels.device)
    for stroke in (stroke for edit in edits for stroke in edit.strokes()):
        where = (stroke.where > 0).to(labels.device).flatten(1)
        read = read | where[:, place_of_pixels(size, stroke.shape[1:], labels.device)[0]]
    return read


def random_edits(edits: Edits, numbers: range, seed: int) -> list[list[Intervention]]:
    """Return the same edits of random units, once for each number: as many of each layer, other ones if there are any.

    What was done to a unit, how far, where and to what value, is done to the one that is drawn for it.
    """
    drawn: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for layer in {edit.layer for edit in edits}:
        own = [stroke for edit in edits if edit.layer == layer for stroke in edit.strokes()]
        touched = torch.stack([stroke.alpha for stroke in own]).amax(0).nonzero()[:, 0]
        sets = random_sets(own[0].shape[0], len(touched), numbers, seed, touched.tolist())
        drawn[layer] = [(touched, torch.tensor(units, dtype=torch.long)) for units in sets]
    return [[_moved(edit, *drawn[edit.layer][i]) for edit in edits] for i in range(len(numbers))]


def _moved(edit: Intervention, old: Tensor, new: Tensor) -> Intervention:
    strokes = []
    for stroke in edit.strokes():
        alpha, value = torch.zeros_like(stroke.alpha), torch.zeros_like(stroke.value)
        alpha[new], value[new] = stroke.alpha[old], stroke.value[old]
        strokes.append(dataclasses.replace(stroke, alpha=alpha, value=value))
    return dataclasses.replace(strokes[-1], before=tuple(strokes[:-1]))
