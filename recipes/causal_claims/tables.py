"""From results to tidy tables: what `recipes/claims.py` writes as CSV, and its pages are made of."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from causal_claims.measure import Findings, plain
from ganatomy.experiments.causal.ace import Ace
from ganatomy.experiments.causal.effects import Effect
from ganatomy.report.causal.section import target_of

GOES, STAYS = 0.5, 0.2
"""An object goes if its ablation removes at least the first share of its pixels, and stays if less than the second."""
VISIBLE = 0.001
"""Concepts that cover less have no relative change that means something."""


def all_tables(found: Findings) -> dict[str, pd.DataFrame]:
    """Return every table by its name; those of what was not measured are empty.

    What a renderer would do at each place is there only where one is known.
    """
    known = [each for each in (*found.accepted, *found.contexts) if len(each.possible)]
    tables = {
        "figure-4-curves": _joined((ace.spec.concept, ace.curve) for ace in found.curves),
        "figure-4-at-top": pd.DataFrame([at_top(ace) for ace in found.curves]),
        "figure-4-others": _joined((ace.spec.concept, others(ace)) for ace in found.curves),
        "figure-9-objects": objects(found.ablations),
        "figure-10-categories": objects(found.crossing),
        "capacity": _joined((each.spec.concept, each.table) for each in found.capacities),
        "figure-11-settings": _joined((each.spec.concept, each.table) for each in found.settings),
        "figure-11-measured": _joined((each.spec.concept, each.measured) for each in found.settings),
        "figure-11-under": _joined((each.spec.concept, each.under) for each in (*found.accepted, *found.contexts)),
        "figure-11-verdict": _joined((each.spec.concept, each.verdict) for each in (*found.accepted, *found.contexts)),
        "figure-17-lines": _joined((each.spec.concept, each.lines) for each in found.traces),
        "first-order": pd.concat([each.agreement for each in found.each]) if found.each else pd.DataFrame(),
    }
    if known:
        tables["figure-11-possible"] = _joined((each.spec.concept, each.possible) for each in known)
    return tables


def at_top(ace: Ace) -> dict[str, Any]:
    """Return what the top units of each ranking remove, and what it took to find them: one row of a table."""
    row: dict[str, Any] = {"concept": ace.spec.concept, "units": ace.spec.top}
    for by in ("ace", "iou", "random"):
        own = ace.curve[(ace.curve["by"] == by) & (ace.curve["n"] == ace.spec.top)]
        if len(own):
            row[by], row[f"{by}_error"] = -own["relative"].iloc[0], own["error"].iloc[0]
            row[f"{by}_spread"] = own["spread"].iloc[0]
    both = ace.units.nsmallest(ace.spec.top, "rank")["iou_rank"] <= ace.spec.top
    effect = ace.effects[(ace.effects["by"] == "ace") & (ace.effects["term"] == "ace")].iloc[0]
    row |= {"shared": int(both.sum()), "effect": effect["normalised"], "effect_error": effect["normalised_error"]}
    return row | {name: ace.facts["evaluations"][name] for name in ("pool", "candidates", "forward", "gradients")}


def others(ace: Ace) -> pd.DataFrame:
    """Return what ablating the top units does to every other concept, the greatest change of pixels first."""
    name, category = target_of(ace.facts, ace.spec.concept)
    own = ace.others[(ace.others["n"] == ace.spec.top) & (ace.others["before"] >= VISIBLE)]
    own = own[(own["concept"] != name) | (own["category"] != category)]
    chosen = own[own["by"] == "ace"].rename(columns={"concept": "other"})
    control = own[own["by"] == "random"].set_index(["concept", "category"])["relative"].rename("random")
    table = chosen.join(control, on=["other", "category"]).drop(columns=["by", "spread"])
    return table.sort_values("change", key=abs, ascending=False).reset_index(drop=True)


def objects(effects: list[Effect]) -> pd.DataFrame:
    """Return one row an ablation: how much it removes of what it is for, and which object takes the place."""
    rows = []
    for effect in effects:
        name, category = target_of(effect.facts, effect.spec.concept)
        table = effect.table[effect.table["read"] == "image"]
        own = table[(table["concept"] == name) & (table["category"] == category)]
        rivals = table[(table["category"] == category) & (table["concept"] != name)]
        if own.empty:
            continue
        most, gained = own.iloc[0], rivals.nlargest(1, "change")
        rows.append(
            {
                "model": effect.spec.generator,
                "concept": plain(name),
                "units": len(effect.spec.units),
                "before": most["before"],
                "removed": -most["relative"],
                "error": most["relative_error"],
                "random": -most["random_relative"],
                "random_spread": most["random_spread"] / most["before"] if most["before"] else float("nan"),
                "instead": gained["concept"].iloc[0] if len(gained) else "",
                "instead_change": gained["change"].iloc[0] if len(gained) else float("nan"),
                "instead_error": gained["change_error"].iloc[0] if len(gained) else float("nan"),
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("removed", ascending=False).reset_index(drop=True) if rows else table


def fate(removed: float) -> str:
    """Say in a word what becomes of an object of which this share is removed."""
    return "goes" if removed >= GOES else "stays" if removed < STAYS else "in part"


def _joined(tables: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Return tables below each other; the first column says which concept each row was measured for."""
    parts = [table.assign(**{"for": concept}) for concept, table in tables]
    if not parts:
        return pd.DataFrame()
    whole = pd.concat(parts, ignore_index=True)
    return whole[["for", *[name for name in whole.columns if name != "for"]]]
