"""Dissections side by side: counts by hand, what is shared, what appeared, and what the tables say of true ones."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_dissections import WORDS, made_dissection, made_draws
from mistakes import mistake

import ganatomy
from ganatomy.core.errors import GanatomyError
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.compare import comparison as module
from ganatomy.experiments.compare import directions, real_distance
from ganatomy.experiments.compare.comparison import Comparison, planned, run_compare
from ganatomy.experiments.compare.directions import rarefied
from ganatomy.experiments.compare.spec import CompareSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.monitor.snapshots import count_units
from ganatomy.experiments.quality import QualitySpec
from ganatomy.models.generators.inner_model import inner_model
from ganatomy.study import Study

Labels = Sequence[str | None]
ONE: Mapping[str, Labels] = {
    "layer1": ["tree", "~tree", None, "brick"],
    "layer2": ["tree", "tree", "door", "door", None],
}
OTHER: Mapping[str, Labels] = {
    "layer1": ["brick", "brick", None, "brick"],
    "layer2": ["tree", "dome", "dome", None, "~door"],
}


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [made_dissection(tmp_path / "one", ONE), made_dissection(tmp_path / "other", OTHER)]


def compared(directories: Sequence[Path], **options: Any) -> Comparison:
    spec, quality = planned(directories, options)
    return run_compare(spec, directories, quality)


def drawing(monkeypatch: pytest.MonkeyPatch, draws: Mapping[str, Sequence[Labels]]) -> None:
    """Have studies resampled as is said here, by the name of their directory."""

    def given(dissection: Dissection, count: int, seed: int) -> Any:
        own = draws.get(dissection.study.directory.name)
        return None if own is None else made_draws(dissection, own)

    monkeypatch.setattr(module, "resampled", given)


def counted(found: Comparison, study: str, layer: str, category: str = "all") -> Any:
    own = found.counts
    (row,) = own[(own.study == study) & (own.layer == layer) & (own.category == category)].itertuples()
    return row


def changed(found: Comparison, layer: str, concept: str) -> Any:
    own = found.changes
    (row,) = own[(own.layer == layer) & (own.concept == concept)].itertuples()
    return row


def test_every_layer_and_category_is_counted(two: list[Path]) -> None:
    found = compared(two)
    row = counted(found, "one", "layer1")
    assert (row.units, row.interpretable, row.matched, row.concepts, row.compared) == (4, 3, 2, 2, "layer1")
    assert row.matched_iou == pytest.approx((0.10 + 0.13) / 2)
    assert [counted(found, "one", "layer2", kind).matched for kind in ("object", "part", "material")] == [4, 0, 0]
    assert [counted(found, "other", "layer2", kind).concepts for kind in ("object", "part", "material")] == [1, 1, 0]
    total = counted(found, "one", "all")
    assert (total.units, total.matched, total.concepts) == (9, 6, 3)
    assert math.isnan(counted(found, "one", "layer2", "part").matched_iou)
    assert found.layer == "layer2", "four concepts over both studies, where layer1 has three"


def test_units_per_concept_stand_side_by_side_zeros_included(two: list[Path]) -> None:
    own = compared(two).concepts
    table = own.pivot_table("matched", ["layer", "concept"], "study", sort=False)
    assert table.loc["layer1"].to_dict("index") == {"tree": {"one": 1, "other": 0}, "brick": {"one": 1, "other": 3}}
    assert table.loc["layer2"].to_dict("index")["dome"] == {"one": 0, "other": 2}
    drawn = own[(own.layer == "layer2") & (own.concept == "dome")].set_index("study").share
    assert drawn.to_dict() == {"one": 0.0, "other": 0.2}


def test_an_unmatched_unit_counts_where_its_best_interpretable_pair_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["tree", "?brick", "?tree", None, "~brick"]
    drawing(monkeypatch, {"one": [["tree", "?brick", "?tree", None, "brick"], ["tree", "tree", "tree", None, None]]})
    found = compared([made_dissection(tmp_path / "one", {"layer1": labels})])
    kinds = {kind: counted(found, "one", "layer1", kind) for kind in ("all", "object", "part", "material")}
    assert [row.interpretable for row in kinds.values()] == [4, 2, 0, 2]
    assert [row.matched for row in kinds.values()] == [1, 1, 0, 0]
    errors = [np.std(drawn, ddof=1) for drawn in ([4, 3], [2, 3], [0, 0], [2, 0])]
    assert [row.interpretable_error for row in kinds.values()] == pytest.approx(errors)
    assert kinds["object"].matched_error > 0
    own = found.concepts.set_index("concept")
    assert own.interpretable.to_dict() == {"tree": 2, "brick": 2}
    assert own.matched.to_dict() == {"tree": 1, "brick": 0}
    looked = count_units(found.studies[0].dissection, 0).set_index("category")
    assert looked.interpretable.to_dict() == {"all": 4, "object": 2, "part": 0, "material": 2}


def test_errors_are_the_spread_of_the_resamples(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = [*ONE["layer1"], *ONE["layer2"]], ["tree", "tree", None, None, "tree", None, "door", "door", None]
    drawing(monkeypatch, {"one": [first, second, second]})
    found = compared(two)
    matched = [2, 2, 2], [4, 3, 3]
    for layer, counts in zip(ONE, matched, strict=True):
        assert counted(found, "one", layer).matched_error == pytest.approx(np.std(counts, ddof=1))
    assert counted(found, "one", "layer1").concepts_error == pytest.approx(np.std([2, 1, 1], ddof=1))
    assert counted(found, "one", "all").matched_error == pytest.approx(np.std([6, 5, 5], ddof=1))
    trees = found.concepts[(found.concepts.layer == "layer1") & (found.concepts.concept == "tree")]
    assert trees.set_index("study").matched_error["one"] == pytest.approx(np.std([1, 2, 2], ddof=1))


def test_without_blocks_counts_have_no_error_and_the_page_says_so(two: list[Path]) -> None:
    found = compared(two)
    errors = [name for name in found.counts if name.endswith("_error")]
    assert len(errors) == 4
    assert found.counts[errors].isna().all(axis=None)
    assert found.changes.holds.isna().all()
    assert not found.changes.sure.any()
    assert found.differences == ("one, other: dissected before errors were kept; dissect again to have them.",)


def test_appeared_is_said_where_it_holds_in_the_resamples(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Door is never found in the other; dome in half of its draws only; tree is fewer in all."""
    one, other = [*ONE["layer1"], *ONE["layer2"]], [*OTHER["layer1"], *OTHER["layer2"]]
    undone = ["tree" if label == "dome" else label for label in other]
    drawing(monkeypatch, {"one": [one] * 20, "other": [other, undone] * 10})
    found = compared(two)
    door, dome, tree = (changed(found, "layer2", name) for name in ("door", "dome", "tree"))
    assert (door.before, door.after, door.change, door.holds, door.sure) == (2, 0, "vanished", 1.0, True)
    assert (dome.before, dome.after, dome.change, dome.holds, dome.sure) == (0, 2, "appeared", 0.5, False)
    assert dome.difference_error == pytest.approx(np.std([2, 0] * 10, ddof=1))
    assert (tree.change, tree.holds) == ("fewer", 0.5), "one draw has three trees and not one"
    assert (dome.share_before, dome.share_after) == (0.0, 0.2)
    assert (changed(found, "layer1", "brick").change, changed(found, "layer1", "brick").sure) == ("more", True)
    turned = compared(two, against="other")
    assert changed(turned, "layer2", "door").change == "appeared"
    assert set(turned.changes.against) == {"other"}


def test_words_that_not_all_know_are_left_out(tmp_path: Path) -> None:
    more = (*WORDS[:2], Concept("lamp", "object"), Concept("door", "part"), WORDS[4])
    one = made_dissection(tmp_path / "one", ONE)
    other = made_dissection(tmp_path / "other", {"layer2": ["lamp", "lamp", "~lamp", "tree", "door"]}, more)
    found = compared([one, other])
    assert [concept.name for concept in found.shared] == ["nothing", "tree", "brick"]
    assert (counted(found, "one", "layer2").matched, counted(found, "other", "layer2").matched) == (2, 1)
    said = " ".join(found.differences)
    assert "one also knows door, dome, which not all know: 2 of its matched units are left out" in said
    assert "other also knows lamp, door, which not all know: 3 of its matched units are left out" in said
    assert "one has layers that are not compared with the others: layer1" in said


def test_nothing_shared_is_refused(tmp_path: Path) -> None:
    strange = made_dissection(tmp_path / "b", {"layer1": ["cat"]}, (NOTHING, Concept("cat", "object")))
    with mistake("bad-value", "a, b", "segmenter"):
        compared([made_dissection(tmp_path / "a", ONE), strange])


def test_what_differs_is_said(tmp_path: Path) -> None:
    one = made_dissection(tmp_path / "one", ONE)
    other = {"images": 500, "seed": 3, "validation": "cross", "resolution": 16, "over_chance": 1.5}
    found = compared([one, made_dissection(tmp_path / "other", ONE, segmenter="t" * 64, **other)])
    said = " ".join(found.differences)
    segmenters = "planted: ssssssss (one), planted: tttttttt (other)"
    assert f"Pixels were named by different segmenters, so counts are not comparable: {segmenters}." in said
    for text in ("images – 1000 (one), 500 (other)", "seed – 0 (one), 3 (other)", "validation – separate (one)"):
        assert f"Not the same everywhere: {text}" in said
    assert "label resolution – 8 (one), 16 (other)" in said
    assert "over_chance – 2.0 (one), 1.5 (other); units are counted by different rules" in said
    assert len(found.differences) == 7


@pytest.mark.parametrize(
    ("asked", "names"),
    [((), ["layer1", "layer2"]), (("layer2",), ["layer2"]), (("layer2", "layer1"), ["layer2 / layer1"])],
)
def test_layers_are_compared_by_name_or_as_they_are_given(two: list[Path], asked: tuple[str, ...], names: list) -> None:
    found = compared(two, layer=asked)
    assert list(found.studies[0].layers) == names
    if len(asked) == 2:
        assert [study.layers[names[0]] for study in found.studies] == ["layer2", "layer1"]
        assert changed(found, names[0], "brick").after == 3
    assert len(found.counts[found.counts.category == "all"]) == 4 + 2 * (len(names) > 1), "every layer is counted"


def test_single_layers_of_other_names_are_compared(tmp_path: Path) -> None:
    pair = [made_dissection(tmp_path / name, {name: ["tree"]}) for name in ("a", "b")]
    assert compared(pair).layer == "a / b"
    several = made_dissection(tmp_path / "c", {"c1": ["tree"], "c2": ["tree"]})
    with mistake("bad-value", "a has a", "c has c1, c2"):
        compared([pair[0], several])


def test_units_are_followed(two: list[Path]) -> None:
    own = compared(two, follow=True).units.set_index(["layer", "unit"])
    assert own.loc["layer2"].kept.tolist() == [True, False, False, False, False]
    assert own.loc[("layer1", 3), "kept"]
    assert own.loc[("layer1", 1), ["label_before", "matched_before", "label_after"]].tolist() == [
        "tree",
        False,
        "brick",
    ]
    assert compared(two).units.empty
    with mistake("bad-value", "layer1 / layer2", "4 units in one", "5 in other"):
        compared(two, follow=True, layer=("layer1", "layer2"))


def test_fewer_units_of_the_same_kind_have_so_many_concepts() -> None:
    per_concept = [3, 1, 2]
    units = [c for c, n in enumerate(per_concept) for _ in range(n)] + [None] * 3
    for count in (1, 4, 9):
        subsets = list(itertools.combinations(units, count))
        brute = np.mean([len(set(subset) - {None}) for subset in subsets])
        assert rarefied(per_concept, len(units), count) == pytest.approx(brute)


def test_a_basis_is_told_from_what_is_in_it() -> None:
    assert inner_model("bundled:church?dtype=float16") is None
    inner = inner_model("basis:progan:a/b.pth?dtype=float16&layer=layer4&directions=pca&count=8")
    assert inner == ("progan:a/b.pth?dtype=float16", {"layer": "layer4", "directions": "pca", "count": "8"})


def test_units_stand_beside_directions_of_the_same_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_chance = pd.DataFrame({"layer": ["layer1", "layer2"], "expected": 0.5, "rate": 0.25, "at_most": 0.75})
    monkeypatch.setattr(directions, "false_discovery", lambda _: by_chance)
    turned = "basis:planted:?layer=layer2&directions=rotation&seed=1"
    few = "basis:planted:?layer=layer2&directions=pca&count=2"
    stranger = "basis:bundled:church?layer=layer2&directions=rotation"
    studies = [
        made_dissection(tmp_path / "units", ONE),
        made_dissection(tmp_path / "rotated", {"layer2": ["tree", None, None, None, None]}, generator=turned),
        made_dissection(tmp_path / "few", {"layer2": ["tree", "door"]}, generator=few),
        made_dissection(tmp_path / "other", {"layer2": ["tree"]}, generator=stranger),
    ]
    own = compared(studies).directions.set_index("study")
    assert own.directions.to_dict() == {"units": "units", "rotated": "rotation, seed 1", "few": "pca, count 2"}
    assert own["count"].to_dict() == {"units": 5, "rotated": 5, "few": 2}
    assert own["at"].tolist() == [2, 2, 2]
    assert own[["by_chance", "false_discovery", "at_most"]].to_numpy().tolist() == [[0.5, 0.25, 0.75]] * 3
    assert own.matched_at.tolist() == pytest.approx([4 * 2 / 5, 1 * 2 / 5, 2])
    pairs = list(itertools.combinations(["tree", "tree", "door", "door", None], 2))
    expected = np.mean([len(set(pair) - {None}) for pair in pairs])
    assert own.concepts_at.tolist() == pytest.approx([expected, 2 / 5, 2])


def test_directions_of_several_steps_stand_beside_units_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_chance = pd.DataFrame({"layer": ["up2@4"], "expected": 0.5, "rate": 0.25, "at_most": 0.75})
    monkeypatch.setattr(directions, "false_discovery", lambda _: by_chance)
    words, features = "bundled:church-words", "sae:bundled:church-words?layer=up2@{}&file=it"
    studies = [made_dissection(tmp_path / "units", {"up2@4": ["tree", None]}, generator=words)]
    for steps in ("1..8", "1..3"):
        name = features.format(steps)
        studies.append(made_dissection(tmp_path / steps, {"up2@4": ["tree", "door", None]}, generator=name))
    assert compared(studies).directions["directions"].tolist() == ["units", "it"]


def test_names_are_the_ends_that_tell_paths_apart(tmp_path: Path) -> None:
    paths = [made_dissection(tmp_path / name, ONE) for name in ("a/study", "b/study", "c")]
    assert compared(paths).spec.names == ("a/study", "b/study", "c")
    assert compared(paths, names=("x", "y", "z")).counts.study.unique().tolist() == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({"names": ("a",)}, "bad-value", "1 names"),
        ({"names": ("a", "a")}, "bad-value", "a, a"),
        ({"layer": ("a", "b", "c")}, "bad-value", "3 layers"),
        ({"against": "nobody"}, "bad-value", "against=nobody"),
        ({"draws": 1}, "bad-value", "draws=1"),
        ({"images": 500}, "bad-value", "images"),
        ({"layer": ("layer9",)}, "unknown-name", "layer of one 'layer9'"),
        ({"layer": ("layer2", "layer9")}, "unknown-name", "layer of other 'layer9'"),
    ],
)
def test_what_cannot_be_meant_is_refused(two: list[Path], options: dict[str, Any], code: str, text: str) -> None:
    with mistake(code, text):
        compared(two, **options)


def test_a_bad_directory_among_many_is_named(two: list[Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with mistake("study-error", empty):
        compared([*two, empty])
    (two[1] / "tables/units.parquet").write_bytes(b"PAR1")
    with mistake("bad-file", "other/tables/units.parquet"):
        compared(two)
    with mistake("bad-value", "one", "twice"):
        compared([two[0], two[0] / "."])


def test_a_comparison_agrees_with_the_dissections(planted: Dissection, tmp_path: Path) -> None:
    again = ganatomy.dissect("planted:", segmenter="planted", images=60, seed=5, out=tmp_path / "again")
    found = ganatomy.compare([planted, again.study.directory], names=("long", "short"))
    for name, own in (("long", planted), ("short", again)):
        for row in own.by_layer.itertuples():
            told = counted(found, name, row.layer)
            assert (told.units, told.interpretable) == (row.units, row.interpretable)
            assert (told.matched, told.concepts) == (row.matched, row.concepts)
            assert told.matched_error >= 0
            assert counted(found, name, row.layer, "object").matched == row.object
    pd.testing.assert_frame_equal(
        found.counts, ganatomy.compare([planted, again], names=("long", "short")).counts
    )  # the draws have a seed
    said = " ".join(found.differences)
    assert "images – 120 (long), 60 (short)" in said
    assert "seed – 0 (long), 5 (short)" in said


def test_a_study_against_itself_changes_nothing(planted: Dissection, tmp_path: Path) -> None:
    """The same images are resampled alike, so every difference is zero in every draw."""
    again = ganatomy.dissect("planted:", segmenter="planted", images=120, out=tmp_path / "again")
    own = ganatomy.compare([planted, again]).changes
    assert len(own)
    assert (own.change == "same").all()
    assert (own.difference_error == 0).all()
    assert own.sure.all()


def test_the_quality_of_one_study_is_not_lost_with_its_name(two: list[Path]) -> None:
    with pytest.raises(GanatomyError) as raised:
        compared(two, real="scenes:church")
    assert "this is of the study one" in raised.value.__notes__


def test_a_spec_is_plain() -> None:
    assert CompareSpec(["a", "b"], ["layer1"]) == CompareSpec(("a", "b"), ("layer1",))


def made_quality(dissection: Path, measures: Mapping[str, float], reals: str = "r") -> None:
    """Write a finished study of quality beside a dissection."""
    digest = Dissection.open(dissection).study.digest
    spec = QualitySpec(digest, "planted:", "planted:", real="scenes:church", images=300, reals=300, textures=0)
    inputs = {"dissection": digest, "real images": reals, "feature network": "f"}
    directory = Path(f"{dissection}-causal") / "image" / f"quality-{reals}"
    with Study.create(directory, spec, {"inputs": inputs}) as study:
        rows = [(name, value, value / 10, 300, 0.0) for name, value in measures.items()]
        study.write_table("quality", pd.DataFrame(rows, columns=["measure", "value", "error", "images", "bias"]))
        study.finish()


def test_quality_that_was_measured_is_found_beside_the_studies(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_distance, "_sizes", lambda _: [])
    assert compared(two).quality.empty
    made_quality(two[0], {"fid": 0.5, "swd-64": 10.0, "swd-32": 20.0, "swd-16": 60.0})
    assert compared(two).quality.empty, "one point of two"
    made_quality(two[1], {"fid": 0.25, "swd-32": 10.0, "swd-16": 30.0})
    made_quality(two[1], {"fid": 0.75}, reals="other images")
    third = made_dissection(tmp_path / "third", ONE)
    found = compared([*two, third])
    assert found.quality.pivot_table("value", "study", "measure").loc["one"].to_dict() == {
        "fid": 0.5, "swd-64": 10.0, "swd-32": 20.0, "swd-16": 60.0, "swd-mean": 40.0,
    }  # fmt: skip
    mean = found.quality[found.quality.measure == "swd-mean"].set_index("study")
    assert mean.value.to_dict() == {"one": 40.0, "other": 20.0}, "over the levels that both have"
    assert mean.error.to_dict() == {"one": 4.0, "other": 2.0}
    assert "Not measured against the same real images as the others: third." in found.differences
    (two[0] / "study.json").write_text(
        (two[0] / "study.json").read_text().replace(found.studies[0].dissection.study.digest, "0" * 64)
    )
    assert compared(two).quality.empty, "it was of another dissection"
