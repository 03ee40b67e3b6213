"""A dissection as one HTML file: it opens from disk, offline, and needs no other file."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from ganatomy.core.vocabulary import addresses
from ganatomy.remote import local_path, write_text
from ganatomy.report.atlas import Atlas, draw_atlas
from ganatomy.report.causal.section import figures
from ganatomy.report.causal.top_images import top_tiles
from ganatomy.report.charts import Bar, BarChart, Chart, Piece
from ganatomy.report.embed import embed, iou_scale
from ganatomy.report.emergence import emergence_html
from ganatomy.report.folding import ALIKE, folds
from ganatomy.report.formats import chance_text, count
from ganatomy.report.index import is_index
from ganatomy.report.overview import overview
from ganatomy.report.page import model_name, script_json, static, template
from ganatomy.report.palette import NEUTRAL, category_colours, concept_colours
from ganatomy.report.prompted import prompt_blocks
from ganatomy.report.summary import IMAGE_SIDE, IMAGES, Summary, summary_of
from ganatomy.report.tables import best_units, rows
from ganatomy.study import as_bad_file
from ganatomy.study.files import INDEX

if TYPE_CHECKING:
    from ganatomy.experiments.dissection import Dissection

SCRIPTS = (
    *("dom", "download", "packs", "data", "paint", "canvases", "card", "table", "gallery", "concept", "heat"),
    *("layer", "curve", "histogram", "zoom", "unit", "main"),
)
"""The page's modules; each imports only from those before it."""
BUDGET = 40_000_000
"""Bytes that a page may take: what a browser opens at once, and what can still be sent."""
NOTES = 1500
"""Bytes of the notes on images that are left out, at most."""
ELSEWHERE = ("layers", "vocabulary", "matched_rule", "draws", "directions", "sample", "prompts", "slots", "layer_facts")
"""Facts that a page shows in its own way."""
_LABEL_RULES = {
    "matched": "A unit’s label is the matched concept of greatest IoU; a unit without any is unlabelled.",
    "iou": "A unit’s label is the concept of greatest IoU of all, matched or not.",
    "iqr": "A unit’s label is the concept of greatest IQR on the validation images, matched or not.",
}


def write_report(dissection: "Dissection", path: str | Path, budget: int = BUDGET) -> None:
    """Write the report of a dissection, whole or not at all.

    Args:
        dissection: what to show.
        path: of the file.
        budget: most bytes that the page may take. All numbers come first, then as many images as there is room for;
            the page says what it leaves out.
    """
    own = dissection.study.directory / INDEX
    has_index = is_index(own) and local_path(path).resolve().parent == own.resolve().parent
    write_text(path, report_html(dissection, budget, INDEX if has_index else ""))


def report_html(dissection: "Dissection", budget: int = BUDGET, index: str = "") -> str:
    """Return the report of a dissection as the text of one HTML page, with a link to an index of further results."""
    with as_bad_file(dissection.study.directory):
        return _rendered(report_facts(dissection, budget) | {"index": index})


def report_facts(dissection: "Dissection", budget: int = BUDGET) -> dict[str, Any]:
    """Return what the template of the report shows, style and scripts apart.

    ``pieces`` are the texts that its scripts unpack, by name.
    """
    numbers, found = embed(dissection), folds(dissection)
    prompts = dissection.facts.get("prompts", [])
    page = numbers.facts | {"prompts": prompts, "folds": [(fold.lead, *fold.others) for fold in found], "alike": ALIKE}
    facts = _facts(dissection) | overview(dissection, found) | {"left_out": numbers.left_out, "index": ""}
    facts["summary"] = _summary(dissection, facts)
    bare = {"data": script_json(page), "pieces": numbers.pieces}
    atlas = draw_atlas(dissection, budget - len(_rendered(facts | bare).encode()) - NOTES)
    return facts | {
        "data": script_json(page | atlas.facts),
        "pieces": numbers.pieces | atlas.pieces,
        "left_out": numbers.left_out + _images_left_out(dissection, atlas),
    }


def concept_charts(dissection: "Dissection") -> list[Chart]:
    """Return one chart per category: how many units are matched to each concept, most first (Figure 5)."""
    colours, keys = concept_colours(dissection.vocabulary), addresses(dissection.vocabulary)
    table = dissection.concepts[dissection.concepts["units_matched"] > 0]
    table = table.sort_values(["units_matched", "units_labelled"], ascending=False, kind="stable")
    scale = float(table["units_matched"].max()) if len(table) else 1.0
    charts: list[Chart] = []
    for category in category_colours(dissection.vocabulary):
        own = rows(table[table["category"] == category])
        bars = [_concept_bar(r, keys[r.concept, category], colours[r.concept, category]) for r in own]
        if bars:
            chart = BarChart(bars, f"Units per {category} concept", scale)
            charts.append((f"{category}: {count(len(bars), 'concept')}", chart))
    return charts


def unit_chart(dissection: "Dissection") -> BarChart:
    """Return the matched units of every layer, by category."""
    colours = {c: v for c, v in category_colours(dissection.vocabulary).items() if c in dissection.by_layer.columns}
    bars = [_units_bar(row, colours) for row in rows(dissection.by_layer)]
    return BarChart(bars, "Matched units per layer, by category", legend=colours)


def layer_charts(dissection: "Dissection") -> list[Chart]:
    """Return charts with one row per layer: matched units by category, distinct concepts, mean IoU (Figure 6)."""
    layers = rows(dissection.by_layer)
    iou = {str(layer): own["iou"] for layer, own in dissection.units.groupby("layer")}
    concepts = [Bar(r.layer, (Piece(r.concepts, NEUTRAL, ""),), f"{r.concepts}", _layer_page(r.layer)) for r in layers]
    means = [_mean_bar(row, iou[row.layer]) for row in layers]
    quartiles = BarChart(means, "Mean IoU per layer, with the middle half of its units")
    return [
        ("Matched units, by category", unit_chart(dissection)),
        ("Distinct concepts among them", BarChart(concepts, "Distinct concepts per layer")),
        ("Mean IoU (line: the middle half of units)", quartiles),
    ]


def joined_scripts() -> str:
    """Return the page's modules as one: a page on disk may not import files, so imports and exports fall away."""
    sources = [f"// ---- {name}.js\n{static(f'{name}.js')}" for name in SCRIPTS]
    return re.sub(r"^import .*\n|^export (?=\w)", "", "\n".join(sources), flags=re.MULTILINE)


def _rendered(facts: dict[str, Any]) -> str:
    return template("report.html").render(**facts, style=static("report.css"), script=joined_scripts())


def _images_left_out(dissection: "Dissection", atlas: Atlas) -> list[str]:
    """Return one sentence for each thing that the page does not show of the images."""
    (height, width), units = atlas.whole, len(dissection.units)
    across, down = atlas.facts["sprites"]["width"], atlas.facts["sprites"]["height"]
    more = "ganatomy serve, and in Python dissection.show(layer, unit)"
    sentences = []
    if atlas.fit.units < units:
        sentences.append(
            f"Images are kept for {atlas.fit.units:,} of {units:,} units, the best of each layer by IoU; the others "
            f"have numbers only. {more} show those of every unit."
        )
    if atlas.fit.units and atlas.fit.each < atlas.top:
        sentences.append(f"Of each unit’s {atlas.top} top images {atlas.fit.each} are kept; {more} show all.")
    if (height, width) != (down, across):
        sentences.append(f"Images of {width}×{height} pixels are shown at {across}×{down}.")
    return sentences


def _summary(dissection: "Dissection", facts: Mapping[str, Any]) -> Summary:
    """Return the page in short: layers side by side where there are several, else the concepts of the only one."""
    title = f"What does each {facts['noun']} of {facts['model']} {facts['verb']}?"
    finding = " ".join(dissection.summary().splitlines()[len(facts["warnings"]) :])
    charts = facts["layer_charts" if len(dissection.layers) > 1 else "concept_charts"]
    best = rows(best_units(dissection.units, IMAGES))
    images = "".join(tile for row in best for tile in top_tiles(dissection, row.layer, int(row.unit), 1, IMAGE_SIDE))
    return summary_of(title, finding, facts["warnings"], [charts, images])


def _facts(dissection: "Dissection") -> dict[str, Any]:
    """Return what the template shows without scripts."""
    units, spec, concepts, facts = dissection.units, dissection.spec, dissection.concepts, dissection.facts
    noun, rate = "direction" if facts.get("directions") else "unit", facts.get("false_labels")
    matched = int(units["matched"].sum())
    by_chance = "" if rate is None else chance_text(rate, len(units))
    rule = f"IoU above {spec.interpretable_iou:g} and pixel accuracy above {spec.interpretable_accuracy:g}"
    numbers = [
        (f"{matched:,}", f"{noun}s match a concept", by_chance),
        (f"{int(units['interpretable'].sum()):,}", "pass the paper’s rule", rule),
        (f"{concepts['units_matched'].gt(0).sum():,}", "distinct concepts", f"among the matched {noun}s"),
        (f"{len(units):,}", f"{noun}s", f"in {count(len(dissection.layers), 'layer')}"),
        (f"{spec.images:,}", "images", "pooled, one ratio a pair"),
    ]
    rare = concepts[concepts["rare"] & (concepts["share"] > 0)].sort_values("share", ascending=False)
    return {
        "model": model_name(spec.generator),
        "noun": noun,
        "verb": "draw" if facts.get("draws", True) else "see",
        "warnings": dissection.warnings,
        "numbers": numbers,
        "concept_charts": figures(*concept_charts(dissection)),
        "layer_charts": figures(*layer_charts(dissection)),
        "emergence": emergence_html(dissection),
        "categories": category_colours(dissection.vocabulary),
        "rare": [(row.concept, f"{100 * row.share:.2g} %") for row in rows(rare)],
        "never": list(concepts[concepts["share"] == 0]["concept"]),
        "scored": int((~concepts["rare"]).sum()),
        "spec": {**dataclasses.asdict(spec), **dissection.study.run_json},
        "facts": {name: fact for name, fact in facts.items() if name not in ELSEWHERE},
        "layers": list(dissection.layers),
        "layer_sentences": [str(own["sentence"]) for own in facts.get("layer_facts", {}).values()],
        "scale": iou_scale(units["iou"]),
        "matched_rule": facts.get("matched_rule", "–"),
        "label_rule": _LABEL_RULES[spec.label],
        "prompt_blocks": prompt_blocks(dissection),
    }


def _concept_bar(row: Any, key: str, colour: str) -> Bar:
    others = row.units_matched - row.units_labelled
    pieces = (
        Piece(row.units_labelled, colour, f"{row.concept}: the label of {row.units_labelled} units"),
        Piece(others, colour, f"{row.concept}: {others} more are matched to it, and better to another", pale=True),
    )
    note = f"{row.units_labelled}" + (f" + {others}" if others else "")
    return Bar(row.concept, pieces, note, f"#concept={quote(key, safe=':')}")


def _units_bar(row: Any, colours: dict[str, str]) -> Bar:
    counts = {category: int(getattr(row, category)) for category in colours}
    pieces = [Piece(n, colours[c], f"{row.layer}: {n} units match a concept of kind {c}") for c, n in counts.items()]
    return Bar(row.layer, pieces, f"{row.matched} of {row.units}", _layer_page(row.layer), track=row.units)


def _mean_bar(row: Any, iou: "pd.Series[float]") -> Bar:
    if pd.isna(row.mean_iou):
        return Bar(row.layer, (), "–", _layer_page(row.layer))
    low, high = float(iou.quantile(0.25)), float(iou.quantile(0.75))
    pieces = (Piece(row.mean_iou, NEUTRAL, f"{row.layer}: half of its units lie between {low:.3f} and {high:.3f}"),)
    return Bar(row.layer, pieces, f"{row.mean_iou:.3f}", _layer_page(row.layer), spread=(low, high))


def _layer_page(layer: str) -> str:
    return f"#layer={quote(layer)}"
