"""How far a model is from real images: every distance with its error and that of a perfect model."""

from typing import TYPE_CHECKING, Any

from ganatomy.report.causal.section import Block, Section
from ganatomy.report.causal.tiles import tile
from ganatomy.report.causal.top_images import row_of_images
from ganatomy.report.formats import number, with_error
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.quality import Quality

NAMES = {"fid": "Fréchet distance", "means": "its term of means", "covariances": "its term of covariances"}


def quality_tables(quality: "Quality") -> list[Table]:
    """Return every distance."""
    columns = (
        Column("measure", form=measure_name),
        Column("value", "distance", with_error, "error"),
        Column("low", "95 %: from", help="of the distance of infinitely many generated images"),
        Column("high", "to"),
        Column("bias", "of a perfect model", help="finite-sample bias: what as few images of a perfect model have"),
        Column("images"),
    )
    return [Table("quality", "Distances from real images", columns, quality.table, 40, control="bias")]


def quality_section(quality: "Quality") -> Section:
    """Return the section of a model's distances from real images."""
    spec = quality.spec
    fid: Any = rows(quality.table)[0]
    (table,) = quality_tables(quality)
    lead = (
        f"Fréchet distances are of the {quality.facts['features']} features of {spec.features} of {spec.reals:,} real "
        "and as many generated images as the last column says; those by other features are other numbers. Textures "
        "are patches of 7 × 7 pixels at each height of a Laplacian pyramid, compared by their sliced Wasserstein "
        "distance, × 10³. Errors are over the generated images. A perfect model would not be at 0, either: its "
        "images are as few. The interval is for the distance of infinitely many generated images."
    )
    return Section(
        key="quality",
        short="quality",
        question=f"How far is {spec.generator} from {spec.real}?",
        answer=f"{spec.images:,} of its images are {with_error(fid.value, fid.error)} from {spec.reals:,} real ones "
        f"(Fréchet distance by {spec.features}); a perfect model would be at {number(fid.bias, 2)}.",
        blocks=[*_images(quality), Block(table.caption, lead, table.html())],
        methods=("distance",),
    )


def _images(quality: "Quality") -> list[Block]:
    shown, spec = quality.shown, quality.spec
    if shown is None:
        return []
    ids = shown.farthest.tolist(), range(spec.first, spec.first + len(shown.farthest)), range(len(shown.farthest))
    names = [[f"image {i}" for i in own] for own in ids[:2]] + [[f"real image {i + 1}" for i in ids[2]]]
    rows_ = [
        row_of_images([tile(image, name) for image, name in zip(images.numpy(), own, strict=True)])
        for images, own in zip(shown.images, names, strict=True)
    ]
    leads = (
        f"Of {spec.images:,} images, those whose features are farthest from the mean of real ones, in standard "
        "deviations of real ones; the farthest first.",
        "The first images, as they come.",
        f"The first of {spec.real}.",
    )
    titles = ("Farthest from real images", "Generated images", "Real images")
    return [Block(*own) for own in zip(titles, leads, rows_, strict=True)]


def measure_name(measure: str) -> str:
    """Return a measure in words.

    >>> measure_name("swd-64"), measure_name("fid")
    ('textures at 64 pixels', 'Fréchet distance')
    """
    kind, _, height = measure.partition("-")
    return f"textures at {height} pixels" if kind == "swd" else NAMES[measure]
