"""A small writer of bar charts as SVG: text stays text, bars start at zero, lengths follow the width of the page.

Positions are percentages of the width, so one text serves a phone, a desk and a file; colours of text and lines come
from ``currentColor``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW, _BAR = 21, 13
_LEFT, _SPAN = 27.0, 52.0
"""Per cent of the width: where bars start, and how long the longest is; the rest is for the note."""
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


def as_file(title: str, legend: Sequence[Piece], blocks: Sequence[tuple[str, str]], width: int = 640) -> str:
    """Return charts, each under its heading, as the text of one SVG file; the legend shows the titles of its pieces."""
    y, parts = 76, [f'<text x="16" y="28" font-size="16" font-weight="600">{escape(title)}</text>']
    step = (width - 32) // max(1, len(legend))
    for i, piece in enumerate(legend):
        parts.append(f'<rect x="{16 + i * step}" y="43" width="12" height="12" {_fill(piece)}/>')
        parts.append(f'<text x="{34 + i * step}" y="54">{escape(piece.title)}</text>')
    for heading, chart in blocks:
        parts.append(f'<text x="16" y="{y + 12}" font-weight="600">{escape(heading)}</text>')
        parts.append(chart.replace('<svg class="bars" width="100%"', f'<svg x="16" y="{y + 22}" width="{width - 32}"'))
        y += 22 + chart.count("<g transform") * _ROW + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
        f'fill="currentColor" style="{_FILE_STYLE}"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _row(bar: Bar, scale: float) -> str:
    top = (_ROW - _BAR) / 2
    place = f'x="{_LEFT - 1}%" y="{_ROW * 0.7:g}" text-anchor="end"'
    label = f'<text {place} fill="currentColor">{escape(_shortened(bar.name))}</text>'
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
