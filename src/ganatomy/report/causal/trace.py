"""What becomes of an insertion in later layers: heat by place, and a line over layers (Figure 17)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganatomy.core.layer_steps import spanned
from ganatomy.remote import write_text
from ganatomy.report.causal.section import Block, Section, colours_of, figures, target_of
from ganatomy.report.causal.tiles import WIDE, Box, Card, crop_tile, heat_tile, rows_of_tiles, scale_bar, sheet, tile
from ganatomy.report.charts import Line, LineChart, even_axis
from ganatomy.report.compare.counts import layer_axis
from ganatomy.report.formats import count, number, percent, sentence, with_error
from ganatomy.report.palette import NEUTRAL
from ganatomy.report.svg import Titled, as_file
from ganatomy.report.tables import Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.causal.trace import Trace


def trace_tables(trace: "Trace") -> list[Table]:
    """Return the change of every layer, where the edit was visible and where not."""
    columns = (
        Column("layer"),
        Column("visible", "edit", lambda visible: "visible" if visible else "not visible"),
        Column("change", form=with_error, error="error", help="in mean magnitudes of the channels"),
        Column("places"),
    )
    return [Table("trace", "Change of every layer", columns, trace.lines, brief=40)]


def trace_section(trace: "Trace") -> Section:
    """Return the section of a trace."""
    spec, where = trace.spec, ", ".join(spanned(trace.spec.layers()))
    return Section(
        key=f"trace-{spec.concept}",
        short=f"trace {spec.concept}",
        question=f"What becomes of a {spec.concept} inserted at {where} in the layers after it?",
        answer=_answer(trace),
        blocks=[_lines(trace), _maps(trace)],
    )


def trace_chart(trace: "Trace") -> LineChart:
    """Return the change of every layer, a line for edits that were visible and one for those that were not."""
    layers = list(trace.maps)
    colour = colours_of(trace.facts)[target_of(trace.facts, trace.spec.concept)]
    lines = []
    for visible, name, shade, dash in ((True, "visible", colour, ""), (False, "invisible", NEUTRAL, "5 4")):
        own = trace.lines[trace.lines["visible"] == visible].set_index("layer").loc[layers]
        lines.append(Line(name, range(len(layers)), own["change"].tolist(), own["error"].tolist(), shade, dash))
    y = even_axis("change, in mean magnitudes", [v for line in lines for v in line.reach()], number)
    return LineChart(lines, layer_axis(layers), y, "Change of every layer, visible and not")


def mapped_layers(trace: "Trace") -> Sequence[str]:
    """Return the layers whose maps are shown: the first after the edit, one in the middle, the last."""
    later = list(trace.maps)[1:] or list(trace.maps)
    return [later[i] for i in sorted({0, len(later) // 2, len(later) - 1})]


def trace_cards(trace: "Trace") -> list[Card]:
    """Return each shown image with its maps."""
    cards: list[Card] = []
    for i, image in enumerate(trace.ids):
        tiles = [(tile(trace.images[i], f"Image {image}"), f"image {image}")]
        for layer in mapped_layers(trace):
            title = f"Change of {layer} by place of insertion in image {image}"
            tiles.append((heat_tile(trace.images[i], trace.maps[layer][i], _greatest(trace, layer), title), layer))
        cards.append(tiles)
    return cards


def edited_cards(trace: "Trace") -> list[Card]:
    """Return each shown image before and after the insertion that gained most in it, and that place larger."""
    if trace.inserted is None:
        return []
    cards: list[Card] = []
    size = [n + trace.spec.cell - 1 for n in next(iter(trace.maps.values())).shape[1:]]
    for row, before, after in zip(rows(trace.best), trace.images, trace.inserted, strict=True):
        cell = trace.spec.cell
        box = Box(row.row / size[0], row.column / size[1], cell / size[0], cell / size[1])
        gain = f"{trace.spec.concept}: +{percent(row.gain, 2)} of the place" + ", not visible" * (not row.visible)
        title = f"Image {row.id} with {trace.spec.concept} inserted where it gains most"
        cards.append(
            [
                (tile(before, f"Image {row.id} before", [box]), f"image {row.id}"),
                (tile(after, title, [box]), "inserted"),
                (crop_tile(after, box, f"{title}, the place alone"), gain),
            ]
        )
    return cards


def save_trace(trace: "Trace", path: str | Path) -> None:
    """Write what becomes of an insertion in later layers, heat by place and a line, as an SVG file (Figure 17)."""
    heat: Titled = ("Change by place of insertion", sheet(trace_cards(trace), WIDE - 32))
    title = f"Trace of {trace.spec.concept} from {', '.join(spanned(trace.spec.layers()))}, {trace.spec.generator}"
    write_text(path, as_file(title, (), [heat, ("By layer", trace_chart(trace))], WIDE))


def _answer(trace: "Trace") -> str:
    spec, last = trace.spec, list(trace.maps)[-1]
    own = {row.visible: row for row in rows(trace.lines[trace.lines["layer"] == last])}
    seen, unseen = own[True], own[False]
    text = f"{seen.places:,} of {seen.places + unseen.places:,} insertions were visible"
    if not seen.places:
        text = (
            f"The insertion failed: none of the {unseen.places:,} insertions was visible, so what changes below is no "
            f"effect of a {spec.concept}"
        )
    elif unseen.places:
        text += f"; they changed {last} by {with_error(seen.change, seen.error)} of its mean magnitude, the others by "
        text += with_error(unseen.change, unseen.error)
    return f"{text}. Visible: {spec.concept} gained at least {percent(spec.visible)} of the place."


def _lines(trace: "Trace") -> Block:
    spec = trace.spec
    lead = (
        f"{sentence(spec.chosen)} Set to {spec.multiple:g} × their mean where {spec.concept} is, at one place of "
        f"{spec.cell} × {spec.cell} at a time. Each channel’s change is divided by its mean magnitude in unedited "
        "images. Bands are one standard error, the places of an image taken as one."
    )
    (table,) = trace_tables(trace)
    drawn = figures(("Layer by layer", trace_chart(trace)))
    if cards := edited_cards(trace):
        drawn = f'<div class="pair">{rows_of_tiles(cards)}{drawn}</div>'
        lead += " The images: each is shown after the insertion that gained most in it."
    return Block("Amplified or suppressed?", lead, drawn + table.folded())


def _maps(trace: "Trace") -> Block:
    lead = (
        f"{count(len(trace.ids), 'image')}: at each place, how much the layer changes after an insertion there. "
        "Brighter is more, each layer to its own scale."
    )
    scales = scale_bar("; ".join(f"{layer}: {number(_greatest(trace, layer))}" for layer in mapped_layers(trace)))
    return Block("Where the change propagates", lead, scales + rows_of_tiles(trace_cards(trace)))


def _greatest(trace: "Trace", layer: str) -> float:
    return float(np.nanmax(trace.maps[layer], initial=0.0))
