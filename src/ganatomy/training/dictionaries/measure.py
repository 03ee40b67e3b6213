"""A measure of several dictionaries, each number as found and as it is in every resample of the images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ganatomy.stats.jackknife import student
from ganatomy.training.dictionaries.spec import OWN, UNTRAINED

Drawn = npt.NDArray[np.float64]
"""[1 + draws]: a number as found, then in every resample."""
ROUNDING = 1e-9
"""Errors that are so small a part of a number are rounding."""
PAIRED = ("measure", "title", "autoencoder", "untrained", "difference", "error", "low", "high", "separates", "sentence")


class Row(NamedTuple):
    """A number of a dictionary, its standard error, and its 95 % interval; see `Measure` for the spread."""

    measure: str
    title: str
    dictionary: str
    value: float
    error: float
    low: float
    high: float
    spread: float


class Separation(NamedTuple):
    """The autoencoder against the untrained one: their difference, with its error and 95 % interval, and in words.

    Attributes:
        separates: whether the interval excludes 0.
        better: which of the two then does better; empty where it does not.
    """

    measure: str
    title: str
    autoencoder: float
    untrained: float
    difference: float
    error: float
    low: float
    high: float
    separates: bool
    better: str
    sentence: str


@dataclass(frozen=True, eq=False)
class Measure:
    """One number of every dictionary. Resamples take the same images of each, so differences have errors of their own.

    Attributes:
        name: of its rows.
        title: how it is called.
        help: what it is.
        values: by dictionary.
        freedom: degrees of freedom of the errors: blocks or images less one.
        share: whether it is shown in per cent.
        alike: whether it is made the same for all, and so separates nothing.
        low_is_good: whether less of it is better.
        spread: by dictionary, the standard deviation over random subsets of its features, where it is a mean of these.
    """

    name: str
    title: str
    help: str
    values: Mapping[str, Drawn]
    freedom: int
    share: bool = False
    alike: bool = False
    low_is_good: bool = False
    spread: Mapping[str, float] | None = None

    def rows(self) -> list[Row]:
        """Return a row for each dictionary."""
        spread = self.spread or {}
        return [
            Row(self.name, self.title, name, *interval(own, self.freedom), spread.get(name, np.nan))
            for name, own in self.values.items()
        ]

    def separation(self) -> Separation:
        """Return whether it separates the autoencoder from the untrained one."""
        one, other = self.values[OWN], self.values[UNTRAINED]
        drawn = min(len(one), len(other))
        found = interval(one[:drawn] - other[:drawn], self.freedom)
        value, _, low, high = found
        separates = bool(np.isfinite(low)) and not low <= 0 <= high
        better = (OWN if (value > 0) != self.low_is_good else UNTRAINED) if separates else ""
        wide = high - low > 2 * max(abs(float(one[0])), abs(float(other[0])))
        sentence = self._sentence(value, low, high, better, wide)
        return Separation(self.name, self.title, one[0], other[0], *found, separates, better, sentence)

    def _sentence(self, value: float, low: float, high: float, better: str, wide: bool) -> str:
        if not np.isfinite(low):
            return f"{self.title}: whether it separates the autoencoder from the untrained one cannot be said."
        unit, times = (" %", 100) if self.share else ("", 1)
        found, start, end = (f"{times * each:+.3g}".replace("-", "−") if each else "0" for each in (value, low, high))
        does = "does not separate the autoencoder from the untrained one"
        if better:
            name = {OWN: "autoencoder", UNTRAINED: "untrained one"}[better]
            does = f"separates the autoencoder from the untrained one, in favour of the {name}"
        more = " The error is as large as the values: more images may tell." if wide and not better else ""
        return f"{self.title}: {does} (difference {found}{unit}, 95 % interval {start} to {end}{unit}).{more}"


def interval(drawn: Drawn, freedom: int) -> tuple[float, float, float, float]:
    """Return value, standard error and both ends of the 95 % interval; NaN where nothing was resampled.

    >>> interval(np.array([1.0, 0.0, 2.0, 1.0]), 200)[1]
    1.0
    """
    value, rest = float(drawn[0]), drawn[1:][np.isfinite(drawn[1:])]
    if len(rest) < 2 or not np.isfinite(value):
        return value, np.nan, np.nan, np.nan
    error = float(rest.std(ddof=1))
    error = error if error > ROUNDING * abs(value) else 0.0
    half = student(freedom) * error
    return value, error, value - half, value + half


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Drawn:
    """Return quotients, NaN where there is nothing to divide by."""
    found: Drawn = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)
    return found


def measure_table(measures: list[Measure]) -> pd.DataFrame:
    """Return one row for each measure and dictionary."""
    return pd.DataFrame([row for each in measures for row in each.rows()], columns=list(Row._fields))


def separation_table(measures: list[Measure]) -> pd.DataFrame:
    """Return one row for each measure: does it separate the autoencoder from the untrained one?"""
    return pd.DataFrame([each.separation() for each in measures if not each.alike], columns=list(Separation._fields))
