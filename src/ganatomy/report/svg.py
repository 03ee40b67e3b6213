"""A small writer of bar charts as SVG: text stays text, bars start at zero, lengths follow the width of the page.

`bar_chart` counts upwards from zero; `change_chart` goes either way from it, with errors and controls.

Positions are percentages of the width, so one text serves a phone, a desk and a file; colours of text and lines come
from ``currentColor``.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW, _BAR = 21, 13
_LEFT, _SPAN = 27.0, 52.0
"""Per cent of the width: where bars start, and how long the longest is; the rest is for the note."""
_SIDES = 44.0
"""The same for bars that go either way; their notes stand at the right edge."""
_LONGEST = 16
_FILE_STYLE = "color:#1d2127;background:#fff;font:12.5px system-ui,sans-serif"


@dataclass(frozen=True)
class Piece:
    """A stretch of a bar. A pale one is outlined and half filled: counted, but by the weaker rule."""

    value: float
    colour: str
    title: str
    pale: bool = False


@dataclass(frozen=True)
class Bar:
    """One row: its name, its stretches from zero on, the number written after it.

    `track` draws a faint bar behind (the most that the row could reach); `spread` a thin line from low to high.
    """

    name: str
    pieces: Sequence[Piece]
    note: str
    href: str = ""
    track: float = 0
    spread: tuple[float, float] | None = None

    @property
    def end(self) -> float:
        """Where its drawing ends."""
        return max(self.track, *(self.spread or (0,)), sum(p.value for p in self.pieces))


def bar_chart(bars: Sequence[Bar], title: str, scale: float = 0) -> str:
    """Return rows of horizontal bars as an SVG element as wide as its container.

    Args:
        bars: from top to bottom.
        title: what a screen reader says of the whole.
        scale: the value at the right end; the longest bar where not given.
    """
    scale = scale or max((bar.end for bar in bars), default=0) or 1
    rows = "".join(f'<g transform="translate(0 {i * _ROW})">{_row(bar, scale)}</g>' for i, bar in enumerate(bars))
    size = f'width="100%" height="{len(bars) * _ROW}"'
    return f'<svg class="bars" {size} role="group" aria-label="{escape(title)}">{rows}</svg>'


@dataclass(frozen=True)
class Change:
    """One row that goes either way from zero.

    Attributes:
        name, colour, note: as in `Bar`; a `strong` one is what it is all about.
        value, error: how far, and its standard error, drawn as a line; NaN where there is none.
        control: mean and spread of what the controls did, a mark in a pale band; None or NaN where there are none.
        title: what it says when asked.
    """

    name: str
    value: float
    error: float
    colour: str
    note: str
    control: tuple[float, float] | None = None
    title: str = ""
    strong: bool = False

    @property
    def ends(self) -> list[float]:
        """All that has to be on the chart."""
        around = [(self.value, self.error), self.control or (math.nan, 0)]
        reach = [mean + step for mean, error in around for step in (-_finite(error), _finite(error))]
        return [v for v in reach if math.isfinite(v)]


def change_chart(rows: Sequence[Change], title: str, limit: float = math.inf) -> str:
    """Return rows of bars to either side of zero as an SVG element as wide as its container.

    Args:
        rows: from top to bottom.
        title: what a screen reader says of the whole.
        limit: what goes further than that, either way, is cut there and ends in an arrow.
    """
    ends = [max(-limit, min(limit, end)) for row in rows for end in row.ends]
    low, high = min(0.0, *ends, 0.0), max(0.0, *ends, 0.0)
    scale = _Sides(low, high if high > low else low + 1, limit)
    height = len(rows) * _ROW
    zero = f'x1="{scale.x(0):.2f}%" x2="{scale.x(0):.2f}%" y1="0" y2="{height}"'
    drawn = "".join(
        f'<g transform="translate(0 {i * _ROW})">{_either_way(row, scale)}</g>' for i, row in enumerate(rows)
    )
    return (
        f'<svg class="bars" width="100%" height="{height}" role="group" aria-label="{escape(title)}">{drawn}'
        f'<line {zero} stroke="currentColor" stroke-opacity=".6"/></svg>'
    )


@dataclass(frozen=True)
class _Sides:
    """Where values lie on a chart of changes, in per cent of its width."""

    low: float
    high: float
    limit: float

    def x(self, value: float) -> float:
        cut = max(-self.limit, min(self.limit, value))
        return _LEFT + 1 + (_SIDES - 1) * (cut - self.low) / (self.high - self.low)

    def stretch(self, low: float, high: float) -> str:
        start, end = self.x(low), self.x(high)
        return f'x="{start:.2f}%" width="{end - start:.2f}%"'


def as_file(title: str, legend: Sequence[Piece], blocks: Sequence[tuple[str, str]], width: int = 640) -> str:
    """Return charts, each under its heading, as the text of one SVG file; the legend shows the titles of its pieces."""
    size = min(16.0, (width - 32) / (0.66 * max(1, len(title))))  # a bold letter is about two thirds as wide as high
    heading = f'<text x="16" y="28" font-size="{size:.3g}" font-weight="600">{escape(title)}</text>'
    y, parts = 76 if legend else 48, [heading]
    step = (width - 32) // max(1, len(legend))
    for i, piece in enumerate(legend):
        parts.append(f'<rect x="{16 + i * step}" y="43" width="12" height="12" {_fill(piece)}/>')
        parts.append(f'<text x="{34 + i * step}" y="54">{escape(piece.title)}</text>')
    for heading, chart in blocks:
        parts.append(f'<text x="16" y="{y + 12}" font-weight="600">{escape(heading)}</text>')
        parts.append(chart.replace('width="100%"', f'x="16" y="{y + 22}" width="{width - 32}"', 1))
        y += 22 + _height(chart) + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
        f'fill="currentColor" style="{_FILE_STYLE}"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _height(chart: str) -> int:
    found = re.search(r'height="(\d+)"', chart)
    assert found
    return int(found[1])


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _label(name: str, style: str = "") -> str:
    place = f'x="{_LEFT - 1}%" y="{_ROW * 0.7:g}" text-anchor="end"'
    return f'<text {place}{style} fill="currentColor">{escape(_shortened(name))}</text>'


def _either_way(row: Change, scale: _Sides) -> str:
    drawn = [_label(row.name, ' font-weight="650"' if row.strong else "")]
    mean, spread = row.control or (math.nan, 0.0)
    controlled = math.isfinite(mean)
    if controlled:
        band = scale.stretch(mean - _finite(spread), mean + _finite(spread))
        drawn.append(f'<rect {band} y="2" height="{_ROW - 4}" fill="currentColor" fill-opacity=".16"/>')
    if math.isfinite(row.value):
        bar = scale.stretch(min(0.0, row.value), max(0.0, row.value))
        said = f"<title>{escape(row.title)}</title>" if row.title else ""
        drawn.append(f'<rect {bar} y="{(_ROW - _BAR) / 2:g}" height="{_BAR}" fill="{row.colour}">{said}</rect>')
        drawn.append(_beyond(row.value, scale) or _error_line(row.value, row.error, scale))
    if controlled:
        x = f'x1="{scale.x(mean):.2f}%" x2="{scale.x(mean):.2f}%"'
        mark = 'stroke="currentColor" stroke-width="2" stroke-dasharray="2 2"'
        drawn.append(f'<line {x} y1="2" y2="{_ROW - 2}" {mark}/>')
    place = f'class="note" x="100%" y="{_ROW * 0.7:g}" text-anchor="end"'
    return f'{"".join(drawn)}<text {place} fill="currentColor">{escape(row.note)}</text>'


def _error_line(value: float, error: float, scale: _Sides) -> str:
    if not math.isfinite(error):
        return ""
    x = f'x1="{scale.x(value - error):.2f}%" x2="{scale.x(value + error):.2f}%"'
    return f'<line {x} y1="{_ROW / 2}" y2="{_ROW / 2}" stroke="currentColor" stroke-width="1.5"/>'


def _beyond(value: float, scale: _Sides) -> str:
    """Return the arrow of a value that is cut."""
    if abs(value) <= scale.limit:
        return ""
    place = f'x="{scale.x(value):.2f}%" y="{_ROW * 0.7:g}" fill="currentColor"'
    return f'<text {place} dx="3">▸</text>' if value > 0 else f'<text {place} dx="-3" text-anchor="end">◂</text>'


def _row(bar: Bar, scale: float) -> str:
    top = (_ROW - _BAR) / 2
    label = _label(bar.name)
    drawn = [_rect(0, bar.track, scale, top, 'fill="currentColor" fill-opacity=".08"')] if bar.track else []
    end = 0.0
    for piece in bar.pieces:
        if piece.value:
            drawn.append(_rect(end, piece.value, scale, top, _fill(piece), piece.title))
            end += piece.value
    if bar.spread:
        low, high = (_LEFT + _SPAN * v / scale for v in bar.spread)
        drawn.append(f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="{_ROW / 2}" y2="{_ROW / 2}" stroke="currentColor"/>')
    after = f'x="{_LEFT + _SPAN * bar.end / scale:.2f}%" dx="6" y="{_ROW * 0.7:g}"'
    note = f'<text class="note" {after} fill="currentColor">{escape(bar.note)}</text>'
    row = label + "".join(drawn) + note
    if not bar.href:
        return row
    return f'<a href="{escape(bar.href)}" aria-label="{escape(f"{bar.name}: {bar.note}")}">{row}</a>'


def _shortened(name: str) -> str:
    """Return a name that fits: the ends of long ones tell layers apart, so the middle goes."""
    return name if len(name) <= _LONGEST else f"{name[:7]}…{name[7 - _LONGEST + 1 :]}"


def _fill(piece: Piece) -> str:
    return f'fill="{piece.colour}"' + (f' fill-opacity=".25" stroke="{piece.colour}"' if piece.pale else "")


def _rect(start: float, value: float, scale: float, top: float, style: str, title: str = "") -> str:
    x, width = _LEFT + _SPAN * start / scale, _SPAN * value / scale
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect x="{x:.2f}%" width="{width:.2f}%" y="{top:g}" height="{_BAR}" {style}>{inner}</rect>'
