"""The same images before and after edits, drawn batch by batch.

What comes before the edited layer is computed once an image; each trial draws only the rest and segments it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.progress import report_progress
from ganatomy.core.tensor_types import Features, Images, Labels, Latents
from ganatomy.experiments.causal.source import JoinedRows, SampleSpec, Source
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

    ids: range
    z: Latents
    images: Images
    features: Features
    labels: Labels
    layers: Mapping[str, Features]


def baselines(source: Source, spec: SampleSpec, ids: range, layers: Sequence[str] = ()) -> Iterator[Baseline]:
    """Draw images, read the Spec's layer, or some that it is one of, and segment, batch by batch."""
    generator, segmenter = source.models.generator, source.models.segmenter
    for part in source.parts(ids, spec.batch):
        z = generator.latents(part, spec.seed)
        seen = generator.observe(z, layers or [spec.layer])
        yield Baseline(part, z, seen.images, seen.features[spec.layer], segmenter(seen.images), seen.features)
        report_progress(len(part))


@torch.no_grad()
def render_edited(source: Source, spec: SampleSpec, given: Baseline, edits: Edits) -> Images:
    """Draw a batch again with edits; where all are of the Spec's layer, only what follows it is computed."""
    generator = source.models.generator
    if any(edit.layer != spec.layer for edit in edits):
        return generator.edited(given.z, edits)
    r = given.features
    for edit in edits:
        r = edit(r)
    return generator.render(r, spec.layer, given.z)


def count_changes(source: Source, spec: SampleSpec, trials: Sequence[Edits], ids: range) -> PairedChange:
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
