"""A training read from its checkpoints: what is counted, what became of units, what cannot be looked at."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.experiments.bootstrap import resampled
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.monitor.snapshots import DRAWS, Snapshot, add_errors, count_units, read_snapshots
from ganatomy.experiments.monitor.steps import plan_checkpoints, read_steps
from ganatomy.experiments.monitor.training_history import TrainingHistory
from ganatomy.models.generators.progan import progan_network

FAST = {"segmenter": "planted", "images": 16, "levels": 8, "batch": 8, "layers": ("layer1",)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> TrainingHistory:
    """Two snapshots of the planted generator, and one that fails."""
    names = ["planted", "planted:nobody-3", "planted"]
    return ganatomy.monitor(names, steps=[10, 20, 30], out=tmp_path_factory.mktemp("seen") / "out", **FAST)


def history(*snapshots: Sequence[str | None]) -> pd.DataFrame:
    """The labels of units at each look; ``~`` before one that is not matched."""
    rows = [
        (10 * (i + 1), "layer1", unit, label.lstrip("~") if label else None, "object", 0.9 - unit / 10, label)
        for i, labels in enumerate(snapshots)
        for unit, label in enumerate(labels)
    ]
    table = pd.DataFrame(rows, columns=["step", "layer", "unit", "label", "category", "iou", "matched"])
    return table.assign(matched=[isinstance(label, str) and label[0] != "~" for label in table.matched])


def told(table: pd.DataFrame) -> TrainingHistory:
    from ganatomy.experiments.monitor.training_history import _turnover

    snapshots = tuple(Snapshot(step, str(step), study="somewhere") for step in sorted(set(table.step)))
    return TrainingHistory(Path("nowhere"), snapshots, pd.DataFrame(), table, _turnover(table), pd.DataFrame())


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["G_100.pth", "G_20.pth"], [100, 20]),
        (["run2/32px-000500.safetensors", "run2/32px-001000.safetensors"], [500, 1000]),
        (["epoch=1-step=10.ckpt", "epoch=2-step=20.ckpt"], [10, 20]),
        (["100/G.pt", "200/G.pt"], [100, 200]),
        (["100/G2.pt", "200/G2.pt"], [100, 200]),
        (["only-7.pt2"], [7]),
        (["progan:a-5.pth?size=64", "progan:a-6.pth?size=32"], [5, 6]),
    ],
)
def test_steps_are_read_from_names(names: list[str], steps: list[int]) -> None:
    assert read_steps(names) == steps


def test_checkpoints_are_put_in_the_order_of_their_steps() -> None:
    planned = plan_checkpoints([Path("run/10k.pth"), Path("run/9k.pth")], "progan:{}?pixelnorm=no")
    assert [(each.step, each.name, each.generator) for each in planned] == [
        (9, "run/9k.pth", "progan:run/9k.pth?pixelnorm=no"),
        (10, "run/10k.pth", "progan:run/10k.pth?pixelnorm=no"),
    ]


@pytest.mark.parametrize(
    ("names", "opening", "steps", "fact"),
    [
        ([], "progan:{}", None, "list"),
        ("a-1.pth", "progan:{}", None, "list"),
        (["a-1.pth"], "progan", None, "'progan'"),
        (["a-1.pth"], None, None, "'progan:{}'"),
        (["a.pth"], "progan:{}", None, "a.pth"),
        (["a-1.pth", "b-1.pth"], "progan:{}", None, "a-1.pth and b-1.pth"),
        (["a-1.pth"], "progan:{}", [1, 2], "1 checkpoints and 2 steps"),
        (["a-1.pth"], "progan:{}", [-1], "step -1 of a-1.pth"),
    ],
)
def test_what_cannot_be_planned(names: list[str], opening: str | None, steps: list[int] | None, fact: str) -> None:
    with mistake("bad-value", fact):
        plan_checkpoints(names, opening, steps)


def test_counts_are_those_of_the_dissection(planted: Dissection) -> None:
    found = count_units(planted).set_index(["layer", "category"])
    for row in planted.by_layer.itertuples():
        own = found.loc[(row.layer, "all")]
        assert (own.units, own.interpretable, own.matched) == (row.units, row.interpretable, row.matched)
        assert own.concepts == row.concepts
        assert found.loc[(row.layer, "object")].matched == row.object
        units = planted.units[(planted.units.layer == row.layer) & planted.units.matched]
        assert own.matched_iou == pytest.approx(units.iou.mean())
    whole, matched = found.loc[("all", "all")], planted.units[planted.units.matched]
    assert whole.matched == len(matched)
    assert whole.concepts == matched.label.nunique() < planted.by_layer.concepts.sum()


def test_errors_stand_beside_the_counts(planted: Dissection) -> None:
    found = count_units(planted).set_index(["layer", "category"])
    drawn = resampled(planted, DRAWS)
    assert drawn is not None
    errors = drawn.counts.set_index(["layer", "category", "quantity"]).error
    for layer in planted.layers:
        for name in ("interpretable", "matched", "concepts", "matched_iou"):
            for category in ("all", "object"):
                assert found[f"{name}_error"][layer, category] == errors[layer, category, name], name


def test_errors_may_come_later(seen: TrainingHistory, tmp_path: Path) -> None:
    shutil.copytree(seen.directory, tmp_path / "out")
    for look in read_snapshots(tmp_path / "out"):
        bare = [{n: v for n, v in row.items() if not n.endswith("_error")} for row in look.numbers]
        dataclasses.replace(look, numbers=bare).write(tmp_path / "out")
    assert "matched_error" not in TrainingHistory.open(tmp_path / "out").table
    add_errors(tmp_path / "out")
    pd.testing.assert_frame_equal(TrainingHistory.open(tmp_path / "out").table, seen.table)


def test_a_training_is_told_by_its_snapshots(seen: TrainingHistory) -> None:
    assert seen.steps == [10, 30]
    assert seen.layers == ["layer1"]
    assert set(seen.table.images) == {16}
    assert seen.skipped[["step", "name"]].to_numpy().tolist() == [[20, "planted:nobody-3"]]
    assert "nobody-3" in seen.skipped.reason[0]
    assert repr(seen) == "<TrainingHistory of 2 snapshots, steps 10 to 30>"
    own = seen.history[seen.history.step == 30]
    assert own.label.tolist() == seen.dissection(30).units.label.tolist()
    kept = seen.turnover.iloc[0]
    assert (kept.step, kept.before, kept.changed, kept.lost, kept.gained) == (30, 10, 0, 0, 0)
    assert kept.kept == own.matched.sum() > 0
    with mistake("unknown-name", "20", "10, 30"):
        seen.dissection(20)


def test_it_opens_again_without_models(seen: TrainingHistory) -> None:
    again = TrainingHistory.open(seen.directory)
    pd.testing.assert_frame_equal(again.table, seen.table)
    pd.testing.assert_frame_equal(again.turnover, seen.turnover)


def test_what_is_there_is_not_dissected_again(
    seen: TrainingHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("dissected again")

    shutil.copytree(seen.directory, tmp_path / "out")
    monkeypatch.setattr("ganatomy.experiments.dissect.tally_shard", never)
    again = ganatomy.monitor(["planted"], steps=[30], out=tmp_path / "out", **FAST)
    assert again.steps == [10, 30]
    with pytest.raises(AssertionError, match="dissected again"):
        ganatomy.monitor(["planted"], steps=[40], out=tmp_path / "out", **FAST)


def test_another_model_of_the_same_step_takes_its_place(seen: TrainingHistory, tmp_path: Path) -> None:
    shutil.copytree(seen.directory, tmp_path / "out")
    again = ganatomy.monitor(["planted"], steps=[30], out=tmp_path / "out", **{**FAST, "images": 12})
    assert again.table[again.table.step == 30].images.unique().tolist() == [12]
    assert again.steps == [10, 30]


def test_turnover_says_what_became_of_the_concepts() -> None:
    found = told(history(["tree", "sky", "~sky", None, "sky"], ["tree", "dome", "sky", None, "~sky"]))
    assert found.turnover.iloc[0].to_dict() == {
        "step": 20,
        "before": 10,
        "layer": "layer1",
        "kept": 1,
        "changed": 1,
        "lost": 1,
        "gained": 1,
    }
    became = found.follow([("layer1", unit) for unit in range(5)])
    assert became[became.step == 20].became.tolist() == ["kept", "changed", "gained", None, "lost"]
    assert became[became.step == 10].became.isna().all()


def test_layers_that_grow_are_not_compared() -> None:
    assert told(history(["tree", "sky"], ["tree", "sky", "dome"])).turnover.empty


def test_since_when_units_have_their_concept() -> None:
    found = told(
        history(["sky", "~sky", "tree", "sky"], ["sky", "dome", "tree", "sky"], ["dome", "dome", "tree", "~sky"])
    ).since
    assert found[["unit", "label", "since"]].to_numpy().tolist() == [[0, "dome", 30], [1, "dome", 20], [2, "tree", 10]]
    assert found.before.fillna("").tolist() == ["sky", "", ""]


def test_the_best_units_are_of_different_concepts_first() -> None:
    found = told(history(["sky", "sky", "~dome", "tree", "tree"]))
    assert found.best(3) == [("layer1", 0), ("layer1", 3), ("layer1", 1)]
    assert found.best(9) == [("layer1", unit) for unit in (0, 3, 1, 4, 2)]
    with mistake("unknown-name", "layer1/9"):
        found.follow([("layer1", 9)])


def test_when_none_can_be_looked_at(tmp_path: Path) -> None:
    with mistake("bad-model", "2 checkpoints", "nothing-1.pth"):
        ganatomy.monitor(["nothing-1.pth", "nothing-2.pth"], opening="progan:{}", out=tmp_path / "out", **FAST)
    with mistake("study-error", tmp_path / "out", "step 1"):
        TrainingHistory.open(tmp_path / "out")


def test_a_layer_that_is_not_there_yet(tmp_path: Path) -> None:
    """A network that grows: its early checkpoints have fewer layers."""
    for side, widths in ((4, [8, 8]), (8, [8, 8, 8, 8])):
        torch.save(progan_network(8, widths).state_dict(), tmp_path / f"at-{side}.pth")
    names = sorted(map(str, tmp_path.glob("at-*.pth")))
    options = {**FAST, "segmenter": "colors", "opening": "progan:{}"}
    found = ganatomy.monitor(names, out=tmp_path / "some", **{**options, "layers": ("layer2", "layer4")})
    assert found.history.groupby("step").layer.unique().map(list).tolist() == [["layer2"], ["layer2", "layer4"]]
    later = ganatomy.monitor(names, out=tmp_path / "later", **{**options, "layers": ("layer4",)})
    assert later.steps == [8]
    assert "unknown layer 'layer4'" in later.skipped.reason[0]
    with mistake("unknown-name", "layer9"):
        ganatomy.monitor(names, out=tmp_path / "none", **{**options, "layers": ("layer2", "layer9")})


def test_snapshots_by_another_segmenter_are_refused(seen: TrainingHistory) -> None:
    with mistake("bad-value", seen.directory, "segmenter"):
        ganatomy.monitor(["planted"], steps=[40], out=seen.directory, **{**FAST, "segmenter": "colors"})


def test_directories_that_hold_something_else(tmp_path: Path, seen: TrainingHistory) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    for name in ("file", "full"):
        with mistake("study-error", tmp_path / name):
            ganatomy.monitor(["planted"], steps=[1], out=tmp_path / name, **FAST)
    with mistake("study-error", tmp_path / "none"):
        TrainingHistory.open(tmp_path / "none")
    shutil.copytree(seen.directory, tmp_path / "cut")
    (tmp_path / "cut" / "snapshots" / "000000010.json").write_text("{")
    with mistake("bad-file", "000000010.json"):
        TrainingHistory.open(tmp_path / "cut")


def test_a_run_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its first look, before there is any; then the same command again."""
    from ganatomy.experiments.monitor import snapshots

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            ganatomy.monitor(["planted"], steps=[1], out=tmp_path / "out", **FAST)
    assert ganatomy.monitor(["planted"], steps=[1], out=tmp_path / "out", **FAST).steps == [1]


def test_snapshots_have_the_same_bits_and_times_are_logged_beside(seen: TrainingHistory, tmp_path: Path) -> None:
    again = ganatomy.monitor(["planted", "planted:nobody-3", "planted"], steps=[10, 20, 30], out=tmp_path, **FAST)
    for path in (seen.directory / "snapshots").iterdir():
        assert path.read_bytes() == (again.directory / "snapshots" / path.name).read_bytes()
    times = pd.read_csv(tmp_path / "times.csv")
    assert times.step.tolist() == [10, 20, 30]
    assert (times.seconds[[0, 2]] > 0).all()
