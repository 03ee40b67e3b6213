"""What is said of brushes: what each sets, how it was measured, and how far that is."""

import math
from typing import Any, Literal

from ganatomy.core.layer_steps import spanned, split_layer
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.setting_spec import Setting
from ganatomy.web.brush_schemas import Appearance, BrushSetting, BrushSettings, MeasuredSetting, Outcome
from ganatomy.web.brush_search import Measured, SearchState
from ganatomy.web.brush_values import BrushValues, RankedBy

RADIUS = 0.08
"""Of a brush that is not measured."""
By = Literal["best", "all", "ace", "iou"]


def describe_brush(values: BrushValues, layer: str, concept: str, ranked_by: RankedBy) -> tuple[By, str, float]:
    """Return what a brush draws with, the same in words, and its radius."""
    found = values.measured(layer, concept)
    if found is not None:
        best = found.setting.best
        return (
            "best",
            f"measured: {best.name} of {', '.join(spanned(best.layers()))}",
            brush_radius(values.source, best),
        )
    if values.sets_all(layer):
        steps = split_layer(layer).step is not None
        layers = ", ".join(spanned(values.window(layer, None) if steps else values.default_layers))
        return "all", f"not measured yet: all units of {layers} at k(place)", RADIUS
    ranking = "ACE" if ranked_by == "ace" else "IoU"
    return ranked_by, f"not measured: the units of {layer} that rank highest by {ranking}, at k", RADIUS


def brush_radius(source: DissectedModel, setting: Setting) -> float:
    """Return the radius of a brush that covers the places that a setting was measured at, as a share of the width."""
    return setting.cell / 2 / source.grid(setting.places)[1]


def brush_settings(values: BrushValues) -> BrushSettings:
    """Return how far the measuring of the first brushes is, and what was found."""
    search, note = values.search, ""
    measures = values.measures or search is not None
    if not measures:
        note = "This server does not measure brushes; start it with --measure-brushes, or use ganatomy setting."
    elif search is not None and not search.kept:
        note = "Nothing can be written next to the study: what is measured is lost when the server ends."
    rows = [_setting_row(values, concept) for concept in values.first]
    return BrushSettings(measuring=measures, kept=search is None or search.kept, note=note, brushes=rows)


def _setting_row(values: BrushValues, concept: str) -> BrushSetting:
    states = {} if values.search is None else values.search.states
    state = states.get(concept) or SearchState()
    found = values.measured(values.default_layers[-1], concept)
    return BrushSetting(
        concept=concept,
        category=values.source.named(values.source.concept(concept)).category,
        state="measured" if found else state.state,
        progress=1.0 if found else state.progress,
        seconds_left=None if found else state.seconds_left,
        reason=state.reason or None,
        result=None if found is None else _result(values.source, found),
    )


def _result(source: DissectedModel, found: Measured) -> MeasuredSetting:
    best = found.setting.best
    rows = {row["setting"]: row for row in found.setting.measured.to_dict("records")}
    renderer = bool(found.setting.facts.get("truth"))
    all_set = all(part.without is not None for part in found.parts)
    return MeasuredSetting(
        name=best.name,
        layers=best.layers(),
        units=[len(units) for _, units in best.layer_units()],
        constant="place" if best.constant == "place" else "k",
        multiple=best.multiple,
        strength=best.strength,
        cell=best.cell,
        radius=brush_radius(source, best),
        likely_means="allowed by the renderer" if renderer else "usual",
        unlikely_means="forbidden by the renderer" if renderer else "never seen",
        measured=_outcome(rows["picked"]),
        control=_outcome(rows["control"]),
        control_means="all units as in images without it" if all_set else "as many random units",
        paper=_outcome(rows["paper"]),
    )


def _outcome(row: dict[Any, Any]) -> Outcome:
    return Outcome(likely=_appearance(row, "likely"), unlikely=_appearance(row, "unlikely"))


def _appearance(row: dict[Any, Any], kind: str) -> Appearance:
    share, error, places = float(row[kind]), float(row[f"{kind}_error"]), int(row[f"{kind}_places"])
    if math.isnan(share):
        return Appearance(share=None, error=None, low=None, high=None, places=places)
    low, high = max(0.0, share - 1.96 * error), min(1.0, share + 1.96 * error)
    return Appearance(share=share, error=error, low=low, high=high, places=places)
