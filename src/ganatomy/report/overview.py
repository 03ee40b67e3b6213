"""What a report begins with, complete without scripts: cards of the clearest units, and of some without a label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from ganatomy.core.vocabulary import addresses
from ganatomy.report.binary_packing import Array, base64_text, jpeg, reduced
from ganatomy.report.folding import ALIKE, Fold
from ganatomy.report.images import outlined
from ganatomy.report.palette import concept_colours
from ganatomy.report.tables import rows

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.top_images import Strip

FIRST, CARDS = 12, 18
"""Cards of concepts of the first category, and cards in all, where other categories have any."""
UNLABELLED = 6
"""Cards of units without a label."""
IMAGES = 7
"""Images of a card: a large one and three columns of two small ones."""
CELL, GAP = 64, 2
"""Side of a small image on a card and the room between two, in CSS pixels."""
LAYERS_SHOWN = 24
"""Concepts in the table of layers, at most."""


@dataclass(frozen=True)
class ConceptName:
    """A concept as a page shows it: its name, its colour, and the link to its page."""

    name: str
    colour: str
    href: str


@dataclass(frozen=True)
class Card:
    """The card of a unit.

    Attributes:
        layer, unit, iou, chance, control, lift: as in ``Dissection.units``; NaN where there is no label.
        concept: what it shows the unit for; None of an unlabelled unit.
        folded: concepts that are folded into that one.
        status: matched or not, in words.
        source, width, height: its images as one, in CSS pixels.
    """

    layer: str
    unit: int
    iou: float
    chance: float
    control: float
    lift: float
    concept: ConceptName | None
    folded: Sequence[str]
    status: str
    source: str
    width: int
    height: int


def overview(dissection: "Dissection", found: Sequence[Fold]) -> dict[str, Any]:
    """Return what the first view shows: cards, units of each layer by concept, and how many units have no label."""
    names = _names(dissection)
    shown = _shown(dissection, found)
    bare = dissection.units[dissection.units["label"].isna()]
    some = bare.iloc[:: max(1, -(-len(bare) // UNLABELLED))]
    return {
        "clearest": [_pair_card(dissection, fold, names) for fold in shown],
        "folded": any(fold.others for fold in found),
        "alike": ALIKE,
        "unlabelled": len(bare),
        "unlabelled_cards": [_card(dissection, row, None, "no matched concept") for row in rows(some)],
        "layer_table": _layer_table(dissection, found[:LAYERS_SHOWN], names),
    }


def _names(dissection: "Dissection") -> list[ConceptName]:
    """Return the concepts as the page shows them, in the order of the vocabulary."""
    keys = addresses(dissection.vocabulary)
    colours = concept_colours(dissection.vocabulary)
    return [ConceptName(c.name, colours[c], f"#concept={quote(keys[c], safe=':')}") for c in dissection.vocabulary]


def _shown(dissection: "Dissection", found: Sequence[Fold]) -> list[Fold]:
    """Return the leading concepts that have a card: those of the first category, then the clearest of the others."""
    category = [dissection.vocabulary[fold.lead].category for fold in found]
    iou = dissection.pairs["iou"].to_numpy()
    first = [i for i, each in enumerate(category) if each == category[0]]
    others = sorted(set(range(len(found))).difference(first), key=lambda i: -iou[found[i].pair])
    return [found[i] for i in sorted([*first[:FIRST], *others, *first[FIRST:]][:CARDS])]


def _pair_card(dissection: "Dissection", fold: Fold, names: Sequence[ConceptName]) -> Card:
    row = dissection.pairs.iloc[fold.pair]
    card = _card(dissection, row, names[fold.lead], "matched")
    own, others = dissection.vocabulary[fold.lead], [dissection.vocabulary[other] for other in fold.others]
    return replace(card, folded=[f"{o.name} ({o.category})" if o.name == own.name else o.name for o in others])


def _card(dissection: "Dissection", row: Any, concept: ConceptName | None, status: str) -> Card:
    image = card_image(dissection.top(row.layer, int(row.unit)))
    source = f"data:image/jpeg;base64,{base64_text(jpeg(image))}"
    return Card(
        layer=row.layer,
        unit=int(row.unit),
        iou=float(row.iou),
        chance=float(row.chance),
        control=float(row.control),
        lift=float(row.lift),
        concept=concept,
        folded=(),
        status=status,
        source=source,
        width=image.shape[1],
        height=image.shape[0],
    )


def card_image(strip: "Strip") -> Array:
    """Return the images of a card as one, uint8 [h, w, 3]: the best one large, six small."""
    large, small = (_scaled(strip, side) for side in (2 * CELL, CELL))
    height, width = small.shape[1:3]
    sheet = np.full((2 * height + GAP, 5 * width + 4 * GAP, 3), 128, np.uint8)
    sheet[: 2 * height, : 2 * width] = large[0][: 2 * height, : 2 * width]
    for i, image in enumerate(small[1:IMAGES]):
        top, left = i // 3 * (height + GAP), (2 + i % 3) * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _scaled(strip: "Strip", side: int) -> Array:
    """Return the outlined images of a strip, about `side` pixels: a whole multiple, or a whole part, of their size."""
    images = reduced(strip.images[:IMAGES], side)
    small = replace(strip, images=images, masks=strip.masks[:IMAGES])
    return outlined(small, max(1, side // max(images.shape[1:3])))


def _layer_table(dissection: "Dissection", found: Sequence[Fold], names: Sequence[ConceptName]) -> list[dict[str, Any]]:
    """Return a row for each leading concept: how many units of each layer are matched to it."""
    matched = dissection.pairs[dissection.pairs["matched"]]
    counts = matched.groupby(["concept", "category", "layer"]).size()
    table = []
    for fold in found:
        key = dissection.vocabulary[fold.lead]
        own = [int(counts.get((*key, layer), 0)) for layer in dissection.layers]
        table.append({"concept": names[fold.lead], "counts": own, "most": max(own)})
    return table
