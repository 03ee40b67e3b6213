"""A small writer of SVG charts: bars, changes, lines and scatter plots.

Text stays text, bars start at zero, errors are lines or bands. Positions across are percentages of the width, so one
text serves a phone, a desk and a file; heights are pixels. Colours of text and lines come from ``currentColor``.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

Chart = tuple[str, str]
"""A heading and an SVG element."""
_ROW, _BAR = 21, 13
"""Heights of a row and of its bar."""
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
_FITS = 9
"""Letters of a name that have room beside the plot on a phone; longer ones reach into it."""
_RIGHT = 0.6
"""From this share of the width on, the name of a point stands before it."""
_LETTER = 2.0
"""Per cent of the width that a letter takes on a phone, about."""
_FILE_STYLE = "color:#1d2127;background:#fff;font:12.5px system-ui,sans-serif"
_INK = 'stroke="currentColor"'


@dataclass(frozen=True)
class Piece:
    """A part of a bar; a `pale` one is outlined and half filled: counted, but by the weaker rule."""

    value: float
    colour: str
    title: str
    pale: bool = False


@dataclass(frozen=True)
class Bar:
    """A row: its name, its pieces from zero on, the text after it.

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


@dataclass(frozen=True)
class Change:
    """A row that goes either way from zero.

    Attributes:
        name, colour, note: as in `Bar`; the name of a `strong` one is bold.
        value, error: the change and its standard error, drawn as a line; NaN where there is none.
        control: mean and spread of the controls, a mark in a pale band; None or NaN where there are none.
        title: the tooltip.
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
        return [mean + step for mean, e in around if math.isfinite(mean) for step in (-_finite(e), _finite(e))]


@dataclass(frozen=True)
class Axis:
    """What is measured, and the marks on it: (value, text), ascending; it reaches from the first to the last."""

    name: str
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies between the ends, in [0, 1] if it does."""
        low, high = self.ticks[0][0], self.ticks[-1][0]
        if self.log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    def across(self, value: float) -> float:
        """Return where a value lies on a horizontal axis, in per cent."""
        return _LEFT + _SPAN * self.share(value)

    def down(self, value: float) -> float:
        """Return where a value lies on a vertical axis, in pixels."""
        return _TOP + _TALL * (1 - self.share(value))


def even_axis(name: str, values: Sequence[float], text: Callable[[float], str], count: int = 5) -> Axis:
    """Return an axis over all finite values and zero, with about `count` round steps.

    >>> even_axis("effect", [0.02, 0.47], str).ticks
    [(0.0, '0.0'), (0.1, '0.1'), (0.2, '0.2'), (0.3, '0.3'), (0.4, '0.4'), (0.5, '0.5')]
    """
    finite = [0.0, *(float(v) for v in values if math.isfinite(v))]
    low, high = min(finite), max(finite)
    high = high if high > low else low + 1
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
    return Axis(name, [(mark, text(mark)) for mark in marks])


def log_axis(name: str, values: Sequence[float], text: Callable[[float], str]) -> Axis:
    """Return a logarithmic axis over values above zero, marked at 1, 2 and 5 times the powers of ten.

    >>> [mark for mark, _ in log_axis("images", [130, 3000], str).ticks]
    [100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0]
    """
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    marks = [first * 10.0**power for power in powers for first in (1, 2, 5)]
    first = max(i for i, mark in enumerate(marks) if mark <= min(values))
    last = next(i for i, mark in enumerate(marks) if mark >= max(values) and i > first)
    return Axis(name, [(mark, text(mark)) for mark in marks[first : last + 1]], log=True)


def named_axis(name: str, names: Sequence[str]) -> Axis:
    """Return an axis of categories, at 0, 1, …"""
    marks = [(float(i), each) for i, each in enumerate(names)]
    return Axis(name, marks if len(marks) > 1 else [*marks, (1.0, "")])


@dataclass(frozen=True)
class Line:
    """A line: points, each with a standard error (a band; none where it is NaN or not given), gaps where y is NaN."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    colour: str = "currentColor"
    dash: str = ""

    def runs(self) -> list[list[tuple[float, float, float]]]:
        """Return its unbroken parts of (x, y, error); no error counts as 0."""
        found: list[list[tuple[float, float, float]]] = [[]]
        for x, y, error in zip(self.x, self.y, self.error or [0.0] * len(self.x), strict=True):
            if math.isfinite(y):
                found[-1].append((x, y, _finite(error)))
            elif found[-1]:
                found.append([])
        return [run for run in found if run]

    def reach(self) -> list[float]:
        """Return all that has to be on the chart."""
        return [y + step for run in self.runs() for _, y, error in run for step in (-error, error)]


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot; `title` is its tooltip, `name` is written beside it."""

    x: float
    y: float
    colour: str
    title: str
    x_error: float = math.nan
    y_error: float = math.nan
    name: str = ""


def bar_chart(bars: Sequence[Bar], title: str, scale: float = 0) -> str:
    """Return rows of horizontal bars as an SVG element as wide as its container.

    Args:
        bars: from top to bottom.
        title: what a screen reader says of the whole.
        scale: the value at the right end; the longest bar where not given.
    """
    scale = scale or max((bar.end for bar in bars), default=0) or 1
    return _rows([_bar(bar, scale) for bar in bars], title)


def change_chart(rows: Sequence[Change], title: str, limit: float = math.inf) -> str:
    """Return rows of bars to either side of zero as an SVG element as wide as its container.

    Args:
        rows: from top to bottom.
        title: what a screen reader says of the whole.
        limit: what goes further than that, either way, is cut there and ends in an arrow.
    """
    ends = [0.0, *(max(-limit, min(limit, end)) for row in rows for end in row.ends)]
    low, high = min(ends), max(ends)
    high = high if high > low else low + 1

    def x(value: float) -> float:
        cut = max(-limit, min(limit, value))
        return _NAMES + 1 + (_SIDES - 1) * (cut - low) / (high - low)

    zero = f'<line {_from_to("x", x(0), x(0))} y1="0" y2="{len(rows) * _ROW}" {_INK} stroke-opacity=".6"/>'
    return _rows([_change(row, x, limit) for row in rows], title, zero)


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, title: str) -> str:
    """Return lines, each named at the right, as an SVG element as wide as its container."""
    plot = f'x="{_LEFT}%" y="{_TOP}" width="{_SPAN}%" height="{_TALL}" viewBox="0 0 1000 1000"'
    drawn = "".join(_band(line, x, y) for line in lines) + "".join(_path(line, x, y) for line in lines)
    nested = f'<svg {plot} preserveAspectRatio="none" overflow="visible">{drawn}</svg>'
    dots = "".join(
        f'<circle cx="{x.across(across):.2f}%" cy="{y.down(value):.1f}" r="2.5" fill="{line.colour}">'
        f"<title>{escape(line.name)}, {x.name} {across:g}: {value:.3g} ± {error:.2g}</title></circle>"
        for line in lines
        for run in line.runs()
        for across, value, error in run
    )
    return _framed(x, y, nested + dots + _line_names(lines, y), title)


def scatter_chart(points: Sequence[Point], x: Axis, y: Axis, title: str, diagonal: bool = False) -> str:
    """Return points as an SVG element as wide as its container; with a line where x and y are equal, if `diagonal`."""
    shown = [p for p in points if math.isfinite(p.x) and math.isfinite(p.y)]
    drawn = "".join(_point(p, x, y, height) for p, height in zip(shown, _name_heights(shown, x, y), strict=True))
    if diagonal:
        low, high = max(x.ticks[0][0], y.ticks[0][0]), min(x.ticks[-1][0], y.ticks[-1][0])
        ends = f"{_from_to('x', x.across(low), x.across(high))} {_from_to('y', y.down(low), y.down(high))}"
        drawn = f'<line {ends} {_INK} stroke-dasharray="4 4" stroke-opacity=".6"/>{drawn}'
    return _framed(x, y, drawn, title)


def as_file(title: str, legend: Sequence[Piece], blocks: Sequence[Chart], width: int = 640) -> str:
    """Return charts, each under its heading, as the text of one SVG file; the legend shows the titles of its pieces."""
    size = min(16.0, (width - 32) / (0.66 * max(1, len(title))))  # a bold letter is about two thirds as wide as high
    parts = [f'<text x="16" y="28" font-size="{size:.3g}" font-weight="600">{escape(title)}</text>']
    y, step = 76 if legend else 48, (width - 32) // max(1, len(legend))
    for i, piece in enumerate(legend):
        parts.append(f'<rect x="{16 + i * step}" y="43" width="12" height="12" {_fill(piece)}/>')
        parts.append(f'<text x="{34 + i * step}" y="54">{escape(piece.title)}</text>')
    for heading, chart in blocks:
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


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _from_to(axis: str, start: float, end: float) -> str:
    """Return the ends of a line: x in per cent, y in pixels."""
    return f'x1="{start:.2f}%" x2="{end:.2f}%"' if axis == "x" else f'y1="{start:.1f}" y2="{end:.1f}"'


def _rows(rows: Sequence[str], title: str, above: str = "") -> str:
    drawn = "".join(f'<g transform="translate(0 {i * _ROW})">{row}</g>' for i, row in enumerate(rows))
    size = f'width="100%" height="{len(rows) * _ROW}"'
    return f'<svg class="bars" {size} role="group" aria-label="{escape(title)}">{drawn}{above}</svg>'


def _row_name(name: str, style: str = "") -> str:
    if len(name) > _LONGEST:  # the ends of long names tell layers apart, so the middle goes
        name = f"{name[:7]}…{name[7 - _LONGEST + 1 :]}"
    place = f'x="{_NAMES - 1}%" y="{_ROW * 0.7:g}" text-anchor="end"'
    return f'<text {place}{style} fill="currentColor">{escape(name)}</text>'


def _stretch(start: float, end: float, style: str, title: str = "") -> str:
    """Return the bar of a row between two places, in per cent."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    place = f'x="{start:.2f}%" width="{end - start:.2f}%" y="{(_ROW - _BAR) / 2:g}" height="{_BAR}"'
    return f"<rect {place} {style}>{inner}</rect>"


def _across_row(start: float, end: float, width: str = "") -> str:
    return f'<line {_from_to("x", start, end)} y1="{_ROW / 2}" y2="{_ROW / 2}" {_INK}{width}/>'


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
    after = f'x="{x(bar.end):.2f}%" dx="6" y="{_ROW * 0.7:g}"'
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
        low, high = x(mean - _finite(spread)), x(mean + _finite(spread))
        band = f'x="{low:.2f}%" width="{high - low:.2f}%" y="2" height="{_ROW - 4}"'
        drawn.append(f'<rect {band} fill="currentColor" fill-opacity=".16"/>')
    if math.isfinite(row.value):
        ends = x(min(0.0, row.value)), x(max(0.0, row.value))
        drawn.append(_stretch(*ends, f'fill="{row.colour}"', row.title))
        if abs(row.value) > limit:
            arrow = 'dx="3">▸' if row.value > 0 else 'dx="-3" text-anchor="end">◂'
            drawn.append(f'<text x="{x(row.value):.2f}%" y="{_ROW * 0.7:g}" fill="currentColor" {arrow}</text>')
        elif math.isfinite(row.error):
            drawn.append(_across_row(x(row.value - row.error), x(row.value + row.error), ' stroke-width="1.5"'))
    if controlled:
        mark = f'{_INK} stroke-width="2" stroke-dasharray="2 2"'
        drawn.append(f'<line {_from_to("x", x(mean), x(mean))} y1="2" y2="{_ROW - 2}" {mark}/>')
    place = f'class="note" x="100%" y="{_ROW * 0.7:g}" text-anchor="end"'
    return f'{"".join(drawn)}<text {place} fill="currentColor">{escape(row.note)}</text>'


def _fill(piece: Piece) -> str:
    return f'fill="{piece.colour}"' + (f' fill-opacity=".25" stroke="{piece.colour}"' if piece.pale else "")


def _name_heights(points: Sequence[Point], x: Axis, y: Axis) -> list[float]:
    """Return the height of the name of each point: just above it, or lower where it would cover another."""
    placed: list[tuple[float, float, float]] = []
    heights = [0.0] * len(points)
    for i in sorted(range(len(points)), key=lambda i: y.down(points[i].y)):
        start, wide = x.across(points[i].x), len(points[i].name) * _LETTER
        start -= wide * (x.share(points[i].x) > _RIGHT)
        height = y.down(points[i].y) - 5
        for left, right, taken in placed:  # from the highest on
            if left < start + wide and start < right and abs(height - taken) < _APART:
                height = taken + _APART
        placed = sorted([*placed, (start, start + wide, height)], key=lambda name: name[2])
        heights[i] = height
    return heights


def _point(p: Point, x: Axis, y: Axis, name_height: float) -> str:
    """Return a point with its errors, a cross of lines, and its name on the side where there is room."""
    across, down, drawn = x.across(p.x), y.down(p.y), ""
    if math.isfinite(p.x_error):
        ends = _from_to("x", x.across(p.x - p.x_error), x.across(p.x + p.x_error))
        drawn += f"<line {ends} {_from_to('y', down, down)} {_INK}/>"
    if math.isfinite(p.y_error):
        ends = _from_to("y", y.down(p.y - p.y_error), y.down(p.y + p.y_error))
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
        at = y.down(value)
        ends = f"{_from_to('x', _LEFT, _LEFT + _SPAN)} {_from_to('y', at, at)}"
        parts.append(f'<line {ends} {_INK} stroke-opacity="{".6" if value == 0 else ".15"}"/>')
        parts.append(_text(_LEFT - 1, at + 4, text, "end"))
    for i, (value, text) in enumerate(x.ticks):
        odd = i % 2 == 1 and len(x.ticks) > _CROWDED
        parts.append(_text(x.across(value), bottom + 18, text, "middle", " odd" * odd))
        if value == 0 and i:
            at = x.across(0)
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
        upper = [_at(x, y, across, value + error) for across, value, error in run]
        lower = [_at(x, y, across, value - error) for across, value, error in reversed(run)]
        bands.append(f'<path d="M{"L".join(upper + lower)}Z" fill="{line.colour}" fill-opacity=".2"/>')
    return "".join(bands)


def _path(line: Line, x: Axis, y: Axis) -> str:
    way = "".join("M" + "L".join(_at(x, y, across, value) for across, value, _ in run) for run in line.runs())
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    style = f'fill="none" stroke="{line.colour}" stroke-width="2" vector-effect="non-scaling-stroke"{dash}'
    return f'<path d="{way}" {style}/>' if way else ""


def _line_names(lines: Sequence[Line], y: Axis) -> str:
    """Name each line at the right, at the height where it ends, pushed apart where names would touch."""
    ends = sorted((y.down(run[-1][1]), i) for i, line in enumerate(lines) for run in line.runs()[-1:])
    parts, last = [], -math.inf
    for down, i in ends:
        last = max(down + 4, last + _APART)
        side = 'x="100%" text-anchor="end"' if len(lines[i].name) > _FITS else f'x="{_LEFT + _SPAN + 1.2:.2f}%"'
        place = f'{side} y="{last:.1f}" fill="currentColor" font-weight="600"'
        parts.append(f'<text {place}><tspan fill="{lines[i].colour}">●</tspan> {escape(lines[i].name)}</text>')
    return "".join(parts)
