"""What units are known by: their top images in the dissection, and what each is called there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganatomy.report.causal.tiles import region_tile

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection


def top_tiles(dissection: "Dissection", layer: str, unit: int, count: int, side: int) -> list[str]:
    """Return the first top images of a unit as SVG elements, the region where it is on outlined.

    Args:
        dissection: whose images they are.
        layer, unit: of which unit.
        count: at most so many.
        side: about how wide each is, in pixels.
    """
    strip = dissection.top(layer, unit)
    shown = zip(strip.ids.tolist(), strip.images, strip.masks, strict=True)
    title = f"Where unit {unit} of {layer} is on in image"
    titles = {i: ": ".join(filter(None, [f"{title} {i}", dissection.prompt_of(i)])) for i in strip.ids.tolist()}
    return [region_tile(image, mask, titles[i], side) for i, image, mask in list(shown)[:count]]


def called(row: Any) -> str:
    """Return what the dissection calls a unit, and how well that fits, given its row of ``Dissection.units``."""
    if not isinstance(row.label, str):
        return "no concept"
    return f"{row.label}, IoU {row.iou:.2f}" + ", not matched" * (not row.matched)


def row_of_images(tiles: Sequence[str]) -> str:
    """Return images side by side as HTML."""
    return f'<div class="images">{"".join(tiles)}</div>' if tiles else ""
