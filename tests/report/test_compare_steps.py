"""Blocks by steps on the page of a comparison: what is shown, to which scale, and what has no number."""

import dataclasses
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from made_dissections import made_dissection
from test_compare_page import compared, drawn, shown

from ganatomy.experiments.causal.unit_effects import UnitEffectSpec
from ganatomy.experiments.compare.comparison import Comparison
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.compare.page import comparison_blocks
from ganatomy.report.compare.steps import step_block
from ganatomy.study import Study

__all__ = ["drawn"]

UNET = {"down@1": [None, "tree"], "up@1": ["tree", None], "up@4": ["tree", "door"]}
TOKENS = {"blocks.0@2": [None, None], "blocks.1@2": ["brick", "brick"], "blocks.1@3": ["tree", None]}
LABELS = pd.DataFrame(
    {
        "rule": ["labels of the dissection (matched)", "greatest IoU of all", "random labels"],
        "labelled": [2, 2, 2],
        "scored": [2, 2, 2],
        "concepts": [2, 2, 3],
        **{name: [0.5, 0.5, 0.25] for name in ("shrinks", "shrinks_error", "top_tenth", "top_tenth_error")},
        "relative": [-0.5, -0.5, -0.125],
        "relative_error": [0.125, 0.125, 0.0625],
    }
)


def ablated(study: Path, layer: str, images: int, labels: pd.DataFrame) -> None:
    """Write what ablating each unit of a layer gave."""
    digest = Dissection.open(study).study.digest
    spec = UnitEffectSpec(digest, "planted:", "planted:", layer, images=images)
    place = study.with_name(f"{study.name}-causal") / layer.replace("@", "-") / f"ablate-each-images-{images}"
    with Study.create(place, spec, {"inputs": {"dissection": digest}}) as made:
        for name in ("unit_effects", "agreement"):
            made.write_table(name, pd.DataFrame({"unit": [0]}))
        made.write_table("labels", labels)
        made.finish(first_order="none")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, drawn: None) -> Comparison:
    home = tmp_path_factory.mktemp("steps")
    unet, tokens = (made_dissection(home / name, own) for name, own in (("unet", UNET), ("tokens", TOKENS)))
    ablated(unet, "up@4", 10, LABELS.assign(shrinks=1.0))
    ablated(unet, "up@4", 20, LABELS)
    return compared([unet, tokens], layer=("up@4", "blocks.1@3"))


def test_every_layer_of_a_step_has_a_row_compared_or_not(two: Comparison) -> None:
    found = two.steps
    assert found.layer.tolist() == [*UNET, *TOKENS]
    assert found.block.tolist() == ["down", "up", "up", "blocks.0", "blocks.1", "blocks.1"]
    assert found.step.tolist() == [1, 1, 4, 2, 2, 3]
    assert found.matched.tolist() == [1, 1, 2, 0, 2, 1]
    assert found.concepts.tolist() == [1, 1, 2, 0, 1, 1]


def test_what_units_cause_is_found_beside_the_study_on_most_images(two: Comparison) -> None:
    (row,) = two.steps.dropna(subset="agreement").to_dict("records")
    assert row["layer"] == "up@4"
    assert (row["agreement"], row["agreement_random"]) == (0.5, 0.25)
    assert (row["effect"], row["effect_error"], row["effect_random"], row["scored"]) == (-0.5, 0.125, -0.125, 2)


def cells(page: str, label: str) -> dict[tuple[str, str], str]:
    """Return the cells of the heat map of a label, as HTML."""
    (table,) = re.findall(f'aria-label="{re.escape(label)}"><table.*?</table>', page)
    columns = re.findall(r'<th scope="col"[^>]*>(\w+)<', table)
    names = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table)
    return {(name, c): cell for name, row in names for c, cell in zip(columns, row.split("</td>"), strict=False)}


def test_a_heat_map_a_study_all_to_one_scale(two: Comparison) -> None:
    block = step_block(two)
    assert block is not None
    unet, tokens = (cells(block.body, f"Matched units: {name}") for name in ("unet", "tokens"))
    assert list(unet) == [("down", "1"), ("down", "4"), ("up", "1"), ("up", "4")]
    assert [re.findall(r"(\d+)%", cell) for cell in unet.values()] == [["28"], [], ["28"], ["55"]]
    assert re.findall(r"(\d+)%", tokens["blocks.1", "2"]) == ["55"]
    assert 'title="down was not dissected at step 4">–' in unet["down", "4"]
    assert "up@4: 2 of 2 units match 2 concepts" in unet["up", "4"]
    assert shown(unet["up", "4"]).strip() == "100 ± 0 %"


def test_what_was_not_ablated_is_told_from_what_was_not_dissected(two: Comparison) -> None:
    block = step_block(two)
    assert block is not None
    caused = cells(block.body, "Effect of a unit on its concept: unet")
    assert shown(caused["up", "4"]).strip().startswith("−50 ± 1")
    assert "by random labels −12.5 %" in caused["up", "4"]
    assert "·" in caused["up", "1"]
    assert "no labelled unit of up@1 was ablated alone" in caused["up", "1"]
    assert "–" in caused["down", "4"]
    assert "·: dissected" in block.lead
    table = block.body[block.body.index("<caption>") :]
    assert len(re.findall(r"<tr>", table)) == 1 + len(two.steps)


def test_without_ablations_there_are_matched_units_alone(two: Comparison) -> None:
    bare = dataclasses.replace(two, steps=two.steps.assign(agreement=math.nan, effect=math.nan))
    block = step_block(bare)
    assert block is not None
    assert block.body.count("<details name") == 1
    assert "·" not in block.lead


def test_models_without_steps_have_none(tmp_path: Path, drawn: None) -> None:
    found = compared([made_dissection(tmp_path / "plain", {"layer1": ["tree", None]})])
    assert found.steps.empty
    assert "steps" not in comparison_blocks(found)
