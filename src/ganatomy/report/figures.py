"""Figures for a paper or a README: charts as SVG files, strips and a grid of units as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganatomy.core.files import atomic_write
from ganatomy.remote import local_path, upload, write_text
from ganatomy.report.binary_packing import Array, png
from ganatomy.report.card import whole_zoom
from ganatomy.report.causal.ace import save_ace_curve as save_ace_curve
from ganatomy.report.causal.context import save_context as save_context
from ganatomy.report.causal.effect import save_effect as save_effect
from ganatomy.report.causal.trace import save_trace as save_trace
from ganatomy.report.charts import Piece, Point, ScatterChart, even_axis
from ganatomy.report.html import concept_charts, layer_charts
from ganatomy.report.images import outlined, side_by_side
from ganatomy.report.palette import NEUTRAL, category_colours, concept_colours
from ganatomy.report.svg import as_file
from ganatomy.report.tables import best_units
from ganatomy.report.tables import rows as table_rows

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection

_TEXT, _QUIET, _PAPER = "#1d2127", "#5c6470", "#ffffff"
_MARGIN, _CAPTION = 28, 44
MATCHED = "#386ca0"
"""Of units that match a concept."""


def save_concepts(dissection: "Dissection", path: str | Path) -> None:
    """Write units per concept, by category, as an SVG file (Figure 5)."""
    title = f"Units of {dissection.spec.generator} per concept"
    legend = (Piece(1, NEUTRAL, "units with this label"), Piece(1, NEUTRAL, "others that match it", pale=True))
    write_text(path, as_file(title, legend, concept_charts(dissection)))


def save_layers(dissection: "Dissection", path: str | Path) -> None:
    """Write the layers side by side as an SVG file (Figure 6)."""
    legend = [Piece(1, colour, name) for name, colour in category_colours(dissection.vocabulary).items()]
    write_text(path, as_file(f"Layers of {dissection.spec.generator}", legend, layer_charts(dissection)))


def save_controls(dissection: "Dissection", path: str | Path, layers: Sequence[str] = ()) -> None:
    """Write the IoU of every unit over what its chance level and its control ask of it, as an SVG file.

    Of each unit the matched concept of greatest IoU; of one that matches none, the concept of greatest IoU, which is
    often no more than what a unit that is always on would reach.

    Args:
        dissection: whose units.
        path: of the file.
        layers: whose units; none for all.
    """
    spec, pairs = dissection.spec, dissection.pairs
    pairs = pairs[pairs.layer.isin(layers)] if layers else pairs
    bound = np.maximum(spec.over_chance * pairs.chance, spec.over_control * pairs.control)
    pairs = pairs.assign(bound=bound).sort_values(["matched", "iou"], ascending=False, kind="stable")
    best = pairs.drop_duplicates(["layer", "unit"])[::-1]
    points = [
        Point(r.bound, r.iou, MATCHED if r.matched else NEUTRAL, f"{r.layer}/{r.unit}: {r.concept}, IoU {r.iou:.2f}")
        for r in table_rows(best)
    ]
    name = f"the greater of {spec.over_chance:g} × chance and {spec.over_control:g} × control"
    x, y = (even_axis(text, best[column], "{:g}".format) for text, column in ((name, "bound"), ("IoU", "iou")))
    legend = (Piece(1, MATCHED, "matched"), Piece(1, NEUTRAL, "not matched: the concept of greatest IoU"))
    title = f"IoU and its controls: {len(points)} units of {spec.generator}"
    write_text(path, as_file(title, legend, [("", ScatterChart(points, x, y, title, diagonal=True))]))


def save_strip(dissection: "Dissection", layer: str, unit: int, path: str | Path) -> None:
    """Write the top images of a unit, outlined, as a PNG file (Figure 3)."""
    strip = dissection.top(layer, unit)
    _write_png(path, side_by_side(outlined(strip, whole_zoom(strip.images, 128))))


def hero(dissection: "Dissection", path: str | Path, rows: int = 6, images: int = 6) -> None:
    """Write an image that says it all: the best matched unit of each of 2 × `rows` concepts, with its top images."""
    colours = concept_colours(dissection.vocabulary)
    tiles = []
    for row in table_rows(best_units(dissection.units, 2 * rows)):
        strip = dissection.top(row.layer, row.unit)
        image = side_by_side(outlined(strip, whole_zoom(strip.images, 128))[:images])
        colour = colours[row.label, row.category]
        tiles.append(_captioned(image, str(row.label), f"{row.layer} · unit {row.unit} · IoU {row.iou:.2f}", colour))
    _write_png(path, _grid(tiles, columns=2))


def _captioned(image: Array, label: str, note: str, colour: str) -> Array:
    """Return an image with its label above it, a square of its colour before it, and a note at the right."""
    height, width, _ = image.shape
    canvas = Image.new("RGB", (width, height + _CAPTION), _PAPER)
    canvas.paste(Image.fromarray(image), (0, _CAPTION))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 12, 19, 31), fill=colour)
    draw.text((30, 22), label, _TEXT, ImageFont.load_default(28), anchor="lm")
    draw.text((width, 24), note, _QUIET, ImageFont.load_default(20), anchor="rm")
    return np.asarray(canvas)


def _grid(tiles: list[Array], columns: int) -> Array:
    if not tiles:
        return np.full((1, 1, 3), 255, np.uint8)
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    step_y, step_x = height + _MARGIN, width + 2 * _MARGIN
    grid = np.full((rows * step_y + _MARGIN, columns * step_x, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * step_y + _MARGIN // 2, i % columns * step_x + _MARGIN
        grid[y : y + height, x : x + width] = tile
    return grid


def _write_png(path: str | Path, image: Array) -> None:
    path = local_path(path)
    with atomic_write(path) as temporary:
        temporary.write_bytes(png(image))
    upload(path)
