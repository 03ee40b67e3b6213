"""Images of the models that are compared: what each draws, and the best unit of each for the same concepts."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pandas as pd

from ganatomy.report.causal.section import Block
from ganatomy.report.causal.tiles import tile
from ganatomy.report.causal.top_images import row_of_images, top_tiles
from ganatomy.report.tables import rows

if TYPE_CHECKING:
    from ganatomy.core.vocabulary import Concept
    from ganatomy.experiments.compare.studies import StudyView

MOST = 6
"""Studies that have images; of more, the first ones."""
_CONCEPTS, _IMAGES, _TOP, _SIDE = 12, 8, 3, 64


@runtime_checkable
class DissectionsBeside(Protocol):
    """Dissections side by side, and the concepts that all of them know, nothing first."""

    @property
    def studies(self) -> "tuple[StudyView, ...]":
        """The dissections."""
        ...

    @property
    def shared(self) -> "tuple[Concept, ...]":
        """The concepts."""
        ...


def image_block(comparison: DissectionsBeside) -> Block | None:
    """Return a row of images of each study, then the best unit of each study for the concepts that fit best.

    None where no study holds its images any more.
    """
    studies = [study for study in comparison.studies if study.dissection.has_images][:MOST]
    if not studies:
        return None
    named = dict[str, list[str]]()  # the same images are shown once
    for study in studies:
        tiles = [tile(image, "An image", side=96) for image in study.dissection.images(_IMAGES)]
        named.setdefault(row_of_images(tiles), []).append(study.name)
    drawn = [f"<figure><figcaption>{escape(', '.join(own))}</figcaption>{row}</figure>" for row, own in named.items()]
    cards = [_card(concept, own, studies) for concept, own in _concepts(comparison, studies)]
    lead = (
        "The first images of each dissection that any unit is greatest in. Then, for each concept, the unit of each "
        f"that matches it best in any layer that is compared, with {_TOP} of its top images, bright where it is on."
    )
    return Block("What they draw", lead, f'{"".join(drawn)}<ul class="units">{"".join(cards)}</ul>')


def _concepts(comparison: DissectionsBeside, studies: "Sequence[StudyView]") -> list[tuple[str, dict[str, Any]]]:
    """Return concepts with the best matched unit of each study: by category, those first that most studies have."""
    kinds = {concept: i for i, concept in enumerate(dict.fromkeys(c.category for c in comparison.shared))}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for study in studies:
        for row in rows(_best(study)):
            found.setdefault((row.label, row.category), {})[study.name] = row
    shared = {tuple(concept) for concept in comparison.shared}
    order = sorted(
        (key for key in found if key in shared),
        key=lambda key: (-len(found[key]), kinds[key[1]], -sum(row.iou for row in found[key].values())),
    )
    return [(name, found[name, category]) for name, category in order[:_CONCEPTS]]


def _best(study: "StudyView") -> pd.DataFrame:
    """Return the matched unit of greatest IoU of each concept, in the layers that are compared."""
    units = study.dissection.units
    own = units[units["matched"] & units["layer"].isin(study.layers.values())]
    return own.sort_values("iou", ascending=False, kind="stable").drop_duplicates(["label", "category"])


def _card(concept: str, own: dict[str, Any], studies: "Sequence[StudyView]") -> str:
    parts = []
    for study in studies:
        row = own.get(study.name)
        text = "no unit matches it" if row is None else f"{row.layer} unit {row.unit}, IoU {row.iou:.2f}"
        tiles = [] if row is None else top_tiles(study.dissection, row.layer, int(row.unit), _TOP, _SIDE)
        caption = f'<span class="small">{escape(study.name)}: {escape(text)}</span>'
        parts.append(f"<div>{caption}{row_of_images(tiles)}</div>")
    return f'<li class="card tiles"><strong>{escape(concept)}</strong>{"".join(parts)}</li>'
