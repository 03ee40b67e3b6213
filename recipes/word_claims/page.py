"""The tables as Markdown, a part for each question, so that the guide includes them and no number is typed by hand."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from causal_claims.page import markdown, measured

from ganatomy.report.formats import count, number, percent_with_error, with_error
from ganatomy.report.tables import rows
from word_claims.measure import Bench, Findings

NAME = "claims-text-to-image-tables.md"
HEAD = """---
orphan: true
---
<!-- Written by recipes/words_claims.py. Do not edit: run it again. -->
# What the claims about the text-to-image model rest on: all tables
"""
BASES = {"units": "units", "rotation": "a random rotation", "pca": "principal directions"}


def parts(bench: Bench, found: Findings) -> dict[str, str]:
    """Return the text of every part of the page; none for what was not measured."""
    made = {name: own(bench, found) if table in found.tables else "" for name, (table, own) in MADE.items()}
    seconds = markdown(("part", "processor seconds"), [(name, number(s)) for name, s in bench.seconds.items()])
    return {"facts": _facts(bench, found), **made, "cost": seconds}


def _facts(bench: Bench, found: Findings) -> str:
    own, plan = bench.source.dissection, bench.plan
    placed = f"; insertions: {plan.placed} images, constants from {plan.pool}" if found.contexts else ""
    return (
        f"`{own.spec.generator}` (fingerprint `{own.facts['inputs']['generator'][:12]}`), read by "
        f"`{own.spec.segmenter}` (`{own.facts['inputs']['segmenter'][:12]}`), {bench.last} steps. "
        f"Units and concepts are as dissected at {plan.block}, steps {', '.join(map(str, plan.dissected_at))}, with "
        f"{own.spec.images} + {own.spec.images} images. Swapped prompts: {plan.swapped} images a pair; other noise: "
        f"{plan.renoised}; each unit alone: {plan.each}; sets of units: {plan.ablated}, beside "
        f"{count(plan.random, 'random set')}{placed}."
    )


def _words(bench: Bench, found: Findings) -> str:
    table = found.tables["swap"]
    prompts = {concept: (mentioned, denied) for concept, mentioned, denied in bench.plan.words}
    lines = [
        (f"{concept}: *{prompts[str(concept)][0]}*, then *{prompts[str(concept)][1]}*",
         *(_obeys(row) for row in rows(own)))
        for concept, own in table.groupby("concept", sort=False)
    ]  # fmt: skip
    shares = [
        (str(concept), *(percent_with_error(row.share, row.error) for row in rows(own) if row.steps in (0, bench.last)))
        for concept, own in table.groupby("concept", sort=False)
    ]
    return "\n\n".join(
        [
            markdown(("steps with the first prompt", *map(str, range(bench.last + 1))), lines),
            "0 % and 100 % are these shares of the pixels:",
            markdown(("concept", "denied throughout", "said throughout"), shares),
        ]
    )


def _obeys(row: Any) -> str:
    return "–" if row.obeys != row.obeys else f"{100 * row.obeys:.0f} ± {100 * row.obeys_error:.0f} %"


def _layout(bench: Bench, found: Findings) -> str:
    table = found.tables["noise"]
    columns = ("concept", *map(str, range(1, bench.last)), "another image")

    def lines(name: str) -> list[tuple[str, ...]]:
        return [
            (str(concept), *(with_error(getattr(row, name), getattr(row, f"{name}_error")) for row in rows(own)),
             with_error(own.chance.iloc[0], own.chance_error.iloc[0]))
            for concept, own in table.groupby("concept", sort=False)
        ]  # fmt: skip

    return "\n\n".join(
        ["**Other noise after step**", markdown(columns, lines("kept")),
         "**The estimate after step**", markdown(columns, lines("estimate"))]
    )  # fmt: skip


def _windows(bench: Bench, found: Findings) -> str:
    table = found.tables["windows"]
    names = [f"{first}..{last}" for first, last in bench.plan.windows]

    def line(concept: str, by: str, own: pd.DataFrame, cell: Callable[[Any], str]) -> tuple[str, ...]:
        return (concept, by, *(cell(row) for row in rows(own)))

    lines = []
    for concept, own in table.groupby("concept", sort=False):
        for by, each in own.groupby("by", sort=False):
            lines.append(line(str(concept), f"by {by}", each, _relative))
        lines.append(line(str(concept), "random", each, lambda row: measured(row.random, row.random_spread)))
    return markdown(("concept", f"{bench.plan.top} units", *(f"steps {name}" for name in names)), lines)


def _relative(row: Any) -> str:
    """Return a relative change; in bold where it stands clear of no change and of the random sets."""
    text = measured(row.relative, row.error)
    clear = abs(row.relative) > 2 * row.error and abs(row.relative - row.random) > 2 * row.random_spread
    return f"**{text}**" if clear else text


def _beside(row: Any) -> str:
    return f"{_relative(row)} (random {measured(row.random, row.random_spread)})"


def _labels(_: Bench, found: Findings) -> str:
    table = found.tables["labels"]
    lines = [
        (row.layer, row.rule, number(row.labelled), number(row.scored), measured(row.shrinks, row.shrinks_error, False),
         measured(row.top_tenth, row.top_tenth_error, False), measured(row.relative))
        for row in rows(table)
    ]  # fmt: skip
    columns = ("dissected at", "label", "labelled", "scored", "shrinks its concept", "among the tenth", "mean change")
    return markdown(columns, lines)


def _inserted(bench: Bench, found: Findings) -> str:
    lines = []
    for context in found.contexts:
        for row in rows(context.verdict):
            by = f"all {bench.units} units" if row.by == "units" else "as without it"
            lines.append((context.spec.concept, by, *_side(row, "allowed"), *_side(row, "forbidden")))
    columns = ("inserted", "at every step", "allowed places", "appears", "forbidden places", "appears")
    return markdown(columns, lines)


def _side(row: Any, side: str) -> tuple[str, str]:
    share, error = (getattr(row, f"{side}_appears{end}") for end in ("", "_error"))
    return number(getattr(row, f"{side}_places")), measured(share, error, False)


def _basis(bench: Bench, found: Findings) -> str:
    matched = [
        (BASES[row.basis], row.layer, f"{row.matched} of {row.directions}", number(row.concepts), number(row.iou))
        for row in rows(found.tables["matched"])
    ]
    table, lines = found.tables["basis"], []
    for concept in bench.plan.concepts:
        own = table[table.concept == concept].set_index("basis")
        cells = [_beside(row) for row in rows(own.loc[list(BASES)])]
        lines.append((concept, *cells))
    first = markdown(("basis", "dissected at", "matched", "concepts", "mean IoU"), matched)
    lead = f"Change of the concept without the {bench.plan.top} of greatest IoU there, at all steps:"
    return "\n\n".join([first, lead, markdown(("concept", *BASES.values()), lines)])


def _attention(bench: Bench, found: Findings) -> str:
    maps = found.tables["maps"]
    own = maps[maps.concept.isin(bench.plan.attended) & (maps.category == "object")]
    lines = []
    for concept, each in own.groupby("concept", sort=False):
        best = each.loc[each.iou.idxmax()]
        lines.append(
            (str(concept), best.layer, f"{best.iou:.3f}", f"{best.chance:.3f}", f"{best.control:.3f}", str(best.place),
             "yes" if best.matched else "no", f"{each.matched.sum()} of {len(each)}")
        )  # fmt: skip
    columns = ("word", "best map", "IoU", "chance", "control", "place", "matched", "maps matched")
    table, changes = found.tables["attention"], []
    for concept, each in table.groupby("concept", sort=False):
        row = each[each.by == "its word"].iloc[0]
        changes.append((str(concept), _beside(row), _beside(each[each.by != "its word"].iloc[0])))
    lead = "Change of the thing without the attention to its word, in every block at all steps; other words one by one:"
    last = markdown(("concept", "its word (another word)", f"{bench.plan.top} units (as many random)"), changes)
    return "\n\n".join([markdown(columns, lines), lead, last])


MADE: Mapping[str, tuple[str, Callable[[Bench, Findings], str]]] = {
    "words": ("swap", _words),
    "layout": ("noise", _layout),
    "windows": ("windows", _windows),
    "labels": ("labels", _labels),
    "inserted": ("verdict", _inserted),
    "basis": ("basis", _basis),
    "attention": ("attention", _attention),
}
"""The table that each part of the page stands on, and what makes the part."""
