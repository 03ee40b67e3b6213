"""Charts as SVG.

Text stays text. Positions across are percentages of the width, so one text serves a phone, a desk and a file; heights
are pixels. Colours of text and lines come from ``currentColor``.
"""

import math
import re
from collections.abc import Callable, Sequence
from html import escape

from ganatomy.report.charts import (
    Axis,
    Bar,
    BarChart,
    Change,
    ChangeChart,
    Drawing,
    Line,
    LineChart,
    Piece,
    Point,
    ScatterChart,
    finite,
)

ROW, _BAR = 21, 13
"""Pixels of the height of a row of bars, and of its bar."""
_NAMES, _BARS, _SIDES = 27.0, 52.0, 44.0
"""Per cent of the width: names, the longest bar, and bars to either side of zero; numbers take the rest."""
_LONGEST = 16
_LEFT, _SPAN = 11.0, 71.0
"""Per cent of the width: where a plot starts and how wide it is; what is left names the lines."""
_TOP, _TALL, _HEIGHT = 24, 190, 258
_APART = 15
"""Least distance between two names, in pixels."""
_CROWDED = 6
"""With more marks than that on an axis, a phone shows every second one."""
_FITS = 8
"""Letters of a name that fit next to the plot on a phone; longer ones reach into it."""
_RIGHT = 0.6
"""From this share of the width on, the name of a point stands before it."""
_LETTER = 2.0
"""Per cent of the width that a letter takes on a phone, about."""
_FILE_STYLE = "color:#1d2127;background:#fff;font:12.5px system-ui,sans-serif"
_INK = 'stroke="currentColor"'
Titled = tuple[str, Drawing | str]
"""A heading, and a chart or an SVG element."""


def svg(chart: Drawing) -> str:
    """Return a chart as an SVG element as wide as its container."""
    match chart:
        case BarChart():
            return _bars(chart)
        case ChangeChart():
            return _changes(chart)
        case LineChart():
            return _lines(chart)
        case ScatterChart():
            return _scatter(chart)


def as_file(title: str, legend: Sequence[Piece], blocks: Sequence[Titled], width: int = 640) -> str:
    """Return what is shown, each under its heading, as one SVG file; the legend shows the titles of its pieces."""
    size = min(16.0, (width - 32) / (0.66 * max(1, len(title))))  # a bold letter is about two thirds as wide as high
    parts = [f'<text x="16" y="28" font-size="{size:.3g}" font-weight="600">{escape(title)}</text>']
    y, step = 76 if legend else 48, (width - 32) // max(1, len(legend))
    for i, piece in enumerate(legend):
        parts.append(f'<rect x="{16 + i * step}" y="43" width="12" height="12" {_fill(piece)}/>')
        parts.append(f'<text x="{34 + i * step}" y="54">{escape(piece.title)}</text>')
    for heading, shown in blocks:
        chart = shown if isinstance(shown, str) else svg(shown)
        parts.append(f'<text x="16" y="{y + 12}" font-weight="600">{escape(heading)}</text>')
        parts.append(chart.replace('width="100%"', f'x="16" y="{y + 22}" width="{width - 32}"', 1))
        found = re.search(r'height="(\d+)"', chart)
        assert found
        y += 22 + int(found[1]) + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
        f'fill="currentColor" style="{_FILE_STYLE}"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _bars(chart: BarChart) -> str:
    scale = chart.scale or max((bar.end for bar in chart.rows), default=0) or 1
    return _rows([_bar(bar, scale) for bar in chart.rows], chart.title)


def _changes(chart: ChangeChart) -> str:
    low, high = chart.ends()

    def x(value: float) -> float:
        return _NAMES + 1 + (_SIDES - 1) * (chart.cut(value) - low) / (high - low)

    zero = f'<line {_from_to("x", x(0), x(0))} y1="0" y2="{len(chart.rows) * ROW}" {_INK} stroke-opacity=".6"/>'
    return _rows([_change(row, x, chart.limit) for row in chart.rows], chart.title, zero)


def _lines(chart: LineChart) -> str:
    lines, x, y = chart.lines, chart.x, chart.y
    plot = f'x="{_LEFT}%" y="{_TOP}" width="{_SPAN}%" height="{_TALL}" viewBox="0 0 1000 1000"'
    drawn = "".join(_band(line, x, y) for line in lines) + "".join(_path(line, x, y) for line in lines)
    nested = f'<svg {plot} preserveAspectRatio="none" overflow="visible">{drawn}</svg>'
    dots = "".join(
        f'<circle cx="{_across(x, across):.2f}%" cy="{_down(y, value):.1f}" r="2.5" fill="{line.colour}">'
        f"<title>{escape(line.name)}, {x.name} {across:g}: {value:.3g} ± {error:.2g}</title></circle>"
        for line in lines
        for run in line.runs()
        for across, value, error in run
    )
    return _framed(x, y, nested + dots + _line_names(lines, y), chart.title)


def _scatter(chart: ScatterChart) -> str:
    x, y = chart.x, chart.y
    shown = [p for p in chart.points if math.isfinite(p.x) and math.isfinite(p.y)]
    drawn = "".join(_point(p, x, y, height) for p, height in zip(shown, _name_heights(shown, x, y), strict=True))
    if chart.diagonal:
        low, high = max(x.ticks[0][0], y.ticks[0][0]), min(x.ticks[-1][0], y.ticks[-1][0])
        ends = f"{_from_to('x', _across(x, low), _across(x, high))} {_from_to('y', _down(y, low), _down(y, high))}"
        drawn = f'<line {ends} {_INK} stroke-dasharray="4 4" stroke-opacity=".6"/>{drawn}'
    return _framed(x, y, drawn, chart.title)


def _across(axis: Axis, value: float) -> float:
    """Return where a value lies on a horizontal axis, in per cent."""
    return _LEFT + _SPAN * axis.share(value)


def _down(axis: Axis, value: float) -> float:
    """Return where a value lies on a vertical axis, in pixels."""
    return _TOP + _TALL * (1 - axis.share(value))


def _from_to(axis: str, start: float, end: float) -> str:
    """Return the ends of a line: x in per cent, y in pixels."""
    return f'x1="{start:.2f}%" x2="{end:.2f}%"' if axis == "x" else f'y1="{start:.1f}" y2="{end:.1f}"'


def _rows(rows: Sequence[str], title: str, above: str = "") -> str:
    drawn = "".join(f'<g transform="translate(0 {i * ROW})">{row}</g>' for i, row in enumerate(rows))
    size = f'width="100%" height="{len(rows) * ROW}"'
    return f'<svg class="bars" {size} role="group" aria-label="{escape(title)}">{drawn}{above}</svg>'


def _row_name(name: str, style: str = "") -> str:
    if len(name) > _LONGEST:  # the ends of long names tell layers apart, so the middle goes
        name = f"{name[:7]}…{name[7 - _LONGEST + 1 :]}"
    place = f'x="{_NAMES - 1}%" y="{ROW * 0.7:g}" text-anchor="end"'
    return f'<text {place}{style} fill="currentColor">{escape(name)}</text>'


def _stretch(start: float, end: float, style: str, title: str = "") -> str:
    """Return the bar of a row between two places, in per cent."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    place = f'x="{start:.2f}%" width="{end - start:.2f}%" y="{(ROW - _BAR) / 2:g}" height="{_BAR}"'
    return f"<rect {place} {style}>{inner}</rect>"


def _across_row(start: float, end: float, width: str = "") -> str:
    return f'<line {_from_to("x", start, end)} y1="{ROW / 2}" y2="{ROW / 2}" {_INK}{width}/>'


def _bar(bar: Bar, scale: float) -> str:
    def x(value: float) -> float:
        return _NAMES + _BARS * value / scale

    drawn = [_row_name(bar.name)]
    if bar.track:
        drawn.append(_stretch(x(0), x(bar.track), 'fill="currentColor" fill-opacity=".08"'))
    end = 0.0
    for piece in bar.pieces:
        if piece.value:
            drawn.append(_stretch(x(end), x(end + piece.value), _fill(piece), piece.title))
            end += piece.value
    if bar.spread:
        drawn.append(_across_row(x(bar.spread[0]), x(bar.spread[1])))
    after = f'x="{x(bar.end):.2f}%" dx="6" y="{ROW * 0.7:g}"'
    row = f'{"".join(drawn)}<text class="note" {after} fill="currentColor">{escape(bar.note)}</text>'
    if not bar.href:
        return row
    # A name that is cut is said in full; any other label than what is seen would confuse who speaks it to the browser.
    label = f' aria-label="{escape(f"{bar.name}: {bar.note}")}"' if len(bar.name) > _LONGEST else ""
    return f'<a href="{escape(bar.href)}"{label}>{row}</a>'


def _change(row: Change, x: Callable[[float], float], limit: float) -> str:
    drawn = [_row_name(row.name, ' font-weight="650"' if row.strong else "")]
    mean, spread = row.control or (math.nan, 0.0)
    if controlled := math.isfinite(mean):
        low, high = x(mean - finite(spread)), x(mean + finite(spread))
        band = f'x="{low:.2f}%" width="{high - low:.2f}%" y="2" height="{ROW - 4}"'
        drawn.append(f'<rect {band} fill="currentColor" fill-opacity=".16"/>')
    if math.isfinite(row.value):
        ends = x(min(0.0, row.value)), x(max(0.0, row.value))
        drawn.append(_stretch(*ends, f'fill="{row.colour}"', row.title))
        if abs(row.value) > limit:
            arrow = 'dx="3">▸' if row.value > 0 else 'dx="-3" text-anchor="end">◂'
            drawn.append(f'<text x="{x(row.value):.2f}%" y="{ROW * 0.7:g}" fill="currentColor" {arrow}</text>')
        elif math.isfinite(row.error):
            drawn.append(_across_row(x(row.value - row.error), x(row.value + row.error), ' stroke-width="1.5"'))
    if controlled:
        mark = f'{_INK} stroke-width="2" stroke-dasharray="2 2"'
        drawn.append(f'<line {_from_to("x", x(mean), x(mean))} y1="2" y2="{ROW - 2}" {mark}/>')
    place = f'class="note" x="100%" y="{ROW * 0.7:g}" text-anchor="end"'
    return f'{"".join(drawn)}<text {place} fill="currentColor">{escape(row.note)}</text>'


def _fill(piece: Piece) -> str:
    return f'fill="{piece.colour}"' + (f' fill-opacity=".25" stroke="{piece.colour}"' if piece.pale else "")


def _name_heights(points: Sequence[Point], x: Axis, y: Axis) -> list[float]:
    """Return the height of the name of each point: just above it, or lower where it would cover another."""
    placed: list[tuple[float, float, float]] = []
    heights = [0.0] * len(points)
    for i in sorted(range(len(points)), key=lambda i: _down(y, points[i].y)):
        start, wide = _across(x, points[i].x), len(points[i].name) * _LETTER
        start -= wide * (x.share(points[i].x) > _RIGHT)
        height = _down(y, points[i].y) - 5
        for left, right, taken in placed:  # from the highest on
            if left < start + wide and start < right and abs(height - taken) < _APART:
                height = taken + _APART
        placed = sorted([*placed, (start, start + wide, height)], key=lambda name: name[2])
        heights[i] = height
    return heights


def _point(p: Point, x: Axis, y: Axis, name_height: float) -> str:
    """Return a point with its errors, a cross of lines, and its name on the side where there is room."""
    across, down, drawn = _across(x, p.x), _down(y, p.y), ""
    if math.isfinite(p.x_error):
        ends = _from_to("x", _across(x, p.x - p.x_error), _across(x, p.x + p.x_error))
        drawn += f"<line {ends} {_from_to('y', down, down)} {_INK}/>"
    if math.isfinite(p.y_error):
        ends = _from_to("y", _down(y, p.y - p.y_error), _down(y, p.y + p.y_error))
        drawn += f"<line {_from_to('x', across, across)} {ends} {_INK}/>"
    if p.name:
        side = 'dx="-7" text-anchor="end"' if x.share(p.x) > _RIGHT else 'dx="7"'
        place = f'x="{across:.2f}%" y="{name_height:.1f}" {side} fill="currentColor"'
        drawn += f"<text {place}>{escape(p.name)}</text>"
    return (
        f'{drawn}<circle cx="{across:.2f}%" cy="{down:.1f}" r="3" fill="{p.colour}" fill-opacity=".75">'
        f"<title>{escape(p.title)}</title></circle>"
    )


def _framed(x: Axis, y: Axis, inner: str, title: str) -> str:
    """Put axes around a drawing."""
    bottom = _TOP + _TALL
    parts = [f'<text class="note" x="0" y="12" fill="currentColor">{escape(y.name)}</text>']
    for value, text in y.ticks:
        at = _down(y, value)
        ends = f"{_from_to('x', _LEFT, _LEFT + _SPAN)} {_from_to('y', at, at)}"
        parts.append(f'<line {ends} {_INK} stroke-opacity="{".6" if value == 0 else ".15"}"/>')
        parts.append(_text(_LEFT - 1, at + 4, text, "end"))
    for i, (value, text) in enumerate(x.ticks):
        odd = i % 2 == 1 and len(x.ticks) > _CROWDED
        parts.append(_text(_across(x, value), bottom + 18, text, "middle", " odd" * odd))
        if value == 0 and i:
            at = _across(x, 0)
            parts.append(f'<line {_from_to("x", at, at)} {_from_to("y", _TOP, bottom)} {_INK} stroke-opacity=".6"/>')
    parts.append(_text(_LEFT + _SPAN / 2, bottom + 38, x.name, "middle"))
    size = f'width="100%" height="{_HEIGHT}"'
    return f'<svg class="lines" {size} role="img" aria-label="{escape(title)}">{"".join(parts)}{inner}</svg>'


def _text(across: float, down: float, text: str, anchor: str, kind: str = "") -> str:
    place = f'x="{across:.2f}%" y="{down:.1f}" text-anchor="{anchor}"'
    return f'<text class="note{kind}" {place} fill="currentColor">{escape(text)}</text>'


def _at(x: Axis, y: Axis, across: float, value: float) -> str:
    """Return a point in thousandths of the plot."""
    return f"{1000 * x.share(across):.1f} {1000 * (1 - y.share(value)):.1f}"


def _band(line: Line, x: Axis, y: Axis) -> str:
    bands = []
    for run in line.runs():
        upper = [_at(x, y, across, y.within(value + error)) for across, value, error in run]
        lower = [_at(x, y, across, y.within(value - error)) for across, value, error in reversed(run)]
        bands.append(f'<path d="M{"L".join(upper + lower)}Z" fill="{line.colour}" fill-opacity=".2"/>')
    return "".join(bands)


def _path(line: Line, x: Axis, y: Axis) -> str:
    way = "".join("M" + "L".join(_at(x, y, across, value) for across, value, _ in run) for run in line.runs())
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    style = f'fill="none" stroke="{line.colour}" stroke-width="2" vector-effect="non-scaling-stroke"{dash}'
    return f'<path d="{way}" {style}/>' if way else ""


def _line_names(lines: Sequence[Line], y: Axis) -> str:
    """Name each line at the right, at the height where it ends, pushed apart where names would touch.

    None is pushed below the axis, where its marks are.
    """
    ends = sorted((_down(y, run[-1][1]), i) for i, line in enumerate(lines) for run in line.runs()[-1:])
    parts, last = [], -math.inf
    for rank, (down, i) in enumerate(ends, 1):
        lowest = _TOP + _TALL + 4 - _APART * (len(ends) - rank)  # with room for those below it
        last = max(min(down + 4, lowest), last + _APART)
        side = 'x="100%" text-anchor="end"' if len(lines[i].name) > _FITS else f'x="{_LEFT + _SPAN + 1.2:.2f}%"'
        place = f'{side} y="{last:.1f}" fill="currentColor" font-weight="600"'
        parts.append(f'<text {place}><tspan fill="{lines[i].colour}">●</tspan> {escape(lines[i].name)}</text>')
    return "".join(parts)
