"""What the sections say is what the tables hold."""

import dataclasses
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganatomy.experiments.base import EXPERIMENTS
from ganatomy.experiments.causal.ace import Ace
from ganatomy.experiments.causal.capacity import Capacity
from ganatomy.experiments.causal.context import Context
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.effects import Effect, edit_spec, run_effect
from ganatomy.experiments.causal.trace import Trace
from ganatomy.experiments.causal.unit_effects import UnitEffects
from ganatomy.interventions import Intervention, place
from ganatomy.report.causal.ace import ace_section, term_chart
from ganatomy.report.causal.capacity import capacity_section
from ganatomy.report.causal.context import context_cards, context_chart, context_section
from ganatomy.report.causal.effect import effect_cards, effect_charts, effect_section
from ganatomy.report.causal.trace import mapped_layers, trace_cards, trace_section
from ganatomy.report.causal.unit_effects import unit_effects_section
from ganatomy.report.formats import effect_text, percent, percent_with_error
from ganatomy.report.svg import svg


def names(chart: str) -> list[str]:
    """Return what the rows of a chart are called, top down."""
    return [html.unescape(t) for t in re.findall(r'text-anchor="end"[^>]*>([^<]*)</text>', chart)][::2]


def changed(result: Any, name: str, **columns: Any) -> Any:
    """Return a result with other values in one of its tables."""
    return dataclasses.replace(result, **{name: getattr(result, name).assign(**columns)})


def test_an_ablation_is_answered_by_its_target_beside_random_sets(ablation: Effect) -> None:
    row = ablation.table.iloc[0]
    assert row.concept == "ball"
    answer = effect_section(ablation).answer
    assert f"ball: {percent(row.before)} of the pixels before, {percent(row.after)} after" in answer
    assert f"after: {effect_text(row.relative, row.relative_error)}; " in answer
    assert f"{percent(row.before + row.random_change)} with as many units drawn at random" in answer


def test_the_target_is_first_and_bold_the_others_by_change(ablation: Effect) -> None:
    (_, share), (_, points) = effect_charts(ablation, "image")
    expected = ablation.table[ablation.table["read"] == "image"]
    assert names(svg(points)) == expected.concept.tolist()
    assert names(svg(share)) == expected[expected.before >= 0.001].concept.tolist()
    for chart in (share, points):
        assert re.findall(r'font-weight="650"[^>]*>([^<]*)<', svg(chart)) == ["ball"]


def test_what_is_rare_has_no_relative_change(ablation: Effect) -> None:
    common = ablation.table[(ablation.table["read"] == "image") & (ablation.table.before >= 0.001)]
    rare = common.concept.iloc[-1]
    thin = changed(ablation, "table", before=ablation.table.before.where(ablation.table.concept != rare, 1e-4))
    (_, share), (_, points) = effect_charts(thin, "image")
    assert rare in names(svg(points))
    assert names(svg(share)) == common.concept.tolist()[:-1]


def test_images_before_after_and_random(ablation: Effect, insertion: Effect) -> None:
    cards = effect_cards(ablation)
    captions = [[caption for _, caption in card] for card in cards]
    assert captions == [[f"image {i}", "ablated", "random units"] for i in ablation.strips.ids]
    assert len({svg for card in cards for svg, _ in card}) == 6
    assert "<rect" not in cards[0][0][0]
    boxed = effect_cards(insertion)[0][0][0]  # 2 x 8 of 16 x 16 places from (0, 4) on, in an image of 32 pixels
    assert boxed.count('x="8" y="0" width="16" height="4"') == 2


def test_an_edited_place_is_read_first(insertion: Effect) -> None:
    section = effect_section(insertion)
    assert [block.heading for block in section.blocks[1:]] == [
        "The place, before and after",
        "What changes at the edited place",
        "What changes in the whole image",
    ]
    row = insertion.table[(insertion.table["read"] == "place") & (insertion.table["concept"] == "ball")].iloc[0]
    assert percent(row.after) in section.answer


def test_where_nothing_is_seen_the_page_says_so(ablation: Effect) -> None:
    section = effect_section(dataclasses.replace(ablation, table=pd.DataFrame()))
    assert section.answer.startswith("The segmenter finds no concept")
    assert len(section.blocks) == 1


def test_without_random_sets_they_are_not_mentioned(ablation: Effect) -> None:
    alone = changed(ablation, "table", random_change=np.nan, random_spread=np.nan, random_relative=np.nan)
    alone = dataclasses.replace(alone, spec=dataclasses.replace(ablation.spec, random=0))
    section = effect_section(alone)
    assert "random" not in section.answer
    assert 'fill-opacity=".16"' not in section.blocks[1].body


def test_the_strongest_units_of_a_concept(unit_effects: UnitEffects) -> None:
    table = unit_effects.table
    strongest = table.loc[table.change.abs().idxmax()]
    section = unit_effects_section(unit_effects)
    assert f"unit {strongest.unit}: without it {strongest.concept} goes" in section.answer
    first = section.blocks[0].body.partition("</svg>")[0]
    own = table[(table.concept == strongest.concept) & (table.category == strongest.category)]
    assert names(first) == [f"unit {unit}" for unit in own.loc[own.change.abs().nlargest(6).index, "unit"]]
    assert f"<figcaption>{strongest.concept}," in first


def test_the_estimate_has_a_point_for_every_unit(unit_effects: UnitEffects) -> None:
    block = unit_effects_section(unit_effects).blocks[1]
    scatter = block.body.partition("</svg>")[0]
    assert scatter.count("<circle") == unit_effects.table["unit"].nunique()
    numbers = unit_effects_section(unit_effects).blocks[0].body
    assert numbers.count('<th scope="row">') == len(unit_effects.agreement) > 0


def test_without_an_estimate_the_reason_is_given(unit_effects: UnitEffects) -> None:
    bare = changed(unit_effects, "agreement", spearman=np.nan)
    bare = dataclasses.replace(bare, facts={**bare.facts, "first_order": "no first-order estimate: labels only"})
    block = unit_effects_section(bare).blocks[1]
    assert (block.lead, block.body) == ("No first-order estimate: labels only.", "")


def test_ace_is_answered_by_what_is_left(ace: Ace) -> None:
    assert ace.updates == 0
    answer = ace_section(ace).answer
    for by, text in (("ace", "selected by first-order attribution"), ("iou", "by IoU")):
        row = ace.curve[(ace.curve.by == by) & (ace.curve.n == 3)].iloc[0]
        assert f"{effect_text(1 + row.relative, row.error, 1)} {text}" in answer
    updated = ace_section(optimised(ace)).answer
    assert "selected by ACE (20 updates of adam from first-order attribution)" in updated


def optimised(ace: Ace) -> Ace:
    """The same, as if it had taken updates."""
    history = ace.history.assign(step=20, gain=0.08, gain_error=0.02)
    return dataclasses.replace(ace, facts={**ace.facts, "updates": 20}, history=history)


def test_an_ace_says_how_many_updates_its_answer_has_had(ace: Ace) -> None:
    start, best = (ace_section(own).blocks[-1].lead for own in (ace, optimised(ace)))
    assert "the answer is the start: first-order attribution, no update." in start
    assert (
        "exceeds the start by more than its error: 20 updates of adam from first-order attribution (+0.080 ± 0.020)."
        in best
    )
    last = dataclasses.replace(
        optimised(ace), spec=dataclasses.replace(ace.spec, patience=0, start="iou", ablated="place")
    )
    block = ace_section(last).blocks[-1]
    assert "The answer is the last α: 20 updates of adam from IoU (Eqn 7)." in block.lead
    assert "index slip" in block.body
    assert "index slip" not in ace_section(ace).blocks[-1].body


def block_of(section: Any, heading: str) -> str:
    """Return the body of the block of a heading."""
    (body,) = (block.body for block in section.blocks if block.heading == heading)
    return str(body)


def curves(ace: Ace) -> str:
    return block_of(ace_section(ace), "How many units does it take?")


def test_ace_curves_start_at_all_of_it(ace: Ace) -> None:
    names_first = [name for name in ("first order", "by IoU", "random") if name in curves(ace)]
    assert names_first == ["first order", "by IoU", "random"]
    ace = optimised(ace)
    chart = curves(ace)
    for name in ("by ACE", "by IoU", "random"):
        assert f"{name}, ablated units 0: 1 ± 0<" in chart
    row = ace.curve[(ace.curve.by == "ace") & (ace.curve.n == 2)].iloc[0]
    assert f"by ACE, ablated units 2: {1 + row.relative:.3g} ± {row.error:.2g}<" in chart


def test_ace_terms_stand_beside_random_sets(ace: Ace) -> None:
    assert names(svg(term_chart(ace)))[::3] == ["inserted, start", "ablated, start", "ACE, start"]
    assert names(svg(term_chart(optimised(ace))))[::3] == ["inserted, ACE", "ablated, ACE", "ACE, ACE"]
    body = block_of(ace_section(ace), "Average causal effect")
    for row in ace.effects.itertuples():
        none = 0.0 if row.term == "ace" else 1.0
        assert effect_text(row.normalised, row.normalised_error, none) in body
        assert effect_text(row.normalised, row.normalised_error, none, brief=True) in svg(term_chart(ace))
        assert percent_with_error(row.value, row.error) in body


def test_ace_terms_are_drawn_normalised(ace: Ace) -> None:
    terms = {"insertion": 3.0, "ablation": 0.5, "ace": 2.5}
    chart = svg(term_chart(changed(ace, "effects", normalised=ace.effects.term.map(terms))))
    bars = re.findall(r'width="([\d.]+)%" y="4" height="13"', chart)
    lengths = np.array([float(width) for width in bars])
    np.testing.assert_allclose(lengths / lengths[0], np.repeat([3.0, 0.5, 2.5], 3) / 3, atol=1e-3)


def test_ace_units_are_cards_with_their_rank_by_iou(ace: Ace) -> None:
    body = html.unescape(block_of(ace_section(ace), "The units"))
    cards = re.findall(r"<strong>.*?unit (\d+).*?rank (\d+)", body)
    top = ace.units.sort_values("rank").head(3)
    assert cards == [(str(row.unit), str(row.iou_rank)) for row in top.itertuples()]


WIDE: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(("ablate", "insert", "apply_edits", "unit_effects"), ("table", ("change_error", "relative_error"))),
    "ace": ("curve", ("error",)),
    "context": ("under", ("effect_error", "image_effect_error", "random_effect_error")),
    "capacity": ("table", ("gain_error",)),
    "accuracy": ("overall", ("change_error",)),
    "unit_accuracy": ("table", ("held_out_error",)),
    "repair": ("table", ("change_error",)),
    "edit_photographs": ("table", ("change_error",)),
    "artifacts": ("samples", ("spread",)),
    "describe": ("table", ("change_error", "beyond_random_error", "beyond_words_error")),
}
"""For each experiment the errors of its effects, and the table that holds them."""
NO_EFFECTS = {
    "best_setting": "shares of places",
    "invert": "how exactly photographs are drawn",
    "quality": "distances",
    "trace": "places that see it: tested below",
}
"""What the others measure."""


def test_no_experiment_is_left_out() -> None:
    assert WIDE.keys() | NO_EFFECTS.keys() == EXPERIMENTS.keys(), "extend WIDE, or NO_EFFECTS, of this file"


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize("error", [1e6, 0.0])
def test_where_an_interval_holds_zero_every_page_and_table_says_no_effect(
    kind: str, error: float, result_of: Callable[[str], Any]
) -> None:
    name, columns = WIDE[kind]
    result = result_of(kind)
    known = result.table.change != 0 if columns == WIDE["ablate"][1] else slice(None)
    result = dataclasses.replace(result, **{name: getattr(result, name)[known]}) if name == "table" else result
    result = changed(result, name, **dict.fromkeys(columns, error))
    section = result.section()
    on_page = "no effect" in " ".join([section.answer, *(block.body for block in section.blocks)])
    cells = [cell for table in result.tables() for column in table.present for cell in column.cells(table.frame)]
    in_terminal = any("no effect" in cell for cell in cells)
    if error:
        assert on_page
        assert in_terminal
    elif kind in ("ablate", "insert", "apply_edits"):
        assert not on_page
        assert not in_terminal


def test_an_insertion_that_is_never_visible_is_no_effect(trace: Trace) -> None:
    places = trace.lines.places.where(~trace.lines.visible.astype(bool), 0)
    never = changed(trace, "lines", places=places)
    total = int(places[trace.lines.layer == trace.spec.layer].sum())
    assert f"The insertion failed: none of the {total} insertions was visible" in trace_section(never).answer
    assert never.details == {"visible": f"0 of {total} insertions: no effect"}
    assert "no effect" not in str(trace.details)


def test_context_marks_what_the_grammar_says(context: Context) -> None:
    chart = context_chart(context)
    own = context.under[context.under.places >= 5].sort_values("effect", ascending=False, kind="stable")
    marks = {"sky": "✓ sky", "box": "✗ box"}
    assert names(svg(chart)) == [marks.get(name, name) for name in own.object]
    unsaid = changed(context, "under", allowed=pd.array([pd.NA] * len(context.under), dtype="boolean"))
    assert not {"✓", "✗"} & set(svg(context_chart(unsaid)))


def test_context_boxes_are_the_responsive_places(context: Context) -> None:
    for i, card in enumerate(context_cards(context)):
        own = context.boxes[context.boxes.image == i]
        assert card[0][0].count("#ffe14d") == len(own)
        assert card[2][0].count("#ffe14d") == min(1, len(own))
        for box in own.itertuples():
            assert f'x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{box.height:g}"' in card[0][0]


def test_context_says_ratio_and_interval_or_what_there_is(context: Context) -> None:
    known = {"allowed": 0.4, "forbidden": 0.1, "ratio": 4.0, "low": 2.5, "high": 7.25}
    answer = context_section(changed(context, "verdict", **known)).answer
    assert "4 times as much (95 %: 2.5 to 7.2)" in answer
    around = {"ratio": np.nan, "low": np.nan, "high": np.nan, "difference": 0.01}
    nothing = changed(
        context, "verdict", **known | around | {"allowed_error": 0.3}, difference_low=0, difference_high=1
    )
    assert "no effect (+40 ± 30 %)" in context_section(nothing).answer
    unknown = context_section(changed(context, "verdict", **dict.fromkeys(known, np.nan)))
    best = context.under.sort_values("effect", ascending=False).iloc[0]
    assert f"Most on {best.object}" in unknown.answer


def test_context_without_expectation_has_no_verdict(context: Context) -> None:
    heading = "Against the truth"
    assert heading in [block.heading for block in context_section(context).blocks]
    silent = dataclasses.replace(context, facts={**context.facts, "allowed": [], "forbidden": []})
    assert heading not in [block.heading for block in context_section(silent).blocks]


def test_capacity_frames_the_picked_setting(capacity: Capacity) -> None:
    table = capacity.table
    assert table.picked.sum() == 1
    section = capacity_section(capacity)
    body = section.blocks[0].body
    assert body.partition("<details>")[0].count("<td") == len(table)
    framed = re.findall(r'<td class="figure picked"[^>]*>.*?<b>([^<]*)</b>', body)
    row = table[table.picked].iloc[0]
    assert framed == [percent_with_error(row.appears, row.appears_error)]
    assert f"appears in {framed[0]} of {row.places} places" in section.answer


def test_a_transplant_stands_once_for_all_multiples(capacity: Capacity) -> None:
    """It has no k to take a multiple of."""
    own = capacity.table
    twice = pd.concat([own, own.dropna(subset="multiple").assign(multiple=2.0, picked=False)])
    section = capacity_section(dataclasses.replace(capacity, table=twice))
    spanning = re.findall(r'<td[^>]* rowspan="2"[^>]*>.*?<b>([^<]*)</b>', section.blocks[0].body)
    lent = own[own.by == "transplant"]
    assert spanning == [percent_with_error(row.appears, row.appears_error) for row in lent.itertuples()]
    assert section.blocks[0].body.partition("<details>")[0].count("<td") == len(twice)
    beside = lent[lent.cell == own[own.picked].cell.iloc[0]]
    assert f"features of an image that shows it: {percent(beside.appears.iloc[0], 2)}" in section.answer


def test_places_that_are_left_out_are_mentioned(capacity: Capacity, context: Context) -> None:
    message = "Only places that show ball at least 50 % as often as the place that shows it most."
    few = dataclasses.replace(capacity, spec=dataclasses.replace(capacity.spec, on=("sky", "box"), min_frequency=0.5))
    lead = capacity_section(few).blocks[0].lead
    assert "Only places that mostly show sky or box." in lead
    assert message in lead
    fewer = dataclasses.replace(context, spec=dataclasses.replace(context.spec, min_frequency=0.5))
    assert message in context_section(fewer).blocks[1].lead
    assert "Only" not in capacity_section(capacity).blocks[0].lead + context_section(context).blocks[1].lead


def test_trace_counts_what_was_visible(trace: Trace) -> None:
    drawn = trace.places[trace.places.drawn]
    answer = trace_section(trace).answer
    assert answer.startswith(f"{drawn.visible.sum()} of {len(drawn)} insertions were visible")


def test_trace_maps_go_from_after_the_edit_to_the_last_layer(trace: Trace) -> None:
    assert mapped_layers(trace) == ["layer3"]
    captions = [[caption for _, caption in card] for card in trace_cards(trace)]
    assert captions == [[f"image {i}", "layer3"] for i in trace.ids]
    more = dataclasses.replace(trace, maps={f"layer{i}": trace.maps["layer2"] for i in range(2, 9)})
    assert mapped_layers(more) == ["layer3", "layer6", "layer8"]


def test_figures_are_files(ablation: Effect, ace: Ace, context: Context, trace: Trace, tmp_path: Path) -> None:
    from ganatomy.report import figures

    saved = {
        figures.save_effect: (ablation, {"random units", "ball"}),
        figures.save_ace_curve: (ace, {"first order", "ablated units"}),
        figures.save_context: (context, {"gain by place", "✓ sky"}),
        figures.save_trace: (trace, {"layer3", "visible"}),
    }
    for save, (result, texts) in saved.items():
        save(result, tmp_path / "figure.svg")  # type: ignore[operator]
        assert texts <= drawn_texts(tmp_path / "figure.svg")


def drawn_texts(path: Path) -> set[str]:
    """Return the texts of an SVG file; none of its drawings reaches below its end."""
    import xml.etree.ElementTree as ET

    root = ET.parse(path).getroot()  # noqa: S314  (our own XML)
    parts = root.findall("{*}svg")
    ends = [float(part.attrib["y"]) + float(part.attrib["height"]) for part in parts]
    assert parts
    assert max(ends) <= float(root.attrib["height"])
    return {"".join(text.itertext()).strip("● ") for text in root.findall(".//{*}text")}


def test_given_edits_are_boxed_where_they_are(source: DissectedModel, tmp_path: Path) -> None:
    def drawn(name: str, *regions: tuple[int, int, int, int] | None) -> tuple[str, str]:
        shape = source.shape("layer2")
        wheres = [None if region is None else place(shape[1:], *region) for region in regions]
        edits = [Intervention.ablate("layer2", shape, [1], where) for where in wheres]
        spec = edit_spec(source, edits, "given", images=2, show=1, random=1)
        effect = run_effect(spec, source, tmp_path / name, edits=edits)
        return effect_section(effect).blocks[0].lead, effect_cards(effect)[0][0][0]

    lead, svg = drawn("two", (2, 4, 1, 3), (15, 0, 1, 16), (2, 4, 1, 3))
    assert lead == "Given. The yellow boxes are what is edited."
    assert svg.count("#ffe14d") == 2
    for box in ('x="8" y="4" width="6" height="2"', 'x="0" y="30" width="32" height="2"'):
        assert box in svg
    assert drawn("one", (2, 4, 1, 3))[0] == "Given. The yellow box is what is edited."
    lead, svg = drawn("all", (2, 4, 1, 3), None)
    assert (lead, svg.count("#ffe14d")) == ("Given. Edited everywhere.", 0)
