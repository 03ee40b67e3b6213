"""What a chart shows: bars, changes, lines or points. `svg` draws it on a page, `plot` with matplotlib.

Bars start at zero; every value may have its error and its control.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ganatomy.report.formats import percent


def finite(value: float) -> float:
    """Return a number, 0 where there is none."""
    return value if math.isfinite(value) else 0.0


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
        return [mean + step for mean, e in around if math.isfinite(mean) for step in (-finite(e), finite(e))]


@dataclass(frozen=True)
class Axis:
    """What is measured, and the marks on it: (value, text), ascending; it reaches from the first to the last."""

    name: str
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def within(self, value: float) -> float:
        """Return a value, or the end of the axis that lies beyond: a band of a count does not reach below 0.

        >>> Axis("units", [(0.0, "0"), (10.0, "10")]).within(-2.5)
        0.0
        """
        return min(max(value, self.ticks[0][0]), self.ticks[-1][0])

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
                found[-1].append((x, y, finite(error)))
            elif found[-1]:
                found.append([])
        return [run for run in found if run]

    def reach(self) -> list[float]:
        """Return all that has to be on the chart."""
        return [y + step for run in self.runs() for _, y, error in run for step in (-error, error)]


@dataclass(frozen=True)
class Point:
    """A point of a scatter plot; `title` is its tooltip, `name` is written next to it."""

    x: float
    y: float
    colour: str
    title: str
    x_error: float = math.nan
    y_error: float = math.nan
    name: str = ""


@dataclass(frozen=True)
class BarChart:
    """Rows of horizontal bars.

    Attributes:
        rows: from top to bottom.
        title: what a screen reader says of the whole.
        scale: the value at the right end; the longest bar where it is 0.
        legend: what colours stand for, by name.
    """

    rows: Sequence[Bar]
    title: str
    scale: float = 0
    legend: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ChangeChart:
    """Rows of bars to either side of zero.

    Attributes:
        rows: from top to bottom.
        title: what a screen reader says of the whole.
        limit: what goes further than that, either way, is cut there and ends in an arrow.
        control: what the controls of the rows are.
        form: makes the text of a value.
        span: the ends of the axis, where several charts share them; those of the rows where not given.
    """

    rows: Sequence[Change]
    title: str
    limit: float = math.inf
    control: str = ""
    form: Callable[[float], str] = percent
    span: tuple[float, float] | None = None

    def cut(self, value: float) -> float:
        """Return a value, or the limit that it exceeds."""
        return max(-self.limit, min(self.limit, value))

    def ends(self) -> tuple[float, float]:
        """Return the least and the greatest value that it shows; zero is always between them."""
        ends = [0.0, *(self.span or ()), *(self.cut(end) for row in self.rows for end in row.ends)]
        low, high = min(ends), max(ends)
        return low, high if high > low else low + 1


@dataclass(frozen=True)
class LineChart:
    """Lines, each named, between two axes; `title` is what a screen reader says of the whole."""

    lines: Sequence[Line]
    x: Axis
    y: Axis
    title: str


@dataclass(frozen=True)
class ScatterChart:
    """Points between two axes; with a line where x and y are equal, if `diagonal`; `legend` as of `BarChart`."""

    points: Sequence[Point]
    x: Axis
    y: Axis
    title: str
    diagonal: bool = False
    legend: Mapping[str, str] = field(default_factory=dict)


Drawing = BarChart | ChangeChart | LineChart | ScatterChart
Chart = tuple[str, Drawing]
"""A heading and what stands under it."""
