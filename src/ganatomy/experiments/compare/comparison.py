"""Do models, layers, data, training change what units draw? Dissections side by side, each count with its error.

Nothing is run again: all is read from the tables of the dissections (Figures 5, 6, 7, 18, 19; SPEC 8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from ganatomy.core.errors import BadValue
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.core.vocabulary import Concept
from ganatomy.engines import Engine, local
from ganatomy.experiments.bootstrap import ALL, Resampled, resampled
from ganatomy.experiments.compare.changes import change_table, unit_table
from ganatomy.experiments.compare.counts import concept_table, count_study, count_table
from ganatomy.experiments.compare.directions import direction_table
from ganatomy.experiments.compare.real_distance import found_quality, measured_quality
from ganatomy.experiments.compare.spec import CompareSpec
from ganatomy.experiments.compare.steps import step_table
from ganatomy.experiments.compare.studies import (
    StudyView,
    default_names,
    differences,
    open_studies,
    same_sample,
    shared_concepts,
)
from ganatomy.experiments.result import Summarised
from ganatomy.report.charts import Drawing

QUALITY = ("real", "reals", "images", "features")
"""Fields of `QualitySpec` that a comparison takes."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Summarised):
    """Dissections side by side. A number and its standard error stand in columns ``name`` and ``name_error``.

    Errors are those of a sample of images, by resampling what was counted on blocks of it; NaN where a dissection
    kept no blocks.

    Attributes:
        spec: what was asked.
        studies: what is compared; of each its name, its `Dissection`, its layers that are compared.
        shared: the concepts that are compared.
        differences: sentences: how the studies differ, and what is therefore left out.
        counts: one row for each study, layer (every one, and ``all`` that are compared) and category (``all`` and
            each): study, layer, position (in forward order), compared (the name under which the layer is compared;
            missing if it is not), category, units (of the layer), interpretable, matched, concepts (distinct, matched),
            matched_iou (of matched units), with errors. An interpretable unit counts for the category of its label, or
            without one for that of its best interpretable pair (see `interpretable_with`).
        concepts: one row for each layer and concept that any study has there, and each study: study, layer, concept,
            category, interpretable (counted as above), matched (units of it), matched_error, share (of the pixels that
            it draws), rare (too rare to be scored).
        changes: one row for each study but one, and each layer and concept: study, against, layer, concept, category,
            before and after (matched units), difference, difference_error, share_before, share_after (of the pixels),
            change (``appeared``, ``vanished``, ``more``, ``fewer``, ``same``), holds (the share of the resamples in
            which that is so), sure (whether that is 95 % or more).
        units: the same unit of two studies, where they are followed: study, against, layer, unit, label, category, iou,
            matched, each with ``_before`` and ``_after``, kept (matched to one label in both).
        directions: one row for each layer and set of directions: generator, layer, study, directions (or ``units``),
            count, interpretable, matched, concepts, matched_at and concepts_at (what `at` of them have on average, as
            many as the smallest set has), by_chance (matched ones to be expected if none knew the image),
            false_discovery (by_chance / matched).
        quality: how far the images of each study are from real ones, where that was measured: study, measure, value,
            error, images, reals, real, features.
        steps: one row for each study of a model that samples in steps and each of its layers, compared or not: study,
            block, step, layer; units, matched and concepts, with errors, as in `counts`; and, where each unit of the
            layer was ablated (``ganatomy ablate --each``; else missing), scored (labelled units whose concept is
            drawn often enough), agreement (the share of these that shrink the concept of their label), effect (its mean
            relative change), both with errors, agreement_random and effect_random (the same of random labels).
    """

    TABLES: ClassVar = ("counts", "concepts", "changes", "units", "directions", "quality", "steps")

    spec: CompareSpec
    studies: tuple[StudyView, ...]
    shared: tuple[Concept, ...]
    differences: tuple[str, ...]
    counts: pd.DataFrame
    concepts: pd.DataFrame
    changes: pd.DataFrame
    units: pd.DataFrame
    directions: pd.DataFrame
    quality: pd.DataFrame
    steps: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """The table that answers the question, `counts`."""
        return self.counts

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table that has rows, by name."""
        return {name: table for name in self.TABLES if len(table := getattr(self, name))}

    @property
    def layer(self) -> str:
        """The layer that is shown first, which is the one with most concepts over all studies."""
        found = self.counts[(self.counts.category == ALL) & self.counts.compared.notna() & (self.counts.layer != ALL)]
        return str(found.groupby("compared", sort=False).concepts.sum().idxmax())

    def chart(self) -> Drawing:
        """Return the matched units of every concept, each study against one; of one study alone, its matched units."""
        from ganatomy.report.compare.concepts import against_chart
        from ganatomy.report.compare.counts import count_charts

        return against_chart(self) if len(self.studies) > 1 else count_charts(self, self.layer)[0][1]

    def _warnings(self) -> list[str]:
        return [f"{each.name}: {sentence}" for each in self.studies for sentence in each.dissection.warnings]

    def _summary(self) -> list[str]:
        sure = self.changes[self.changes.sure & (self.changes.change != "same")]
        certain = f"{len(sure)} of {len(self.changes)} changes are certain" if len(self.changes) else "one study"
        return [f"{', '.join(self.spec.names)}: {certain}.", *self.differences]

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.spec.names)}>"


def planned(directories: Sequence[Path], options: Mapping[str, Any]) -> tuple[CompareSpec, dict[str, Any] | None]:
    """Return the Spec, and what to measure of the images; a study without a name has that of its directory."""
    own = {name: value for name, value in options.items() if name not in QUALITY}
    quality = {name: options[name] for name in QUALITY if options.get(name) is not None}
    if quality and "real" not in quality:
        raise BadValue(f"{', '.join(quality)}: means nothing without real images to compare with; give real, too")
    places = [path.resolve() for path in directories]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise BadValue(f"{directories[i]} is given twice; give every study once")
    names = tuple(own.pop("names", None) or default_names(directories))
    if len(names) != len(directories):
        raise BadValue(f"{len(names)} names for {len(directories)} studies; give one for each")
    return CompareSpec(names, **own), quality or None


def run_compare(
    spec: CompareSpec,
    directories: Sequence[Path],
    quality: Mapping[str, Any] | None = None,
    device: str = "cpu",
    engine: Engine = local,
    progress: Progress | None = None,
) -> Comparison:
    """Set dissections side by side, in the order of the names of a Spec.

    Args:
        quality: fields of `QualitySpec`, at least ``real``: measure each study's images against real ones, or find
            that this was done. None: only what was measured before.
    """
    studies = open_studies(directories, spec)
    concepts = shared_concepts(studies)
    drawn = _resampled(studies, spec, progress or NullProgress())
    counts = [count_study(study, own, concepts) for study, own in zip(studies, drawn, strict=True)]
    counted = count_table(studies, counts, concepts)
    against = spec.names.index(spec.against) if spec.against else 0
    sentences = differences(studies, concepts, layer_given=bool(spec.layer))
    without = [study.name for study, own in zip(studies, drawn, strict=True) if own is None]
    if without:
        sentences.append(f"{', '.join(without)}: dissected before errors were kept; dissect again to have them.")
    if quality is None:
        qualities, unlike = found_quality(studies)
    else:
        qualities, unlike = measured_quality(studies, quality, device, (engine, progress))
    sentences += unlike
    return Comparison(
        spec,
        studies,
        concepts,
        tuple(sentences),
        counted,
        concept_table(studies, counts, concepts),
        change_table(studies, counts, concepts, against),
        unit_table(studies, against) if spec.follow else pd.DataFrame(),
        direction_table(studies, counts, concepts),
        qualities,
        step_table(studies, counted),
    )


def _resampled(studies: Sequence[StudyView], spec: CompareSpec, progress: Progress) -> list[Resampled | None]:
    """Return each study as counted on resampled images; None for one that kept no blocks.

    Studies of the same latents are resampled alike, so that what their images have in common cancels in differences.
    """
    drawn: list[Resampled | None] = []
    progress.begin("errors", len(studies))
    try:
        for study in studies:
            alike = next(i for i, other in enumerate(studies) if same_sample(other.dissection, study.dissection))
            drawn.append(resampled(study.dissection, spec.draws, spec.seed + alike))
            progress.advance(1)
    finally:
        progress.end()
    return drawn
