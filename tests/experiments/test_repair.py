"""Repair: the planted fault must go, random units must not mend it, and every number stands beside one made plainly."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mistakes import mistake
from spoilt import FAULTY, D
from tiny_words import save_words
from torch import Tensor

import ganatomy
from ganatomy.annotations import open_annotations
from ganatomy.cli import main
from ganatomy.core.errors import GanatomyError, UnknownName
from ganatomy.core.progress import NullProgress
from ganatomy.experiments.artifacts import Artifacts, run_artifacts
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.jackknife import Textures
from ganatomy.experiments.real_comparison import describing_seconds, open_comparison
from ganatomy.experiments.repair import Repair, RepairSpec, rank_by_peak, repair_table, run_repair
from ganatomy.experiments.repair_plan import plan_repair
from ganatomy.report.causal.page import causal_html
from ganatomy.report.causal.repair import repair_section
from ganatomy.stats.frechet import FeatureMoments, frechet_distance

SMALL: dict[str, Any] = {"images": 160, "top": 20, "reals": 100, "textures": 20, "random": 2, "show": 2}
SETS = (("fault", (FAULTY,)), ("innocent", (3,)), ("union", (FAULTY, 3)))


@pytest.fixture(scope="module")
def options(place: Path) -> dict[str, Any]:
    return {"real": str(place / "real"), "features": f"unet:{place / 'net.safetensors'}"}


@pytest.fixture(scope="module")
def spec(source: DissectedModel, options: dict[str, Any]) -> RepairSpec:
    return RepairSpec(**source.names(), layer="units", sets=SETS, **options, **SMALL)


@pytest.fixture(scope="module")
def result(spec: RepairSpec, source: DissectedModel, place: Path) -> Repair:
    return run_repair(spec, source, place / "repair")


def never(*_: Any) -> Any:
    raise AssertionError("this was done before")


def row(result: Repair, sample: str, name: str) -> Any:
    found = result.table[(result.table["sample"] == sample) & (result.table["set"] == name)]
    return next(found.itertuples())


def test_the_fault_goes_and_random_units_do_not_mend_it(result: Repair) -> None:
    for sample in ("artifacts", "plain"):
        before, mended, other, random = (row(result, sample, n) for n in ("original", "fault", "innocent", "random"))
        assert mended.change < -3 * mended.change_error < 0
        assert mended.fid < before.fid / 5
        assert abs(other.change) < 1e-6  # unit 3 draws nothing
        assert random.fid > before.fid / 2
        assert math.isnan(before.change)
    assert row(result, "artifacts", "original").fid > row(result, "plain", "original").fid
    assert row(result, "plain", "union").fid == pytest.approx(row(result, "plain", "fault").fid, rel=1e-5)
    textures = result.textures.set_index("set")
    assert textures.swd["fault"] < textures.swd["original"] - 4 * textures.change_error["fault"]
    assert textures.swd["innocent"] == textures.swd["original"]


def test_every_number_is_that_of_its_images(result: Repair, spec: RepairSpec, source: DissectedModel) -> None:
    generator, network = source.models.generator, ganatomy.open_features(spec.features)
    setting = open_comparison(spec, source)
    z = generator.latents(spec.ids(), 0)
    peaks = generator.observe(z, ["units"]).features["units"].amax((2, 3))[:, [3, FAULTY]]
    order = [peaks[:, i].argsort(descending=True).tolist() for i in (0, 1)]
    best = sorted(range(160), key=lambda i: (min(own.index(i) for own in order), i))[:20]
    real = FeatureMoments(D)
    real.update(network.features(setting.images.images(setting.images.sample_indices(range(100), 0), setting.frame)))
    drawn: dict[str, list[float]] = {"artifacts": [], "plain": []}
    for name, units in spec.trials(6):
        features = network.features(_without(generator, z, units))
        for sample, chosen in (("artifacts", best), ("plain", range(160))):
            own = FeatureMoments(D)
            own.update(features[list(chosen)])
            distance = float(frechet_distance(real, own).distance)
            if name.startswith("random"):
                drawn[sample].append(distance)
            else:
                assert row(result, sample, name).fid == pytest.approx(distance, rel=1e-3)
    for sample, found in drawn.items():
        assert row(result, sample, "random").fid == pytest.approx(np.mean(found), rel=1e-3)
        assert row(result, sample, "random").spread == pytest.approx(np.std(found, ddof=1), rel=1e-2)
    assert list(result.table.images[::5]) == [20, 160]
    shown = result.strips.images
    assert shown.shape == (4, 5, 16, 16, 3)
    assert result.strips.ids.tolist() == [spec.first + i for i in (*best[:2], 0, 1)]
    plain = (_without(generator, z[:1], ()) + 1) * 127.5
    assert torch.equal(shown[2, 0], plain.round().clamp(0, 255).byte()[0].permute(1, 2, 0))
    assert not torch.equal(shown[:2, 0], shown[:2, 1])  # one of the two is of the fault


def _without(generator: Any, z: Tensor, units: Sequence[int]) -> Tensor:
    edits = [ganatomy.Intervention.ablate("units", (6, 4, 4), units)] if units else []
    return generator.edited(z, edits).clamp(-1, 1)


def test_an_error_does_not_hang_on_which_image_is_greatest(spec: RepairSpec) -> None:
    """The greatest come first, so blocks of the ranking would be of other kinds of images."""
    torch.manual_seed(0)
    real = FeatureMoments(D)
    real.update(torch.randn(60, D))
    features = [torch.randn(160, D) for _ in range(5 + 1)]
    tables = [
        repair_table(spec, features, real, torch.arange(40)[order], NullProgress()) for order in (slice(None), MIXED)
    ]
    pd.testing.assert_frame_equal(*tables)


MIXED = torch.randperm(40, generator=torch.Generator().manual_seed(1))


def test_random_sets_are_as_large_as_the_last_and_have_none_of_the_chosen(spec: RepairSpec) -> None:
    trials = spec.trials(6)
    assert [name for name, _ in trials] == ["original", "fault", "innocent", "union", "random 1", "random 2"]
    for _, units in trials[4:]:
        assert len(units) == 2
        assert not set(units) & {FAULTY, 3}
    assert trials[4:] != dataclasses.replace(spec, seed=1).trials(6)[4:]


def test_images_are_lent_by_turns_and_no_scale_matters() -> None:
    peaks = torch.tensor([[5.0, 0.1], [4.0, 0.3], [3.0, 0.9], [2.0, 0.8], [1.0, 0.2]])
    assert rank_by_peak(peaks, 4).tolist() == [0, 2, 1, 3]
    assert rank_by_peak(peaks * torch.tensor([1.0, 1000.0]), 4).tolist() == [0, 2, 1, 3]
    assert rank_by_peak(torch.cat([peaks, torch.zeros(5, 1)], 1), 4).tolist() == [0, 2, 1, 3]  # a dead unit lends none
    assert rank_by_peak(torch.tensor([[2.0], [1.0], [2.0]]), 2).tolist() == [0, 2]
    with mistake("bad-value", "NaN"):
        rank_by_peak(torch.tensor([[math.nan], [1.0]]), 1)


class Killed(Exception):
    pass


def test_a_killed_run_ends_in_the_same_tables(
    result: Repair, spec: RepairSpec, source: DissectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(work: Any, shards: Sequence[range]) -> Iterator[Any]:
        yield 1, work(shards[0])
        raise Killed

    whole = Textures.of
    with monkeypatch.context() as patch:
        patch.setattr(
            Textures, "of", lambda self, label, drawn: never() if "union" in label else whole(self, label, drawn)
        )
        with pytest.raises(AssertionError):
            run_repair(spec, source, tmp_path / "again")
    for _ in range(2):
        with pytest.raises(Killed):
            run_repair(spec, source, tmp_path / "again", engine=dies)
    monkeypatch.setattr(Textures, "of", never)
    again = run_repair(spec, source, tmp_path / "again")
    pd.testing.assert_frame_equal(again.table, result.table, check_exact=True)
    pd.testing.assert_frame_equal(again.textures, result.textures, check_exact=True)
    assert torch.equal(again.strips.images, result.strips.images)
    monkeypatch.setattr("ganatomy.experiments.repair.describe_made", never)
    assert run_repair(spec, source, tmp_path / "again").facts == again.facts


def ranker(source: DissectedModel) -> Any:
    return lambda asked, where: run_artifacts(asked, source, where)


def test_the_worst_are_those_of_the_ranking(source: DissectedModel, options: dict[str, Any], place: Path) -> None:
    small = {name: SMALL[name] for name in ("images", "top", "reals", "textures")}
    spec, usual = plan_repair(source, ["units"], {**options, **small, "worst": 2, "units": (0,)}, ranker(source))
    ranked = "artifacts-real-net.safetensors-images-160-reals-100-top-20"
    ranking = Artifacts.open(place / "study-causal" / "units" / ranked)
    assert dict(spec.sets)["worst 2"] == tuple(ranking.table.unit[:2])
    assert spec.sets[0][1][0] == FAULTY
    assert spec.sets[2] == ("union", (*spec.sets[0][1], 0))
    assert spec.ranking == ranking.study.digest
    assert usual.parent == source.sibling_path("units", "")
    assert usual.name.startswith("repair-real-net.safetensors-worst-2-units-")
    again, _ = plan_repair(
        source, ["units"], {**options, **small, "worst": 2, "ranking": ranking.study.directory}, never
    )
    assert again.sets == spec.sets[:1]
    with mistake("bad-value", 1000000, 1000159, "first=1000160"):
        plan_repair(source, ["units"], {**options, **small, "worst": 2, "first": 1_000_100}, ranker(source))
    other = dataclasses.replace(ranking.spec, dissection="another")
    run_artifacts(other, source, place / "another")
    with mistake("study-mismatch", place / "another"):
        plan_repair(source, ["units"], {**options, "worst": 2, "ranking": place / "another"}, never)


def test_flags_of_people(source: DissectedModel, options: dict[str, Any], place: Path) -> None:
    notes = open_annotations(place / "flags.db")
    notes.flag(source.dissection.study.digest, "units", FAULTY, "ann", True)
    notes.close()
    asked = {**options, "flagged": True, "annotations": str(place / "flags.db")}
    spec, _ = plan_repair(source, ["units"], asked, never)
    assert spec.sets == (("flagged", (FAULTY,)),)
    assert spec.ranking == ""


@pytest.mark.parametrize(
    ("change", "code", "fact"),
    [
        ({}, "bad-value", "concept, worst, flagged or units"),
        ({"best": 3}, "bad-value", "best=3"),
        ({"concept": "unicorn"}, "unknown-name", "unicorn"),
        ({"units": (6,)}, "unknown-name", "units/6"),
        ({"units": ()}, "bad-value", "units=[]"),
        ({"units": (1, 1)}, "bad-value", "units=[1, 1]"),
        ({"worst": 7}, "bad-value", "worst=7"),
        ({"worst": 0}, "bad-value", "worst=0"),
        ({"flagged": True}, "bad-value", "flagged and annotations"),
        ({"annotations": "flags.db"}, "bad-value", "flagged and annotations"),
        ({"flagged": True, "annotations": "nowhere.db"}, "bad-file", "nowhere.db"),
        ({"ranking": "somewhere"}, "bad-value", "ranking"),
        ({"worst": 2, "ranking": "nowhere"}, "study-error", "nowhere"),
        ({"units": (1,), "top": 200, "images": 100, "textures": 0}, "bad-value", "top=200"),
        ({"units": (1,), "random": -1}, "bad-value", "random=-1"),
        ({"units": (1,), "textures": 1}, "bad-value", "textures=1"),
    ],
)
def test_what_cannot_be_planned(
    source: DissectedModel, options: dict[str, Any], change: dict[str, Any], code: str, fact: str
) -> None:
    with mistake(code, fact):
        plan_repair(source, ["units"], {**options, **change}, never)


def test_units_that_are_not_there_are_refused(spec: RepairSpec, source: DissectedModel, tmp_path: Path) -> None:
    for change in ({"layer": "layer9"}, {"sets": (("one", (9,)),)}):
        with pytest.raises(UnknownName):
            run_repair(dataclasses.replace(spec, **change), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sets_need_names_of_their_own(spec: RepairSpec) -> None:
    for sets in ((), (("a", (1,)), ("a", (2,)))):
        with mistake("bad-value", f"sets={[name for name, _ in sets]}"):
            dataclasses.replace(spec, sets=sets)


def test_one_draw_has_no_spread_and_none_no_row(spec: RepairSpec, source: DissectedModel, tmp_path: Path) -> None:
    few = dataclasses.replace(spec, random=1, textures=0, sets=SETS[:1])
    one = run_repair(few, source, tmp_path / "one")
    assert math.isnan(row(one, "plain", "random").spread)
    assert one.textures.empty
    none = run_repair(dataclasses.replace(few, random=0), source, tmp_path / "none")
    assert list(none.table["set"]) == ["original", "fault"] * 2
    for result in (one, none):
        text = causal_html(result)
        assert "Are the textures nearer?" not in text
    assert "drawn at random by" not in repair_section(none).answer


def test_the_page(result: Repair) -> None:
    section = repair_section(result)
    assert section.question == "Does ablating 2 units of units repair the images (union)?"
    better = "the images in which the units are greatest and plain images are nearer to real ones than before"
    start = f"Better: {better}. Of 20 images in which the units are greatest, the Fréchet "
    assert section.answer.startswith(start)
    assert section.blocks[0].body.count('class="tile"') == 2 * 5
    assert "No repaired generator was written: an open generator has no name" in section.blocks[-1].lead
    page = causal_html(result)
    assert "A segmenter labels" not in " ".join(page.split())
    assert "Fréchet distance of two Gaussians" in page
    assert ">nan" not in page


def test_the_estimate_counts_every_trial(
    spec: RepairSpec, source: DissectedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert describing_seconds(source, spec, [(), (1,)], 20) > 0


def test_the_repaired_generator_opens(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ganatomy.dissect("planted", segmenter="planted", layers=("layer1",), images=24, out=place / "planted")
    own = {"real": str(place / "real"), "features": f"unet:{place / 'net.safetensors'}", **SMALL, "batch": 60}
    del own["show"]
    found = ganatomy.repair(place / "planted", layer="layer1", worst=2, **own)
    line = ["repair", str(place / "planted"), "--layer", "layer1", "--worst", "2"]
    line += [part for name, value in own.items() for part in (f"--{name}", str(value))]
    assert main(line) == 0
    assert f"opens: {found.opens}" in capsys.readouterr().out
    repaired = ganatomy.open_generator(found.opens)
    original = ganatomy.open_generator("planted")
    z, units = original.latents(range(3), 0), list(found.spec.sets[0][1])
    kept, before = (own.observe(z, ["layer1"]).features["layer1"][:, units] for own in (repaired, original))
    assert not kept.any()
    assert before.any()
    with mistake("bad-file", place / "planted", "repair study"):
        Repair.open(place / "planted")


def test_the_command_refuses_in_one_line(place: Path, refused: Callable[..., None]) -> None:
    line = ["repair", str(place / "study"), "--layer", "units", "--real", str(place / "real")]
    refused([*line, "--worst", "2"], place / "study", "generator=")
    refused([*line[:-2], "--worst", "2"], "--real")


def test_nothing_is_ranked_for_a_repair_that_cannot_be(source: DissectedModel, options: dict[str, Any]) -> None:
    for change in ({"top": 200, "images": 100, "textures": 0}, {"textures": 1}, {"units": (9,)}, {"first": 1_000_000}):
        with pytest.raises(GanatomyError):
            plan_repair(source, ["units"], {**options, "worst": 2, **change}, never)


def test_a_concept_is_taken_away_at_several_steps(place: Path, tmp_path: Path) -> None:
    name = save_words(tmp_path / "w.pt")
    study = ganatomy.dissect(name, segmenter="colors", layers=("up1@1", "up1@2"), images=32, out=tmp_path / "study")
    concept = study.concepts.concept[study.concepts.share.idxmax()]
    own = {
        **SMALL,
        "real": str(place / "real"),
        "features": f"unet:{place / 'net.safetensors'}",
        "textures": 0,
        "counted": 16,
    }
    found = ganatomy.repair(study, layer="up1", at_steps="1..2", concept=concept, best=3, **own)
    assert (found.spec.layer, found.spec.more, len(found.spec.sets[0][1])) == ("up1@1", ("up1@2",), 3)
    generator, repaired = ganatomy.open_generator(name), ganatomy.open_generator(found.opens)
    edits = [
        ganatomy.Intervention.ablate(layer, generator.layers[layer], found.spec.sets[0][1])
        for layer in ("up1@1", "up1@2")
    ]
    ids = range(found.spec.first, found.spec.first + found.spec.counted)
    z = generator.latents(ids, 0)
    before, after = generator.observe(z, ()).images, generator.edited(z, edits)
    assert torch.allclose(repaired.observe(z[:4], ()).images, after[:4], atol=1e-5)
    segmenter = ganatomy.open_segmenter("colors")
    number = next(i for i, each in enumerate(segmenter.vocabulary) if each.name == concept)
    shares = [(segmenter(images)[:, 0] == number).double().mean((1, 2)) for images in (before, after)]
    row = found.effects.iloc[0]
    assert (row.concept, row.set) == (concept, concept)
    assert row.before == pytest.approx(float(shares[0].mean()), abs=1e-3)
    assert row.change == pytest.approx(float((shares[1] - shares[0]).mean()), abs=1e-3)
    assert found.effects.random.notna().all()
    assert found.export is None
    assert "no pipeline" in found.facts["repaired"]["export"]["how"]
    page = causal_html(found)
    assert "What goes, and what else changes?" in page
    assert "Nothing was written that runs without this program" in page
