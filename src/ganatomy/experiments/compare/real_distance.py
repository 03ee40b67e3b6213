"""How far the images of each study are from real ones (Figure 7): measured now, or found next to the dissections."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ganatomy.core.errors import GanatomyError
from ganatomy.core.progress import Progress
from ganatomy.engines import Engine
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.experiments.compare.studies import StudyView, results_beside
from ganatomy.experiments.quality import IMAGES, Quality, plan_quality, run_quality
from ganatomy.experiments.real_comparison import RUN

MEAN = "swd-mean"
COLUMNS = ("study", "measure", "value", "error", "images", "bias", "reals", "real", "features")


def measured_quality(
    studies: Sequence[StudyView], options: Mapping[str, Any], device: str, how: tuple[Engine, Progress | None]
) -> tuple[pd.DataFrame, list[str]]:
    """Measure each study, or find that it was measured (`run_quality`).

    Returns:
        The table of `Comparison.quality`, and sentences on what cannot be compared.
    """
    own = {}
    for study in studies:
        try:
            source = open_source(study.dissection.study.directory, device, run=RUN)
            spec, directory = plan_quality(source, options)
            own[study.name] = run_quality(spec, source, directory, *how)
        except GanatomyError as error:
            error.add_note(f"this is of the study {study.name}")
            raise
    return quality_table(own), _sizes(studies)


def found_quality(studies: Sequence[StudyView]) -> tuple[pd.DataFrame, list[str]]:
    """Return what was measured next to the dissections, if it can be compared, and sentences on what was left out.

    Of distances from several kinds of real images, those that most studies have.
    """
    found: dict[tuple[str, ...], dict[str, Quality]] = {}
    for study in studies:
        for quality in results_beside(study, Quality, "quality-", IMAGES):
            found.setdefault(_kind(quality), {}).setdefault(study.name, quality)
    own = max(found.values(), key=len, default={})
    if len(own) < min(2, len(studies)):  # one point of many would compare nothing
        return pd.DataFrame(columns=COLUMNS), []
    missing = [study.name for study in studies if study.name not in own]
    sentences = [f"Not measured against the same real images as the others: {', '.join(missing)}."] if missing else []
    return quality_table(own), [*sentences, *_sizes([study for study in studies if study.name in own])]


def quality_table(own: Mapping[str, Quality]) -> pd.DataFrame:
    """Return the table of all studies, each with the mean of those levels of its textures that all have.

    Errors of the levels belong to the same images: that of their mean is at most the mean of them.
    """
    measures = [set(quality.table.measure) for quality in own.values()]
    levels = [name for name in set.intersection(*measures) if name.startswith("swd-")]
    tables = []
    for name, quality in own.items():
        table, spec = quality.table, quality.spec
        if levels:
            mean = table.loc[table.measure.isin(levels), ["value", "error", "images", "bias"]].mean()
            table = pd.concat([table, pd.DataFrame([{"measure": MEAN, **mean}])], ignore_index=True)
        columns: dict[str, Any] = {"study": name, "reals": spec.reals, "real": spec.real, "features": spec.features}
        tables.append(table.assign(**columns, images=table.images.astype(int)))
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


def _sizes(studies: Sequence[StudyView]) -> list[str]:
    heights = [str(study.dissection.top(next(iter(study.dissection.layers)), 0).images.shape[1]) for study in studies]
    if len(set(heights)) == 1:
        return []
    columns = ", ".join(f"{height} ({study.name})" for height, study in zip(heights, studies, strict=True))
    return [f"Heights of the images differ – {columns}: distances are comparable by features that resize them only."]


def _kind(quality: Quality) -> tuple[str, ...]:
    inputs, spec = quality.facts["inputs"], quality.spec
    return (inputs["real images"], inputs["feature network"], f"{spec.images} {spec.reals} {spec.textures}")
