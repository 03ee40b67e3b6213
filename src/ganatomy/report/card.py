"""The card of one unit, for a notebook: the same as in the report."""

import base64
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from ganatomy.report.binary_packing import Array, png
from ganatomy.report.images import outlined, side_by_side
from ganatomy.report.palette import NEUTRAL, concept_colours

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection


@dataclass(frozen=True, eq=False)
class UnitCard:
    """A unit's top images with the region where it is on, its label, and its IoU with chance and control.

    A notebook draws it. `image` is the strip as uint8 [h, w, 3]; `text` is the rest in one line.

    Attributes:
        name: ``layer4/17``.
        image: the top images side by side.
        label, iou, chance, control: as in ``Dissection.units``; label "" and NaN where there is none.
        matched: whether it beats its control.
        colour: of the label, as ``#rrggbb``.
    """

    name: str
    image: Array
    label: str
    iou: float
    chance: float
    control: float
    matched: bool
    colour: str

    @property
    def text(self) -> str:
        """The card in one line."""
        if not self.label:
            return f"{self.name}: unlabelled"
        standing = "matched" if self.matched else "not matched"
        references = f"chance {self.chance:.3f}, control {self.control:.3f}"
        return f"{self.name}: {self.label}, IoU {self.iou:.3f} ({references}), {standing}"

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def _repr_png_(self) -> bytes:
        return png(self.image)

    def _repr_html_(self) -> str:
        source = base64.b64encode(png(self.image)).decode("ascii")
        return (
            '<div style="display:inline-block;max-width:100%;font:13px system-ui,sans-serif">'
            f'<img alt="Top images of {escape(self.name)}" src="data:image/png;base64,{source}" '
            f'style="image-rendering:pixelated;max-width:100%;margin:0">{self._bar()}<div>{escape(self.text)}</div></div>'
        )

    def _bar(self) -> str:
        """Return the IoU as a bar from 0 to 1, with chance (a line) and control (a dotted one) marked on it."""
        if not self.label:
            return ""
        marks = "".join(
            f'<b title="{name} {value:.3f}" style="position:absolute;top:-2px;bottom:-2px;left:{100 * value:.2f}%;'
            f'border-left:2px {line}"></b>'
            for name, value, line in (("chance", self.chance, "solid"), ("control", self.control, "dotted"))
        )
        bar = f'<div style="width:{100 * self.iou:.2f}%;height:100%;background:{self.colour}"></div>'
        return f'<div style="position:relative;height:8px;margin:6px 0;background:#8883">{bar}{marks}</div>'


def unit_card(dissection: "Dissection", layer: str, unit: int) -> UnitCard:
    """Return the card of a unit."""
    units = dissection.units
    row = units[(units["layer"] == layer) & (units["unit"] == unit)].iloc[0]
    strip = dissection.top(layer, unit)
    labelled = bool(pd.notna(row["label"]))
    return UnitCard(
        name=f"{layer}/{unit}",
        image=side_by_side(outlined(strip, whole_zoom(strip.images, 96))),
        label=str(row["label"]) if labelled else "",
        iou=float(row["iou"]),
        chance=float(row["chance"]),
        control=float(row["control"]),
        matched=bool(row["matched"]),
        colour=concept_colours(dissection.vocabulary)[row["label"], row["category"]] if labelled else NEUTRAL,
    )


def whole_zoom(images: Array, side: int) -> int:
    """Return the whole number by which images are enlarged to be about `side` pixels wide."""
    return max(1, round(side / int(images.shape[2])))
