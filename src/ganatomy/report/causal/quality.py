"""How far a model is from real images: every distance beside its error and that of a perfect model."""

import math
from typing import Any

from ganatomy.experiments.quality import Quality
from ganatomy.report.causal.section import Block, Section, plain, table, with_error
from ganatomy.report.tables import rows

NAMES = {"fid": "Fréchet distance", "means": "its term of means", "covariances": "its term of covariances"}


def quality_section(quality: Quality) -> Section:
    """Return the section of a model's distances from real images."""
    spec, found = quality.spec, rows(quality.table)
    fid: Any = found[0]
    told = [
        (
            measure_name(row.measure),
            with_error(row.value, row.error),
            f"{plain(row.low)} to {plain(row.high)}" if math.isfinite(row.low) else "–",
            plain(row.bias, 2),
            f"{row.images:,}",
        )
        for row in found
    ]
    lead = (
        f"Fréchet distances are of the {quality.facts['features']} features of {spec.features} of {spec.reals:,} real "
        "and as many generated images as the last column says; those by other features are other numbers. Textures "
        "are patches of 7 × 7 pixels at each height of a Laplacian pyramid, compared by their sliced Wasserstein "
        "distance, × 10³. Errors are over the generated images. A perfect model would not be at 0, either: its "
        "images are as few. The interval is for the distance of infinitely many generated images."
    )
    columns = ("measure", "distance", "95 % interval", "of a perfect model", "images")
    return Section(
        key="quality",
        short="quality",
        question=f"How far is {spec.generator} from {spec.real}?",
        answer=f"{spec.images:,} of its images are {with_error(fid.value, fid.error)} from {spec.reals:,} real ones "
        f"(Fréchet distance by {spec.features}); a perfect model would be at {plain(fid.bias, 2)}.",
        blocks=[Block("Distances from real images", lead, table(columns, told, "Distances from real images"))],
        spec=vars(spec),
        facts=quality.facts,
        ranks=True,
    )


def measure_name(measure: str) -> str:
    """Return a measure as a person reads it.

    >>> measure_name("swd-64"), measure_name("fid")
    ('textures at 64 pixels', 'Fréchet distance')
    """
    kind, _, height = measure.partition("-")
    return f"textures at {height} pixels" if kind == "swd" else NAMES[measure]
