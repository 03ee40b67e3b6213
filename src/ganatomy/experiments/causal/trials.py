"""The one loop of all interventions: the same images before and after each of several edits.

What comes before the edited layer is computed once an image; each trial draws only the rest and segments it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ganatomy.edit import Intervention
from ganatomy.experiments.causal.source import SampleSpec, Source
from ganatomy.progress import report_progress
from ganatomy.stats.paired import PairedChange
from ganatomy.stats.regions import concept_counts, place_of_pixels
from ganatomy.types import Features, Images, Labels, Latents

Trial = Callable[[range], Sequence[Intervention]]
"""The edits to make to the images of these ids; a random choice in it depends on (seed, id) only."""


class Untouched(NamedTuple):
    """A batch of images before any edit."""

    ids: range
    z: Latents
    images: Images
    features: Features
    labels: Labels


@dataclass(frozen=True)
class Always:
    """The trial that makes the same edits to every image."""

    edits: Sequence[Intervention]

    def __call__(self, _: range) -> Sequence[Intervention]:
        """Return the edits."""
        return self.edits


def batches(source: Source, spec: SampleSpec, ids: range) -> Iterator[Untouched]:
    """Draw images, read the layer, and segment, batch by batch."""
    generator, segmenter = source.models.generator, source.models.segmenter
    for part in source.parts(ids, spec.batch):
        z = generator.latents(part, spec.seed)
        seen = generator.observe(z, [spec.layer])
        yield Untouched(part, z, seen.images, seen.features[spec.layer], segmenter(seen.images))
        report_progress(len(part))


@torch.no_grad()
def redrawn(source: Source, spec: SampleSpec, given: Untouched, edits: Sequence[Intervention]) -> Images:
    """Draw a batch again with edits; where all are of the Spec's layer, only what follows it is computed."""
    generator = source.models.generator
    if any(edit.layer != spec.layer for edit in edits):
        return generator.edited(given.z, edits)
    r = given.features
    for edit in edits:
        r = edit(r)
    return generator.render(r, spec.layer, given.z)


def try_edits(source: Source, spec: SampleSpec, trials: Sequence[Trial], ids: range, *, at_place: bool) -> PairedChange:
    """Count what each trial does to every concept.

    Args:
        source: the models.
        spec: the layer and the sample.
        trials: what to try.
        ids: the images.
        at_place: read only the pixels under the places that are edited, the same number in every image (SPEC 4);
            else the whole images.
    """
    result: PairedChange | None = None
    for given in batches(source, spec, ids):
        before, after = [], []
        everything = concept_counts(given.labels, source.concepts)
        for trial in trials:
            edits = trial(given.ids)
            labels = source.models.segmenter(redrawn(source, spec, given, edits))
            read = pixels_edited(edits, labels) if at_place else None
            before.append(everything if read is None else concept_counts(given.labels, source.concepts, read))
            after.append(concept_counts(labels, source.concepts, read))
        result = result or PairedChange(len(trials), source.concepts, given.labels.device)
        result.update(torch.stack(before), torch.stack(after))
    assert result is not None
    return result


def pixels_edited(edits: Sequence[Intervention], labels: Labels) -> Tensor:
    """Return the pixels, bool [p, H, W], whose place in the layer's grid is edited at all."""
    size = (labels.shape[-2], labels.shape[-1])
    read = torch.zeros(1, *size, dtype=torch.bool, device=labels.device)
    for stroke in (stroke for edit in edits for stroke in edit.strokes()):
        grid = (stroke.shape[1], stroke.shape[2])
        where = (stroke.where > 0).to(labels.device).flatten(1)
        read = read | where[:, place_of_pixels(size, grid, labels.device)[0]]
    return read
