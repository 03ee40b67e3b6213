"""Pictures beside real ones: quality, units that spoil it, repair."""

from pathlib import Path
from typing import Any

from ganatomy.door.settled import settled
from ganatomy.experiments.artifacts import Artifacts, check_threshold, plan_artifacts, run_artifacts
from ganatomy.experiments.described import ArtifactSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.quality import Quality, plan_quality, run_quality
from ganatomy.experiments.repair import Repair, plan_repair, run_repair


def artifacts(study: str | Path | Dissection, *, layer: str, real: str, **options: Any) -> Artifacts:
    """Find the units that spoil the pictures: those whose top pictures are farthest from real ones.

    >>> import ganatomy
    >>> ganatomy.artifacts("study", layer="layer4", real="scenes:church").table.head()  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        real: real pictures: a directory, or ``scenes:CATEGORY``.
        options: `annotations`, the database of people's flags to compare with; `threshold`, the distance from which on
            units are left out of the concepts' counts. Any other field of `ArtifactSpec`: images, top, reals,
            features, seed …; out, device, engine, progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        threshold = options.pop("threshold", None)
        if threshold is not None:
            check_threshold(threshold)
        spec, usual, flagged = plan_artifacts(source, layer, {"real": real, **options})
        result = run_artifacts(spec, source, out or usual, *how)
        result = result if flagged is None else result.against(flagged)
        return result if threshold is None else result.realistic(threshold)


def quality(study: str | Path | Dissection, *, real: str, **options: Any) -> Quality:
    """Measure how far a model's pictures are from real ones.

    >>> import ganatomy
    >>> ganatomy.quality("study", real="scenes:church").table  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        real: real pictures, as of `artifacts`.
        options: any other field of `QualitySpec`: images, reals, textures, features, seed …; out, device, engine,
            progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):
        spec, usual = plan_quality(source, {"real": real, **options})
        return run_quality(spec, source, out or usual, *how)


def repair(study: str | Path | Dissection, *, layer: str, real: str, **options: Any) -> Repair:
    """Switch units off, measure whether that brings the pictures nearer to real ones, and write the generator so.

    >>> import ganatomy
    >>> found = ganatomy.repair("study", layer="layer4", real="scenes:church", worst=20)  # doctest: +SKIP
    >>> ganatomy.open_generator(found.opens)  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        real: real pictures, as of `artifacts`.
        options: which units, one or several of: `worst`, so many of the ranking by `artifacts`, which is run if it was
            not (or of that in the directory `ranking`); `flagged=True`, with `annotations`, the database of people's
            flags; `units`. Any other field of `RepairSpec`: images, top, reals, random, textures, features, seed …;
            out, device, engine, progress, generator, segmenter as of `ablate`.

    Raises:
        GanatomyError: what was given cannot be used; the message says what to do.
    """
    with settled(study, options) as (source, out, how):

        def rank(asked: ArtifactSpec, where: Path) -> Artifacts:
            return run_artifacts(asked, source, where, *how)

        spec, usual = plan_repair(source, layer, {"real": real, **options}, rank)
        return run_repair(spec, source, out or usual, *how)
