"""What a person sees of a causal study when it is done: the one or two tables that answer the question."""

from typing import Any

import pandas as pd
from rich.console import Console

from ganatomy.cli.terminal import say, table, warn
from ganatomy.report.causal.section import NO_EFFECT, change_text, compared_text
from ganatomy.report.tables import rows
from ganatomy.stats.paired import holds_zero

LINES = 12


def show(result: Any) -> None:
    """Print what is to be said of any causal result, and its tables."""
    warn(result)
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for name, told in result.said.items():
        for line in told if isinstance(told, list) else [told]:
            say(f"{name}: {line}")
    for shown in _TABLES[type(result).__name__](result):
        console.print(table(shown))


def _effect(result: Any) -> list[pd.DataFrame]:
    """What changed most, by where it was read; shares of the pixels in percent."""
    found = pd.concat([own.head(LINES) for _, own in result.table.groupby("read", sort=False)])
    columns = {
        "concept": found.concept,
        "read": found["read"],
        "before %": _percent(found.before),
        "change": _effects(found.change, found.change_error),
        "relative %": _effects(found.relative, found.relative_error),
        "random units": _percent(found.random_change, found.random_spread),
    }
    return [pd.DataFrame(columns)]


def _unit_effects(result: Any) -> list[pd.DataFrame]:
    """For each concept the unit without which most of it is gone, and how well the estimate ranks the units."""
    found = result.table.loc[result.table.groupby(["concept", "category"], sort=False).change.idxmin()]
    found = found.merge(result.agreement, on=["concept", "category"]).sort_values("change").head(LINES)
    columns = {
        "concept": found.concept,
        "unit": found.unit,
        "before %": _percent(found.before),
        "change": _effects(found.change, found.change_error),
        "relative %": _effects(found.relative, found.relative_error),
        "clear": found.clear,
        "spearman": found.spearman,
    }
    labels = {
        "label": result.labels.rule,
        "units": result.labels.labelled,
        "scored": result.labels.scored,
        "own concept shrinks %": _percent(result.labels.shrinks, result.labels.shrinks_error),
        "in the top tenth %": _percent(result.labels.top_tenth, result.labels.top_tenth_error),
    }
    return [pd.DataFrame(columns), pd.DataFrame(labels)]


def _ace(result: Any) -> list[pd.DataFrame]:
    """The two terms at the size that was kept, and what is left of the concept as more units go."""
    kept = result.effects[result.effects.n == result.spec.top]
    called = {"ace": "ACE" if result.updates else "start", "iou": "IoU"}
    none = (kept.term != "ace").astype(float)  # either term alone is 1 without any edit
    terms = {
        "by": kept["by"].replace(called),
        "n": kept.n,
        "term": kept.term,
        "% of what there is": _effects(kept.normalised, kept.normalised_error, none),
        "spread": _percent(kept.spread),
        "% of the pixels": _percent(kept.value, kept.error),
    }
    sizes = sorted(set(result.curve.n))
    if len(sizes) > LINES:
        sizes = [n for n in sizes if n in (1, 2, 5, 10, 20, 30)]
    curve = result.curve[result.curve.n.isin(sizes)]
    curve = curve.assign(change=_effects(curve.relative, curve.error))
    curve = curve.pivot_table("change", "n", "by", aggfunc="first")
    names = {name: f"{called.get(name, name)}: change %" for name in curve.columns}
    return [pd.DataFrame(terms), curve.reset_index().rename(columns=names)]


def _context(result: Any) -> list[pd.DataFrame]:
    """The effect by what was under the place, and the verdict of the grammar."""
    under = result.under.head(LINES)
    effects = {
        "object": under.object,
        "places": under.places,
        "images": under.images,
        "effect %": _effects(under.effect, under.effect_error),
        "responsive %": _percent(under.responsive),
        "allowed": under.allowed,
    }
    verdict = result.verdict
    if verdict.allowed.isna().all() and verdict.forbidden.isna().all():
        return [pd.DataFrame(effects)]  # nobody knows where it may be
    columns = {
        "by": verdict["by"],
        "allowed %": _effects(verdict.allowed, verdict.allowed_error),
        "forbidden %": _effects(verdict.forbidden, verdict.forbidden_error),
        "compared": [compared_text(row) for row in rows(verdict)],
    }
    return [pd.DataFrame(effects), pd.DataFrame(columns)]


def _capacity(result: Any) -> list[pd.DataFrame]:
    """The setting that was picked, and all that was tried at the same layer, place and multiple of k."""
    table = result.table.sort_values("picked", ascending=False, kind="stable")
    best = table.iloc[0]
    same = (table.layer == best.layer) & (table.cell == best.cell)
    found = table[same & (table.multiple.isna() | (table.multiple == best.multiple))]
    columns = {
        f"{best.layer}, {best.cell} × {best.cell}, {best.multiple:g} k": found["by"],
        "units": found.units,
        "places": found.places,
        "appears %": _percent(found.appears, found.appears_error),
        "gain %": _effects(found.gain, found.gain_error),
    }
    return [pd.DataFrame(columns)]


def _best_setting(result: Any) -> list[pd.DataFrame]:
    """Every setting on the images that chose, and the picked one on the others."""
    table, measured = result.table, result.measured
    tried = {
        "units": table.by,
        "constant": [f"{m:g} {c}" for m, c in zip(table.multiple, table.constant, strict=True)],
        "likely %": _percent(table.likely),
        "unlikely %": _percent(table.unlikely),
        "picked": ["←" if own else "" for own in table.picked],
    }
    best = {
        "measured": measured.setting,
        "likely %": _percent(measured.likely, measured.likely_error),
        "places": measured.likely_places,
        "unlikely %": _percent(measured.unlikely, measured.unlikely_error),
        "of places": measured.unlikely_places,
    }
    return [pd.DataFrame(tried), pd.DataFrame(best)]


def _trace(result: Any) -> list[pd.DataFrame]:
    """The change of every later layer, where the edit was to be seen and where not."""
    return [result.lines[["layer", "visible", "change", "error", "places"]]]


def _accuracy(result: Any) -> list[pd.DataFrame]:
    """All classes together, then those that lost most."""
    tables = []
    for name, found in (("measure", result.overall), ("class", result.classes.head(LINES))):
        columns = {
            name: found[name],
            "before %": _percent(found.before),
            "after %": _percent(found.after),
            "change": _effects(found.change, found.change_error),
            "random units": _percent(found.random_change, found.random_spread),
        }
        tables.append(pd.DataFrame(columns))
    return tables


def _unit_accuracy(result: Any) -> list[pd.DataFrame]:
    """For each class the unit that it needs most, and how well it is told without its best units, on other images."""
    best = result.table[result.table["rank"] == 1].sort_values("told").head(LINES)
    curve = result.curve.set_index(["by", "n", "class"]).balanced
    most = result.curve[result.curve["by"] == "top"].n.max()
    columns = {"class": best["class"], "unit": best.unit, "without it": _effects(best.told, best.told_error)}
    for title, by, n in (("told %", "top", 0), (f"without {most}", "top", most), (f"{most} random", "random", most)):
        columns[title] = _percent(best["class"].map(lambda name, key=(by, n): curve.get((*key, name))))
    return [pd.DataFrame(columns)]


def _artifacts(result: Any) -> list[pd.DataFrame]:
    """The worst units, and what to compare them with."""
    columns = ["unit", "label", "iou", "fid", "means", "covariances", "excess", "flagged"]
    units = result.table[[name for name in columns if name in result.table]].head(LINES)
    spread = float(result.samples.spread.iloc[0])
    excess = [change_text(each, spread) for each in units.excess]
    tables = [units.assign(label=units.label.fillna("–"), excess=excess), result.samples]
    if result.curve is not None:
        tables.append(result.curve.head(LINES)[["n", "unit", "precision", "recall"]])
    if result.threshold is None:
        return [*tables, result.choices]
    counts, left_out = result.concepts, result.left_out[["unit", "label", "fid"]]
    both = counts[["concept", "category"]].assign(
        **{
            name: counts[name].astype(str) + " → " + counts[f"realistic_{name}"].astype(str)
            for name in ("matched", "interpretable")
        }
    )
    left_out = left_out.assign(label=left_out.label.fillna("–")).rename(columns={"unit": "left out: unit"})
    return [*tables, both, left_out]


def _quality(result: Any) -> list[pd.DataFrame]:
    """Every distance."""
    return [result.table]


def _repair(result: Any) -> list[pd.DataFrame]:
    """Every distance, and the textures."""
    tables = []
    for found, name, number in ((result.table, "sample", "fid"), (result.textures, "height", "swd")):
        columns = {
            name: found[name],
            "off": found["set"],
            number: _numbers(found[number], found.error),
            "change": [change_text(*own) for own in zip(found.change, found.change_error, strict=True)],
            "spread": found.spread,
        }
        tables.append(pd.DataFrame(columns))
    return tables if len(result.textures) else tables[:1]


_TABLES = {
    "Repair": _repair,
    "Quality": _quality,
    "Artifacts": _artifacts,
    "Accuracy": _accuracy,
    "UnitAccuracy": _unit_accuracy,
    "Effect": _effect,
    "UnitEffects": _unit_effects,
    "Ace": _ace,
    "Capacity": _capacity,
    "BestSetting": _best_setting,
    "Context": _context,
    "Trace": _trace,
}


def _numbers(values: "pd.Series[float]", errors: "pd.Series[float]") -> list[str]:
    """Return numbers and their errors."""
    return [
        "–" if pd.isna(value) else f"{value:.3f} ± {error:.3f}" for value, error in zip(values, errors, strict=True)
    ]


def _effects(
    values: "pd.Series[float]", errors: "pd.Series[float]", none: "pd.Series[float] | None" = None
) -> list[str]:
    """Return effects in percent with their errors; in words where the interval holds `none`, what no effect leaves."""
    given = zip(_percent(values, errors), values - (0.0 if none is None else none), errors, strict=True)
    return [f"{NO_EFFECT} ({text.strip()})" if holds_zero(value, error) else text for text, value, error in given]


def _percent(values: "pd.Series[float]", errors: "pd.Series[float] | None" = None) -> list[str]:
    """Return shares in percent, set so that their points stand in a column; with errors, if there are any."""
    told = [""] * len(values) if errors is None else [f" ± {100 * error:.2f}" for error in errors]
    texts = [f"{100 * value:7.2f}{error}" for value, error in zip(values, told, strict=True)]
    return ["–" if pd.isna(value) else text.removesuffix(" ± nan") for value, text in zip(values, texts, strict=True)]
