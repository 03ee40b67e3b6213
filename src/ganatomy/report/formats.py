"""Numbers as text: as many digits as their errors leave meaning, – where there is none."""

import math
from typing import Any

from ganatomy.stats.paired import holds_zero

NO_EFFECT = "no effect"


def number(value: float, digits: int = 3) -> str:
    """Return a number without exponent.

    >>> number(-0.031581), number(721.4, 2), number(float("nan"))
    ('−0.0316', '720', '–')
    """
    return f"{float(f'{value:.{digits}g}'):.10g}".replace("-", "−") if math.isfinite(value) else "–"


def percent(value: float, digits: int = 3) -> str:
    """Return a share in per cent.

    >>> percent(0.03215), percent(0.5), percent(float("nan"))
    ('3.21 %', '50 %', '–')
    """
    return f"{number(100 * value, digits)} %" if math.isfinite(value) else "–"


def with_error(value: float, error: float = math.nan, sign: bool = False) -> str:
    """Return a number with its standard error to two digits, or to three digits without one that can be seen.

    >>> with_error(0.0699, 0.0026), with_error(-14.1259, 0.4919, sign=True), with_error(412.3, 31), with_error(0.5, 0)
    ('0.0699 ± 0.0026', '−14.13 ± 0.49', '412 ± 31', '0.5')
    >>> with_error(15.99976, 0.00027)
    '16'
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > abs(value) / 10_000):
        return f"{'+' if sign and value > 0 else ''}{number(value)}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:{'+' * sign}.{digits}f} ± {error:.{digits}f}".replace("-", "−")


def percent_with_error(value: float, error: float = math.nan, sign: bool = False) -> str:
    """Return a share in per cent with its standard error.

    >>> percent_with_error(-0.7432, 0.021), percent_with_error(0.00123, 0.00045, sign=True), percent_with_error(0.25)
    ('−74 ± 2 %', '+0.12 ± 0.04 %', '25 %')
    """
    if not math.isfinite(value):
        return "–"
    known = math.isfinite(error)
    finest = 100 * (error if known and error > 0 else abs(value) / 10)
    digits = max(0, min(3, math.ceil(-math.log10(finest) + 0.3))) if finest > 0 else 0
    text = f"{100 * value:{'+' * sign}.{digits}f}"
    text = text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")
    return f"{text} ± {100 * error:.{digits}f} %" if known else f"{text} %"


def effect_text(value: float, error: float = math.nan, none: float = 0.0, *, brief: bool = False, of: str = "") -> str:
    """Return an effect with its standard error; in words where its interval holds `none`, the value of no effect.

    Args:
        value, error: of a share.
        none: what the value is without any effect: 0 of a change, 1 of what is left.
        brief: leave the number out where there is no effect, as on a chart that draws it.
        of: what the share is of, to be written after it.

    >>> effect_text(-0.7432, 0.021), effect_text(0.03, 0.02), effect_text(0.03, 0.02, brief=True)
    ('−74 ± 2 %', 'no effect (+3 ± 2 %)', 'no effect')
    >>> effect_text(0.98, 0.02, 1), effect_text(0.42, 0.02, 1)
    ('no effect (98 ± 2 %)', '42 ± 2 %')
    """
    text = percent_with_error(value, error, sign=not none) + of
    if not holds_zero(value - none, error):
        return text
    return NO_EFFECT if brief else f"{NO_EFFECT} ({text})"


def change_text(value: float, error: float = math.nan) -> str:
    """Return the change of a number that is not a share, with its standard error, in words where there is none.

    >>> change_text(-14.1259, 0.4919), change_text(0.1, 0.2)
    ('−14.13 ± 0.49', 'no effect (+0.10 ± 0.20)')
    """
    text = with_error(value, error, sign=True)
    return f"{NO_EFFECT} ({text})" if holds_zero(value, error) else text


def ratio_text(ratio: float, low: float, high: float) -> str:
    """Return how many times as much one effect is as another, with its 95 % interval; – where that is unknown.

    >>> ratio_text(4.0, 2.5, 7.25), ratio_text(0.2, -0.4, 0.9), ratio_text(9, 2, float("inf"))
    ('4 times as much (95 %: 2.5 to 7.2)', '–', '9 times as much (95 %: at least 2)')
    """
    if not (math.isfinite(ratio) and low > 0):  # below zero it would be a multiple of the opposite effect
        return "–"
    ends = f"{number(low, 2)} to {number(high, 2)}" if math.isfinite(high) else f"at least {number(low, 2)}"
    return f"{number(ratio, 2)} times as much (95 %: {ends})"


def compared_text(row: Any, prefix: str = "") -> str:
    """Return how one effect compares with another: the ratio with its interval, or the difference where it has none.

    >>> from types import SimpleNamespace as Row
    >>> none = dict.fromkeys(("ratio", "low", "high"), float("nan"))
    >>> compared_text(Row(**none, difference=0.3, difference_low=0.2, difference_high=0.4))
    'a difference of 30 % (95 %: 20 % to 40 %)'
    >>> compared_text(Row(**none, difference=0.01, difference_low=-0.2, difference_high=0.2))
    'no difference (1 %; 95 %: −20 % to 20 %)'
    """
    ratio = ratio_text(*(getattr(row, prefix + name) for name in ("ratio", "low", "high")))
    if ratio != "–":
        return ratio
    names = ("difference", "difference_low", "difference_high")
    value, low, high = (getattr(row, prefix + name) for name in names)
    if not math.isfinite(value):
        return "–"
    ends = f"95 %: {percent(low, 2)} to {percent(high, 2)}"
    if low <= 0 <= high:
        return f"no difference ({percent(value, 2)}; {ends})"
    return f"a difference of {percent(value, 2)} ({ends})"


def count(number: int, noun: str) -> str:
    """Return a number of things.

    >>> count(1, "unit"), count(1200, "unit")
    ('1 unit', '1,200 units')
    """
    return f"{number:,} {noun}" + "s" * (number != 1)


def sentence(text: str) -> str:
    """Return a text as a sentence: the first letter large, a full stop at the end.

    >>> sentence("top 20 for tree by ace")
    'Top 20 for tree by ace.'
    """
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def chance_text(rate: float, units: int) -> str:
    """Say how many of so many units would match a concept by chance, at this rate.

    >>> chance_text(0.002, 960), chance_text(0.0, 128)
    ('by chance 2 would', 'by chance none would')
    """
    return f"by chance {round(rate * units) or 'none'} would"
