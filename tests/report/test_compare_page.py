"""The page of a comparison: it asks, answers, says what is left out; its tables and figures lie beside it."""

import dataclasses
import html
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_dissections import made_dissection, made_draws
from mistakes import mistake
from test_causal_page import Checked

from ganatomy.experiments.compare import comparison as module
from ganatomy.experiments.compare import directions
from ganatomy.experiments.compare.comparison import Comparison, planned, run_compare
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.charts import ScatterChart
from ganatomy.report.compare.concepts import change_charts, concept_charts
from ganatomy.report.compare.counts import count_charts, layer_charts
from ganatomy.report.compare.page import answer, comparison_blocks, comparison_html, question, write_comparison
from ganatomy.report.compare.side_by_side import quality_charts
from ganatomy.report.svg import svg

DEEP: Mapping[str, Sequence[str | None]] = {
    "layer1": [None, "tree", None, None],
    "layer2": ["tree", "door", "door", "~brick"],
    "layer3": ["brick", "brick", "tree", None],
}
OTHER = {**DEEP, "layer2": ["tree", "dome", "~door", None]}
TURNED = "basis:planted:?layer=layer2&directions=rotation"
QUALITY = pd.DataFrame(
    {
        "study": ["one", "one", "other", "other"],
        "measure": ["fid", "swd-mean"] * 2,
        "value": [0.5, 12.0, 0.25, 8.0],
        "error": [0.05, 1.0, 0.02, float("nan")],
        "images": 3000,
        "bias": 0.01,
        "reals": 3000,
        "real": "scenes:church",
        "features": "bundled:scenes",
    }
)


def compared(directories: Sequence[Path], **options: Any) -> Comparison:
    spec, _ = planned(directories, options)
    return run_compare(spec, directories)


@pytest.fixture(scope="module")
def drawn() -> Iterator[None]:
    """Every study is the same in every draw, but that a dome is a tree in half of them."""

    def given(dissection: Dissection, count: int, seed: int) -> Any:
        own = [
            None if not row.interpretable else row.label if row.matched else f"~{row.label}"
            for row in dissection.units.itertuples()
        ]
        return made_draws(dissection, [own, ["tree" if label == "dome" else label for label in own]])

    by_chance = pd.DataFrame({"layer": [*DEEP], "expected": 0.5, "rate": 0.25, "at_most": 0.75})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "resampled", given)
        patch.setattr(directions, "false_discovery", lambda _: by_chance)
        patch.setattr(module, "found_quality", lambda own: (QUALITY[QUALITY.study.isin([s.name for s in own])], []))
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def three(home: Path, drawn: None) -> Comparison:
    paths = [
        made_dissection(home / "one", DEEP),
        made_dissection(home / "other", OTHER, over_chance=1.5),
        made_dissection(home / "turned", DEEP, generator=TURNED),
    ]
    return compared(paths, follow=True)


def shown(text: str) -> str:
    """Return the text of a page or a drawing without its marks."""
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def test_the_page_asks_answers_and_says_what_differs(three: Comparison) -> None:
    text = html.unescape(comparison_html(three))
    assert f"<h1>{question(three)}</h1>" in text
    assert question(three) == "What do one, other and turned draw, and what only one of them?"
    for sentence in (*answer(three), *three.differences):
        assert sentence in text
    assert answer(three)[0] == (
        "At layer2, one: 3 of 4 units match 2 concepts; other: 2 of 4 units match 2.00 ± 0.71 concepts; "
        "turned: 3 of 4 units match 2 concepts."
    )
    assert answer(three)[1] == (
        "At layer2 only one matches door and not other; of 1 more concept it is not sure whether only one of them does."
    )
    assert text.index(three.differences[0]) < text.index("<main"), "in the first lines"
    plain = re.sub("<script.*?</script>", "", text, flags=re.S)
    assert "nan" not in plain.lower().replace("ganatomy", "").replace("finance", "")
    for study in three.studies:
        assert f"What was run: {study.name}" in text
    assert "bau2019gandissect" in text


def test_it_is_whole_and_needs_nothing_beside_it(three: Comparison) -> None:
    text = comparison_html(three)
    checked = Checked()
    checked.feed(text)
    assert checked.open == []
    assert len(set(checked.ids)) == len(checked.ids)
    assert set(re.findall(r'href="#([\w.-]+)"', text)) <= set(checked.ids)
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)|url\((?!#)|@import|https?://""", text)
    assert set(comparison_blocks(three)) == {
        "counts", "concepts", "changes", "quality", "directions", "layers", "units",
    }  # fmt: skip


def test_studies_without_their_images_are_compared_without(three: Comparison) -> None:
    assert not any(study.dissection.has_images for study in three.studies)
    assert "images" not in comparison_blocks(three)


def test_charts_of_several_studies_share_an_axis(three: Comparison) -> None:
    first, *_ = three.changes.study.unique()
    again = three.changes[three.changes.study == first].assign(study="again", difference=7.0)
    both = dataclasses.replace(three, changes=pd.concat([three.changes, again]))
    drawn = [chart for _, chart in change_charts(both, both.layer)]
    assert len(drawn) > 1
    assert len({chart.ends() for chart in drawn}) == 1  # type: ignore[union-attr]


def test_names_cannot_break_out(tmp_path: Path, drawn: None) -> None:
    path = made_dissection(tmp_path / "a", DEEP)
    assert "<script>" not in comparison_html(compared([path], names=("<script>alert(1)</script>",)))


def test_all_studies_have_the_same_concepts_in_the_same_order_to_the_same_scale(three: Comparison) -> None:
    charts = [svg(chart) for _, chart in concept_charts(three, "layer2")]
    names = [re.findall(r'<text x="26[^>]*>(\w+)<', text) for text in charts]
    assert names == [["door", "tree", "dome", "brick"]] * 3
    widths = [re.findall(r'width="([\d.]+)%" y', text) for text in charts]
    door, tree = widths[0][:2]
    assert float(door) == pytest.approx(2 * float(tree), abs=0.02)
    assert widths[1][0] == tree, "one unit is as long here as there"
    assert "– never drawn" in charts[0], "no dome in the images of the first"


def test_what_is_not_sure_has_a_question_mark(three: Comparison) -> None:
    (heading, chart), *_ = change_charts(three, "layer2")
    text = svg(chart)
    assert heading == "from one to other"
    assert "2 → 0 vanished<" in text
    assert "0 → 1 appeared?<" in text
    assert text.index("vanished") < text.index("appeared?"), "the sure ones first"


def test_counts_have_lines_for_their_errors(three: Comparison) -> None:
    matched, concepts, _ = (svg(chart) for _, chart in count_charts(three, "layer2"))
    assert "2.00 ± 0.71" in concepts
    assert matched.count("<line") == 3


def test_curves_go_over_the_layers_of_every_study(three: Comparison) -> None:
    headings = [heading for heading, _ in layer_charts(three)]
    assert headings == [
        *(f"{name}: {what}" for what in ("matched units", "distinct concepts") for name in three.spec.names),
        "matched units of all categories",
    ]
    one = ET.fromstring(svg(layer_charts(three)[0][1]))  # noqa: S314
    titles = [title.text for title in one.iter("title")]
    assert "material, layer 2: 0.5 ± 0" in titles, "two of four units of the third layer"


def test_the_units_of_each_concept_stand_over_those_of_the_first_study(three: Comparison) -> None:
    chart = three.chart()
    assert isinstance(chart, ScatterChart)
    counts = three.concepts[three.concepts.layer == "layer2"].set_index(["study", "concept"]).matched
    concepts = list(dict.fromkeys(counts.index.get_level_values("concept")))
    expected = [(counts["one", c], counts[name, c]) for name in three.spec.names[1:] for c in concepts]
    assert [(point.x, point.y) for point in chart.points] == expected
    assert {point.name for point in chart.points if point.x == point.y} == {""}, "only what differs is named"
    assert list(chart.legend) == list(three.spec.names[1:])


def test_quality_is_drawn_against_counts_with_both_errors(three: Comparison) -> None:
    charts = {heading: svg(chart) for heading, chart in quality_charts(three)}
    distances = ("Fréchet distance", "sliced Wasserstein distance × 10³")
    counts = ("matched units", "distinct concepts")
    assert list(charts) == [f"{what} against {x}" for x in distances for what in counts]
    crosses = charts["distinct concepts against Fréchet distance"].split("<circle")
    assert [part.count("<line") for part in crosses[1:]] == [2, 0]
    assert charts[f"matched units against {distances[1]}"].count('stroke="currentColor"/>') == 3, (
        "one distance has no error"
    )
    assert {"one", "other"} <= set(shown(charts["matched units against Fréchet distance"]).split())


def test_followed_units_are_counted_against_chance(three: Comparison) -> None:
    words = " ".join(shown(comparison_blocks(three)["units"].body).split())
    assert "other 3 2 1 0.5" in words, "both matched: tree stays, door becomes dome; dealt at random, half of a unit"
    assert "turned 3 3 3 1.67" in words
    assert "other layer2 1 door 0.11 yes dome 0.11 yes" in words


def test_directions_stand_beside_units(three: Comparison) -> None:
    words = " ".join(shown(comparison_blocks(three)["directions"].body).split())
    assert "units one layer2 4 4 3 2 3 2 0.5 25 %" in words
    assert "rotation turned layer2 4" in words


def test_many_studies_share_tables(tmp_path: Path, drawn: None) -> None:
    found = compared([made_dissection(tmp_path / f"step{i}", OTHER if i % 2 else DEEP) for i in range(8)])
    text = comparison_html(found)
    assert question(found) == "What do 8 models draw, and what does one draw that another does not?"
    assert answer(found) == [
        "At layer2, most in step0: 3 of 4 units match 2 concepts; "
        "fewest in step1: 2 of 4 units match 2.00 ± 0.71 concepts."
    ]
    assert text.count('class="ranked heat"') == 2
    assert len(text) < 250_000


def test_one_study_is_told_layer_by_layer(tmp_path: Path, drawn: None) -> None:
    found = compared([made_dissection(tmp_path / "alone", DEEP)])
    assert question(found) == "What do the layers of alone draw?"
    assert answer(found)[1] == (
        "Most units of each category: object 75 % of the units of layer2; material 50 % of the units of layer3."
    )
    assert "changes" not in comparison_blocks(found)


def test_nothing_found_is_told_too(tmp_path: Path, drawn: None) -> None:
    found = compared([made_dissection(tmp_path / name, {"layer1": [None, None]}) for name in ("a", "b")])
    assert "0 of 2 units match 0 concepts" in comparison_html(found)
    assert list(comparison_blocks(found)) == ["counts"]
    assert list(found.tables) == ["counts"]
    write_comparison(found, tmp_path / "out")


def test_a_directory_holds_page_tables_and_figures(three: Comparison, tmp_path: Path) -> None:
    page = write_comparison(three, tmp_path / "out")
    assert page.read_text(encoding="utf-8") == comparison_html(three)
    for name, table in three.tables.items():
        read = pd.read_parquet(page.parent / f"tables/{name}.parquet")
        pd.testing.assert_frame_equal(read, table, check_dtype=False)
        assert len(pd.read_csv(page.parent / f"tables/{name}.csv")) == len(table)
    figures = sorted(path.name for path in (page.parent / "figures").iterdir())
    assert figures == ["changes.svg", "concepts.svg", "counts.svg", "layers.svg", "quality.svg"]
    for figure in figures:
        ET.parse(page.parent / "figures" / figure)  # noqa: S314
    record = json.loads((page.parent / "compare.json").read_text())
    assert [study["name"] for study in record["studies"]] == ["one", "other", "turned"]


def test_what_an_earlier_comparison_left_is_removed(three: Comparison, home: Path, tmp_path: Path) -> None:
    write_comparison(three, tmp_path / "out")
    write_comparison(compared([home / "one"]), tmp_path / "out")
    assert not (tmp_path / "out/figures/changes.svg").exists()
    assert not (tmp_path / "out/tables/units.csv").exists()
    assert (tmp_path / "out/tables/counts.csv").exists()


def test_a_study_is_not_overwritten(three: Comparison, home: Path, tmp_path: Path) -> None:
    with mistake("bad-file", home / "one", "study"):
        write_comparison(three, home / "one")
    (tmp_path / "file").write_text("")
    with mistake("bad-file", tmp_path / "file"):
        write_comparison(three, tmp_path / "file")
    with mistake("study-error", tmp_path / "file" / "out", "cannot write"):
        write_comparison(three, tmp_path / "file" / "out")
