"""The figures of the claims as SVG files, small enough to lie in a repository."""

from pathlib import Path

from causal_claims.measure import Findings
from causal_claims.tables import objects
from ganatomy.core.files import write_text
from ganatomy.experiments.causal.effects import Effect
from ganatomy.report.causal.ace import ace_chart
from ganatomy.report.causal.effect import effect_cards
from ganatomy.report.causal.section import colours_of, target_of
from ganatomy.report.causal.tiles import sheet
from ganatomy.report.charts import Change, ChangeChart
from ganatomy.report.figures import save_context, save_trace
from ganatomy.report.formats import percent_with_error
from ganatomy.report.svg import Titled, as_file
from ganatomy.report.tables import rows

_WIDE, _STRIPS = 880, 4


def save_figures(found: Findings, directory: Path) -> list[str]:
    """Write every figure that there is something for, and return the names of the files."""
    directory.mkdir(parents=True, exist_ok=True)
    names = []
    if found.curves:
        names.append(_save_curves(found, directory / "figure-4.svg"))
    if found.ablations:
        names.append(_save_objects(found.ablations, directory / "figure-9.svg", "Which objects go?"))
    if len(found.crossing) > 1:
        title = f"{found.crossing[0].spec.concept} in every category"
        names.append(_save_objects(found.crossing, directory / "figure-10.svg", title))
    own = {context.spec.concept: context for context in (*found.contexts, *found.accepted)}
    for context in own.values():
        names.append(f"figure-11-{_named(context.spec.concept)}.svg")
        save_context(context, directory / names[-1], images=2)
    for trace in found.traces:
        names.append(f"figure-17-{_named(trace.spec.concept)}.svg")
        save_trace(trace, directory / names[-1])
    return names


def _save_curves(found: Findings, path: Path) -> str:
    blocks = [
        (f"{ace.spec.concept} pixels left, by number of units switched off", ace_chart(ace)) for ace in found.curves
    ]
    spec = found.curves[0].spec
    write_text(path, as_file(f"Units of {spec.layer} of {spec.generator} switched off", (), blocks))
    return path.name


def _save_objects(effects: list[Effect], path: Path, title: str) -> str:
    """Write how much of each object its ablation leaves, and images of those that change most."""
    blocks: list[Titled] = [("Change of each object's pixels, when the units for it are switched off", _chart(effects))]
    order = objects(effects).concept.tolist()
    shown = sorted(effects, key=lambda effect: order.index(_named(effect.spec.concept or "")))
    for effect in dict.fromkeys([*shown[:_STRIPS], shown[-1]]):
        cards = effect_cards(effect)[:2]
        blocks.append((f"{effect.spec.concept}, {effect.spec.generator}", sheet(cards, _WIDE - 32)))
    write_text(path, as_file(f"{title} ({effects[0].spec.layer})", (), blocks, _WIDE))
    return path.name


def _chart(effects: list[Effect]) -> ChangeChart:
    several = len({effect.spec.generator for effect in effects}) > 1
    colours, concept = colours_of(effects[0].facts), effects[0].spec.concept
    bars = []
    for row in rows(objects(effects)):
        key = next(key for key in colours if key[0] == row.concept)
        bars.append(
            Change(
                name=row.model.rpartition(":")[2] if several else row.concept,
                value=-row.removed,
                error=row.error,
                colour=colours[target_of(effects[0].facts, concept)] if several else colours[key],
                note=percent_with_error(-row.removed, row.error, sign=True),
                control=(-row.random, row.random_spread),
                title=f"{row.concept}, {row.units} units",
            )
        )
    return ChangeChart(bars, "Change of each object's pixels", 1.0)


def _named(concept: str) -> str:
    return concept.rpartition(":")[2]
