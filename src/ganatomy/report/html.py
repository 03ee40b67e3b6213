"""A dissection as one HTML file: it opens from disk, offline, with nothing else beside it."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.warnings import warnings_of
from ganatomy.remote import write_text
from ganatomy.report.atlas import Atlas, draw_atlas
from ganatomy.report.charts import concept_charts, layer_charts
from ganatomy.report.embed import embed
from ganatomy.report.page import model_name, static, template
from ganatomy.report.palette import category_colours
from ganatomy.report.tables import rows
from ganatomy.study import as_bad_file

SCRIPTS = ("dom", "packs", "data", "paint", "card", "table", "gallery", "concept", "curve", "unit", "main")
"""The page's modules; each imports only from those before it."""
BUDGET = 40_000_000
"""Bytes that a page may take: what a browser opens at once, and what can still be sent."""
SAYING = 1500
"""Bytes of what is said of the images, at most."""
_SAID = ("layers", "vocabulary", "matched_rule", "draws", "directions", "sample")
_LABEL_RULES = {
    "matched": "A unit’s label is the matched concept of greatest IoU; a unit without any is unlabelled.",
    "iou": "A unit’s label is the concept of greatest IoU of all, matched or not.",
    "iqr": "A unit’s label is the concept of greatest IQR on the validation images, matched or not.",
}
"""Facts that the page shows in its own way."""


def write_report(dissection: Dissection, path: str | Path, budget: int = BUDGET) -> None:
    """Write the report of a dissection, whole or not at all.

    Args:
        dissection: what to show.
        path: of the file.
        budget: most bytes that the page may take. All numbers come first, then as many images as there is room for;
            the page says what it leaves out.
    """
    write_text(path, report_html(dissection, budget))


def report_html(dissection: Dissection, budget: int = BUDGET) -> str:
    """Return the report of a dissection as the text of one HTML page."""
    with as_bad_file(dissection.study.directory):
        return _rendered(report_facts(dissection, budget))


def report_facts(dissection: Dissection, budget: int = BUDGET) -> dict[str, Any]:
    """Return what the template of the report shows, style and scripts apart.

    ``pieces`` are the texts that its scripts unpack, by name; those that are ``early`` stand before the scripts.
    """
    numbers = embed(dissection)
    facts = _facts(dissection) | {"left_out": numbers.left_out}
    bare = {"data": _json(numbers.facts), "pieces": numbers.pieces, "early": (), "late": tuple(numbers.pieces)}
    atlas = draw_atlas(dissection, budget - len(_rendered(facts | bare).encode()) - SAYING)
    pieces = numbers.pieces | atlas.pieces
    early = ("units-pack", *atlas.early)
    return facts | {
        "data": _json(numbers.facts | atlas.facts),
        "pieces": pieces,
        "early": early,
        "late": tuple(name for name in pieces if name not in early),
        "left_out": numbers.left_out + _images_left_out(dissection, atlas),
    }


def _rendered(facts: dict[str, Any]) -> str:
    return template("report.html").render(**facts, style=static("report.css"), script=joined_scripts())


def _images_left_out(dissection: Dissection, atlas: Atlas) -> list[str]:
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


def _facts(dissection: Dissection) -> dict[str, Any]:
    """Return what the template shows without scripts."""
    units, spec = dissection.units, dissection.spec
    rule = f"IoU above {spec.interpretable_iou:g} and pixel accuracy above {spec.interpretable_accuracy:g}"
    matched, noun = units[units["matched"]], "direction" if dissection.facts.get("directions") else "unit"
    numbers = [
        (f"{len(matched):,}", f"{noun}s match a concept", f"by chance, {_false_labels(dissection)} of them would"),
        (f"{int(units['interpretable'].sum()):,}", "are interpretable", rule),
        (f"{dissection.concepts['units_matched'].gt(0).sum():,}", "distinct concepts", f"among the matched {noun}s"),
        (f"{len(units):,}", f"{noun}s", f"in {_count(len(dissection.layers), 'layer')}"),
        (f"{spec.images:,}", "images", "pooled, one ratio a pair"),
    ]
    return {
        "model": model_name(spec.generator),
        "noun": noun,
        "verb": "draw" if dissection.facts.get("draws", True) else "see",
        "warnings": warnings_of(dissection),
        "numbers": numbers,
        "concept_charts": concept_charts(dissection),
        "layer_charts": layer_charts(dissection),
        "categories": category_colours(dissection.vocabulary),
        "rare": _rare(dissection.concepts),
        "never": _never(dissection.concepts),
        "scored": int((~dissection.concepts["rare"]).sum()),
        "spec": dataclasses.asdict(spec),
        "facts": {name: fact for name, fact in dissection.facts.items() if name not in _SAID},
        "matched_rule": dissection.facts.get("matched_rule", "–"),
        "label_rule": _LABEL_RULES[spec.label],
    }


def joined_scripts() -> str:
    """Return the page's modules as one: a page on disk may not import files, so imports and exports fall away."""
    sources = [f"// ---- {name}.js\n{static(f'{name}.js')}" for name in SCRIPTS]
    return re.sub(r"^import .*\n|^export (?=\w)", "", "\n".join(sources), flags=re.MULTILINE)


def _json(value: Any) -> str:
    """Return JSON that can neither end the script element that holds it nor begin another, or a comment."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _false_labels(dissection: Dissection) -> str:
    rate = dissection.facts.get("false_labels")
    return "–" if rate is None else f"{rate:.1%}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def _rare(concepts: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the concepts that occur, but too rarely to score, with their share of the pixels."""
    table = concepts[concepts["rare"] & (concepts["share"] > 0)].sort_values("share", ascending=False)
    return [(r.concept, f"{100 * r.share:.2g} %") for r in rows(table)]


def _never(concepts: pd.DataFrame) -> list[str]:
    return list(concepts[concepts["share"] == 0]["concept"])
