"""A small writer of line charts and scatter plots as SVG, in the way of `svg.py`: text stays text, errors are bands.

Across, positions are percentages of the width, so one text serves a phone, a desk and a file; down, they are pixels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_LEFT, _SPAN = 11.0, 71.0
"""Per cent of the width: where the plot starts and how wide it is; what is left names the lines."""
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
    """Return an axis on which things stand side by side, at 0, 1, …"""
    marks = [(float(i), each) for i, each in enumerate(names)]
    return Axis(name, marks if len(marks) > 1 else [*marks, (1.0, "")])


@dataclass(frozen=True)
class Line:
    """One line: points with an error each (a band; NaN where there is none), gaps where y is NaN."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float]
    colour: str
    dash: str = ""

    def runs(self) -> list[list[tuple[float, float, float]]]:
        """Return its unbroken stretches of (x, y, error); no error counts as 0."""
        found: list[list[tuple[float, float, float]]] = [[]]
        for x, y, error in zip(self.x, self.y, self.error, strict=True):
            if math.isfinite(y):
                found[-1].append((x, y, error if math.isfinite(error) else 0.0))
            elif found[-1]:
                found.append([])
        return [run for run in found if run]

    def reach(self) -> list[float]:
        """Return all that has to be on the chart."""
        return [y + step for run in self.runs() for _, y, error in run for step in (-error, error)]


@dataclass(frozen=True)
class Point:
    """One point of a scatter plot; `title` is what it says when asked, `name` is written beside it."""

    x: float
    y: float
    colour: str
    title: str
    x_error: float = math.nan
    y_error: float = math.nan
    name: str = ""


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, title: str) -> str:
    """Return lines, each named at the right, as an SVG element as wide as its container."""
    plot = f'x="{_LEFT}%" y="{_TOP}" width="{_SPAN}%" height="{_TALL}" viewBox="0 0 1000 1000"'
    drawn = "".join(_band(line, x, y) for line in lines) + "".join(_path(line, x, y) for line in lines)
    nested = f'<svg {plot} preserveAspectRatio="none" overflow="visible">{drawn}</svg>'
    dots = "".join(_dots(line, x, y) for line in lines)
    return _framed(x, y, nested + dots + _names(lines, y), title)


def scatter_chart(points: Sequence[Point], x: Axis, y: Axis, title: str, diagonal: bool = False) -> str:
    """Return points as an SVG element as wide as its container; with a line where x and y are equal, if asked."""
    shown = [p for p in points if math.isfinite(p.x) and math.isfinite(p.y)]
    drawn = "".join(_point(p, x, y, height) for p, height in zip(shown, _name_heights(shown, x, y), strict=True))
    return _framed(x, y, (_equality(x, y) if diagonal else "") + drawn, title)


def _name_heights(points: Sequence[Point], x: Axis, y: Axis) -> list[float]:
    """Return the height of the name of each point: just above it, or lower where it would cover another."""
    placed: list[tuple[float, float, float]] = []
    heights = [0.0] * len(points)
    for i in sorted(range(len(points)), key=lambda i: _down(points[i].y, y)):
        start, wide = _across(points[i].x, x), len(points[i].name) * _LETTER
        start -= wide * _before(points[i], x)
        height = _down(points[i].y, y) - 5
        for left, right, taken in placed:  # from the highest on
            if left < start + wide and start < right and abs(height - taken) < _APART:
                height = taken + _APART
        placed = sorted([*placed, (start, start + wide, height)], key=lambda name: name[2])
        heights[i] = height
    return heights


def _before(p: Point, x: Axis) -> bool:
    """Say whether the name of a point stands before it, as there is no room behind."""
    return x.share(p.x) > _RIGHT


def _point(p: Point, x: Axis, y: Axis, name_height: float) -> str:
    """Return a point with its errors, a cross of lines, and its name on the side where there is room."""
    across, down = _across(p.x, x), _down(p.y, y)
    ends = []
    if math.isfinite(p.x_error):
        low, high = (_across(p.x + step, x) for step in (-p.x_error, p.x_error))
        ends.append(f'x1="{low:.2f}%" x2="{high:.2f}%" y1="{down:.1f}" y2="{down:.1f}"')
    if math.isfinite(p.y_error):
        low, high = (_down(p.y + step, y) for step in (-p.y_error, p.y_error))
        ends.append(f'x1="{across:.2f}%" x2="{across:.2f}%" y1="{low:.1f}" y2="{high:.1f}"')
    drawn = "".join(f'<line {each} stroke="currentColor"/>' for each in ends)
    if p.name:
        side = 'dx="-7" text-anchor="end"' if _before(p, x) else 'dx="7"'
        place = f'x="{across:.2f}%" y="{name_height:.1f}" {side} fill="currentColor"'
        drawn += f"<text {place}>{escape(p.name)}</text>"
    return (
        f'{drawn}<circle cx="{across:.2f}%" cy="{down:.1f}" r="3" fill="{p.colour}" fill-opacity=".75">'
        f"<title>{escape(p.title)}</title></circle>"
    )


def _equality(x: Axis, y: Axis) -> str:
    low = max(axis.ticks[0][0] for axis in (x, y))
    high = min(axis.ticks[-1][0] for axis in (x, y))
    ends = (
        f'x1="{_across(low, x):.2f}%" y1="{_down(low, y):.1f}" x2="{_across(high, x):.2f}%" y2="{_down(high, y):.1f}"'
    )
    return f'<line {ends} stroke="currentColor" stroke-dasharray="4 4" stroke-opacity=".6"/>'


def _across(value: float, axis: Axis) -> float:
    return _LEFT + _SPAN * axis.share(value)


def _down(value: float, axis: Axis) -> float:
    return _TOP + _TALL * (1 - axis.share(value))


def _framed(x: Axis, y: Axis, inner: str, title: str) -> str:
    """Put axes around a drawing."""
    bottom, right = _TOP + _TALL, _LEFT + _SPAN
    parts = [f'<text class="note" x="0" y="12" fill="currentColor">{escape(y.name)}</text>']
    for value, text in y.ticks:
        at = _down(value, y)
        strength = ".6" if value == 0 else ".15"
        ends = f'x1="{_LEFT}%" x2="{right}%" y1="{at:.1f}" y2="{at:.1f}"'
        parts.append(f'<line {ends} stroke="currentColor" stroke-opacity="{strength}"/>')
        parts.append(_text(_LEFT - 1, at + 4, text, "end"))
    for i, (value, text) in enumerate(x.ticks):
        odd = i % 2 == 1 and len(x.ticks) > _CROWDED
        parts.append(_text(_across(value, x), bottom + 18, text, "middle", " odd" * odd))
        if value == 0 and i:
            ends = f'x1="{_across(0, x):.2f}%" x2="{_across(0, x):.2f}%" y1="{_TOP}" y2="{bottom}"'
            parts.append(f'<line {ends} stroke="currentColor" stroke-opacity=".6"/>')
    parts.append(_text(_LEFT + _SPAN / 2, bottom + 38, x.name, "middle"))
    size = f'width="100%" height="{_HEIGHT}"'
    return f'<svg class="lines" {size} role="img" aria-label="{escape(title)}">{"".join(parts)}{inner}</svg>'


def _text(across: float, down: float, text: str, anchor: str, kind: str = "") -> str:
    place = f'x="{across:.2f}%" y="{down:.1f}" text-anchor="{anchor}"'
    return f'<text class="note{kind}" {place} fill="currentColor">{escape(text)}</text>'


def _at(x: Axis, y: Axis, across: float, value: float) -> str:
    """Return a point in the thousandths of the plot."""
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


def _dots(line: Line, x: Axis, y: Axis) -> str:
    return "".join(
        f'<circle cx="{_across(across, x):.2f}%" cy="{_down(value, y):.1f}" r="2.5" fill="{line.colour}">'
        f"<title>{escape(line.name)}, {x.name} {across:g}: {value:.3g} ± {error:.2g}</title></circle>"
        for run in line.runs()
        for across, value, error in run
    )


def _names(lines: Sequence[Line], y: Axis) -> str:
    """Name each line at the right, at the height where it ends, pushed apart where names would touch."""
    ends = sorted(((_down(run[-1][1], y), i) for i, line in enumerate(lines) for run in line.runs()[-1:]))
    parts, last = [], -math.inf
    for down, i in ends:
        last = max(down + 4, last + _APART)
        wide = len(lines[i].name) > _FITS
        side = 'x="100%" text-anchor="end"' if wide else f'x="{_LEFT + _SPAN + 1.2:.2f}%"'
        place = f'{side} y="{last:.1f}" fill="currentColor" font-weight="600"'
        parts.append(f'<text {place}><tspan fill="{lines[i].colour}">●</tspan> {escape(lines[i].name)}</text>')
    return "".join(parts)
