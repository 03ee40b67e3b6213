"""Photographs as a model draws them: reconstructions, where they differ, and which concepts are kept."""

from typing import TYPE_CHECKING

import numpy as np

from ganatomy.report.causal.section import Block, Section
from ganatomy.report.causal.tiles import Card, heat_tile, rows_of_tiles, scale_bar, tile
from ganatomy.report.charts import ChangeChart
from ganatomy.report.formats import count, number, percent, percent_with_error
from ganatomy.report.tables import Column, Table

if TYPE_CHECKING:
    from ganatomy.experiments.inversion.invert import Inversion

SHOWN = 24
"""Photographs of which images are shown."""
GREATEST = 0.2
"""Difference, as a share of the range from black to white, that is as bright as can be."""
WAYS = {
    "encoder": "The model's own encoder gives their latents.",
    "steps": "The noise was found by solving each step of the sampler backwards.",
    "optimisation": "Each begins with the nearest of the model's images, to which an offset at {layer} was added by "
    "optimisation.",
}


def inversion_tables(inversion: "Inversion") -> list[Table]:
    """Return the table of photographs, then that of concepts."""
    photographs = (
        Column("photograph"),
        Column("error", form=percent),
        Column("psnr", "PSNR, dB"),
        Column("kept", "labels kept", percent),
        Column("distance", "distance from the model's images"),
        Column("farther", "farther than", percent),
        Column("place"),
    )
    concepts = (
        Column("concept"),
        Column("category"),
        Column("photographs"),
        Column("share", form=percent),
        Column("kept", "labels kept", percent_with_error, "kept_error"),
    )
    return [
        Table("photographs", "How exactly each photograph is drawn", photographs, inversion.table),
        Table("concepts", "Pixels that keep their label, by concept", concepts, inversion.concepts),
    ]


def inversion_chart(inversion: "Inversion") -> ChangeChart:
    """Return the share of pixels that keep their label, by concept."""
    return inversion_tables(inversion)[1].chart()


def inversion_cards(inversion: "Inversion") -> list[Card]:
    """Return each photograph, its reconstruction, and where they differ."""
    found, cards = inversion.found, list[Card]()
    images = ((each + 1) * 127.5 for each in (found.photographs[:SHOWN], found.images[:SHOWN].clamp(-1, 1)))
    photographs, drawn = (each.round().byte().permute(0, 2, 3, 1).numpy() for each in images)
    for name, own, again in zip(inversion.table.photograph, photographs, drawn, strict=False):
        difference = np.abs(own.astype(float) - again).mean(-1) / 255
        cards.append(
            [
                (tile(own, f"{name}: the photograph"), name),
                (tile(again, f"{name}: as the model draws it"), "reconstruction"),
                (heat_tile(own, difference, GREATEST, f"{name}: where they differ"), "difference"),
            ]
        )
    return cards


def inversion_section(inversion: "Inversion") -> Section:
    """Return the section of an inversion."""
    table, (photographs, concepts) = inversion.table, inversion_tables(inversion)
    way = WAYS[inversion.facts["way"]].format(layer=inversion.facts["offset"])
    where = table.place.value_counts()
    places = ", ".join(f"{n} {place}" for place, n in where.items())
    lead = (
        "A distance is that of the photograph's features to those of the nearest of "
        f"{inversion.spec.images} images of the model, in units of the median distance between these. Inside: no "
        "farther than 95 % of them are from each other; far outside: half as far again as any of them."
    )
    kept = "Of the pixels that the segmenter gives a concept in the photographs, the share that it gives it again in "
    images = rows_of_tiles(inversion_cards(inversion)) + scale_bar(f"{percent(GREATEST)} of the range of values")
    return Section(
        key="invert",
        short="inversion",
        question=f"How exactly does {inversion.spec.generator} draw {count(len(table), 'photograph')}?",
        answer=f"Pixels are {percent(table.error.mean())} of the range from black to white off, and "
        f"{percent(table.kept.mean())} keep their label (PSNR {number(table.psnr.mean())} dB). Among the images of the "
        f"model: {places}.",
        blocks=[
            Block("The photographs", way, images),
            Block(photographs.caption, lead, photographs.html()),
            Block(concepts.caption, f"{kept}the reconstructions.", concepts.html()),
        ],
        methods=("segmenter",),
    )
