"""How many units and concepts each study has: bars side by side, curves over layers (Figures 6 and 19)."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ganatomy.report.causal.section import Block, figures, legend
from ganatomy.report.charts import Axis, Bar, BarChart, Chart, Line, LineChart, Piece, even_axis, named_axis
from ganatomy.report.compare.heat import Cell, heat
from ganatomy.report.formats import number, percent, with_error
from ganatomy.report.palette import NEUTRAL, category_colours
from ganatomy.report.tables import ALL, Column, Table, rows

if TYPE_CHECKING:
    from ganatomy.experiments.compare.comparison import Comparison

COLUMNS = 6
"""Studies that have a chart each; more of them share a table."""
_DEEP = 3
"""Layers that make a curve."""
_ROOM = 1.25
_NAMED = 12
_DASHES = ("", "6 4", "2 3", "9 3 2 3", "12 4", "1 4")


def count_table(comparison: "Comparison") -> Table:
    """Return the counts of every layer of every study, those of the layer that the page begins with first."""
    own = comparison.counts[comparison.counts["category"] == ALL]
    first = own["compared"] == comparison.layer
    columns = (
        Column("study"),
        Column("layer"),
        Column("units"),
        Column("interpretable", form=with_error, error="interpretable_error"),
        Column("matched", form=with_error, error="matched_error"),
        Column("concepts", form=with_error, error="concepts_error"),
        Column("matched_iou", "mean IoU", with_error, "matched_iou_error", help="of the matched units"),
        Column("compared", "compared as", brief=False),
    )
    return Table("counts", "Counts of every layer", columns, pd.concat([own[first], own[~first]]))


def count_block(comparison: "Comparison") -> Block:
    """Return bars of every study, at the layer that is shown first; numbers of the others on demand."""
    layer, kinds = comparison.layer, category_colours(comparison.shared)
    marks = [(f'<i style="background:{colour}"></i>', name) for name, colour in kinds.items()]
    lead = (
        f"At {layer}. A unit is matched if it is interpretable and predicts what is in the image better than chance; "
        "the faint bars behind are all units. Lines are one standard error either way, over resampled images."
    )
    body = legend(marks) + figures(*count_charts(comparison, layer))
    numbers = count_table(comparison).folded("Every layer in numbers")
    return Block("How many units, how many concepts", lead, body + numbers)


def count_charts(comparison: "Comparison", layer: str) -> list[Chart]:
    """Return three charts with a row for each study: matched units and concepts by category, mean IoU."""
    colours = category_colours(comparison.shared)
    found = comparison.counts[comparison.counts["compared"] == layer]
    totals = rows(found[found["category"] == ALL])
    drawn: list[Chart] = []
    for name, heading in (("matched", "Matched units, by category"), ("concepts", "Distinct concepts among them")):
        bars = [_bar(row, name, found[found["study"] == row.study], colours) for row in totals]
        drawn.append((heading, _bars(bars, f"{heading} of every study at {layer}", colours)))
    means = [
        Bar(
            _short(row.study),
            (Piece(_finite(row.matched_iou), NEUTRAL, f"{row.study}: mean IoU of its matched units"),),
            with_error(row.matched_iou, row.matched_iou_error),
            spread=_spread(row.matched_iou, row.matched_iou_error),
        )
        for row in totals
    ]
    return [*drawn, ("Mean IoU of matched units", _bars(means, f"Mean IoU of matched units at {layer}"))]


def layer_block(comparison: "Comparison") -> Block | None:
    """Return the curves over layers of every study that has enough of them."""
    deep = _deep(comparison)
    if not deep:
        return None
    lead = (
        "Share of the units of each layer that match a concept, so that wide layers and narrow ones can be compared, "
        "and how many distinct concepts they match. Bands are one standard error either way."
    )
    if len(deep) > COLUMNS:
        return Block("Layer by layer", lead, _layer_heat(comparison, deep))
    drawn, size = layer_charts(comparison), max(2, len(deep))
    body = "".join(figures(*drawn[i : i + size]) for i in range(0, len(drawn), size))
    return Block("Layer by layer", lead, body)


def layer_charts(comparison: "Comparison") -> list[Chart]:
    """Return curves over layers by category of each study, first shares, then concepts; then all studies in one."""
    colours, deep = category_colours(comparison.shared), _deep(comparison)[:COLUMNS]
    found = comparison.counts[comparison.counts["study"].isin(deep) & (comparison.counts["layer"] != ALL)]
    found = found.assign(share=found["matched"] / found["units"], share_error=found["matched_error"] / found["units"])
    parts = found[found["category"] != ALL]
    drawn: list[Chart] = []
    for name, what, text in (("share", "matched units", percent), ("concepts", "distinct concepts", number)):
        y = _axis(what, parts, name, text)
        for study in deep:
            own = parts[parts["study"] == study]
            lines = [_line(kind, own[own["category"] == kind], name, colour) for kind, colour in colours.items()]
            heading = f"{study}: {what}" if len(deep) > 1 else what
            x = layer_axis(list(dict.fromkeys(own["layer"])))
            drawn.append((heading, LineChart([line for line in lines if any(line.y)], x, y, heading)))
    return drawn + _together(comparison, found[found["category"] == ALL], deep)


def layer_axis(names: Sequence[str]) -> Axis:
    """Return an axis of layers; what all names begin with stands in its name.

    >>> layer_axis(["layer1", "layer2"]).ticks, layer_axis(["layer1", "layer2"]).name
    ([(0.0, '1'), (1.0, '2')], 'layer')
    """
    ends = [re.fullmatch(r"(.*?)(\d+)", name) for name in names]
    starts = {end[1] for end in ends if end}
    if all(ends) and len(starts) == 1 and (start := starts.pop()):
        return named_axis(start.rstrip("._- "), [end[2] for end in ends if end])
    return named_axis("layer", list(names))


def _short(name: str) -> str:
    """Return the name of a study so that it fits next to a bar on a phone; the ends tell most apart.

    >>> _short("livingroom"), _short("baseline-step-0012000")
    ('livingroom', 'basel…012000')
    """
    return name if len(name) <= _NAMED else f"{name[:5]}…{name[6 - _NAMED :]}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _deep(comparison: "Comparison") -> list[str]:
    """Return the studies that have enough layers for a curve."""
    return [s.name for s in comparison.studies if len(s.dissection.layers) >= _DEEP]


def _together(comparison: "Comparison", totals: pd.DataFrame, deep: Sequence[str]) -> list[Chart]:
    """Return all studies in one chart, over the layers that all of them have."""
    own = totals[totals["compared"].notna()]
    names = list(dict.fromkeys(own["compared"]))
    if len(deep) < 2 or len(names) < _DEEP or list(deep) != list(comparison.spec.names):
        return []
    places = {name: float(i) for i, name in enumerate(names)}
    lines = []
    for study, dash in zip(deep, _DASHES, strict=False):
        each = own[own["study"] == study]
        x = [places[name] for name in each["compared"]]
        lines.append(Line(study, x, each["share"].tolist(), each["share_error"].tolist(), dash=dash))
    heading = "matched units of all categories"
    y = _axis("matched units", own, "share", percent)
    return [(heading, LineChart(lines, layer_axis(names), y, heading))]


def _layer_heat(comparison: "Comparison", deep: Sequence[str]) -> str:
    """Return matched units of every layer of many studies as a table."""
    own = comparison.counts[(comparison.counts["category"] == ALL) & (comparison.counts["layer"] != ALL)]
    most = float((own["matched"] / own["units"]).max()) or 1.0
    cells = {
        (row.layer, row.study): Cell(with_error(row.matched, row.matched_error), row.matched / row.units / most)
        for row in rows(own)
    }
    return heat(deep, list(dict.fromkeys(own["layer"])), cells)


def _bar(row: Any, name: str, own: pd.DataFrame, colours: Mapping[str, str]) -> Bar:
    counts = {each.category: int(getattr(each, name)) for each in rows(own)}
    what = "units" if name == "matched" else "concepts"
    pieces = [Piece(counts[c], colours[c], f"{row.study}: {counts[c]} {what} of kind {c}") for c in colours]
    value, error = getattr(row, name), getattr(row, f"{name}_error")
    track = row.units if name == "matched" else 0
    return Bar(_short(row.study), pieces, with_error(value, error), track=track, spread=_spread(value, error))


def _bars(bars: Sequence[Bar], title: str, legend: Mapping[str, str] | None = None) -> BarChart:
    """Return bars with room for a number and its error behind the longest."""
    return BarChart(bars, title, _ROOM * max(bar.end for bar in bars), legend or {})


def _spread(value: float, error: float) -> tuple[float, float] | None:
    return (max(0.0, value - error), value + error) if math.isfinite(value + error) else None


def _line(name: str, own: pd.DataFrame, column: str, colour: str) -> Line:
    places = [float(i) for i in range(len(own))]
    return Line(name, places, own[column].tolist(), own[f"{column}_error"].tolist(), colour)


def _axis(name: str, own: pd.DataFrame, column: str, text: Callable[[float], str]) -> Axis:
    """Return one axis for all studies."""
    reach = (own[column] + own[f"{column}_error"].fillna(0)).tolist()
    return even_axis(name, reach, text, count=4)
