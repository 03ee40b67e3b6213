"""Units that spoil images: one is planted, and must be found; every number beside one computed without the study."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mistakes import mistake
from PIL import Image
from spoilt import FAULTY, D, painter
from torch import Tensor

import ganatomy
from ganatomy.annotations import open_annotations
from ganatomy.cli import main
from ganatomy.experiments import artifacts as module
from ganatomy.experiments.artifacts import Artifacts, flagged_units, plan_artifacts, run_artifacts, tops
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.real_comparison import ArtifactSpec, open_comparison
from ganatomy.report.causal.artifacts import artifacts_section
from ganatomy.report.causal.page import causal_html
from ganatomy.stats.frechet import FeatureMoments, frechet_distance

SMALL = {"images": 120, "top": 20, "reals": 100, "draws": 4}


@pytest.fixture(scope="module")
def spec(place: Path, source: DissectedModel) -> ArtifactSpec:
    own = {"real": str(place / "real"), "features": f"unet:{place / 'net.safetensors'}"}
    return ArtifactSpec(**source.names(), layer="units", **own, **SMALL)


@pytest.fixture(scope="module")
def result(spec: ArtifactSpec, source: DissectedModel, place: Path) -> Artifacts:
    return run_artifacts(spec, source, place / "artifacts")


def test_the_planted_unit_is_the_worst(result: Artifacts) -> None:
    table, usual = result.table, result.samples.set_index("sample").loc["random"]
    assert table.unit[0] == FAULTY
    assert table.fid[0] > max(2 * table.fid[1], usual.fid + 4 * usual.spread)
    assert sorted(table.unit) == list(range(6))
    assert table.fid.is_monotonic_decreasing
    np.testing.assert_allclose(table.excess, table.fid - usual.fid)
    np.testing.assert_allclose(table.fid, table.means + table.covariances)


def test_every_distance_is_that_of_its_images(result: Artifacts, spec: ArtifactSpec, source: DissectedModel) -> None:
    generator = source.models.generator
    network: Any = ganatomy.open_segmenter(spec.features)
    seen = generator.observe(generator.latents(spec.ids(), 0), ["units"])
    features, peaks = network.features(seen.images.clamp(-1, 1)), seen.features["units"].amax((2, 3))
    files = [np.asarray(Image.open(path)) for path in Path(spec.real).iterdir()]
    real, made = FeatureMoments(D), FeatureMoments(D)
    real.update(network.features(torch.from_numpy(np.stack(files)).permute(0, 3, 1, 2).float() / 127.5 - 1))
    made.update(features)
    for row in result.table.itertuples():
        own = FeatureMoments(D)
        own.update(features[peaks[:, row.unit].argsort(descending=True)[: spec.top]])
        assert row.fid == pytest.approx(float(frechet_distance(real, own).distance), rel=1e-4)
    samples = result.samples.set_index("sample")
    assert samples.fid["all"] == pytest.approx(float(frechet_distance(real, made).distance), rel=1e-6)
    assert list(samples.images) == [20, 120]
    assert samples.bias["random"] > samples.bias["all"] > 0


def test_a_finished_study_keeps_no_features(result: Artifacts) -> None:
    """At the paper's size they are 1.6 GB, and nothing reads them again."""
    kept = {path.name for path in (result.study.directory / "steps").iterdir()}
    assert kept == {"distances.npz", "strips.npz"}


def test_of_equals_the_first_images_are_taken() -> None:
    assert tops(torch.tensor([[1.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), 2).tolist() == [[1, 2], [0, 1]]
    assert tops(torch.zeros(5000, 1), 3).tolist() == [[0, 1, 2]]


def test_real_images_are_described_once(
    result: Artifacts, spec: ArtifactSpec, source: DissectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(spec, top=25)

    def never(*_: Any) -> None:
        raise AssertionError("they were described before")

    monkeypatch.setattr("ganatomy.experiments.real_comparison.describe_real", never)
    assert run_artifacts(other, source, tmp_path / "a").table.unit[0] == FAULTY
    with pytest.raises(AssertionError, match="described before"):  # others were not
        run_artifacts(dataclasses.replace(other, reals=99), source, tmp_path / "b")


def test_other_real_images_are_another_study(result: Artifacts, spec: ArtifactSpec, source: DissectedModel) -> None:
    extra = Path(spec.real) / "extra.png"
    Image.new("RGB", (20, 30)).save(extra)
    try:
        with mistake("study-mismatch", "real images"):
            run_artifacts(spec, source, result.study.directory)
    finally:
        extra.unlink()


def test_savings_do_not_grow_with_the_square_of_the_images(spec: ArtifactSpec, source: DissectedModel) -> None:
    compared = open_comparison(spec, source)
    assert [len(shard) for shard in compared.shards()] == [50, 50, 20]
    many = dataclasses.replace(spec, images=200_000, top=10_000)
    assert len(dataclasses.replace(compared, spec=many).shards()) == 20


def test_flags_of_people(result: Artifacts, source: DissectedModel, tmp_path: Path) -> None:
    assert result.curve is None
    second = int(result.table.unit[2])
    found = result.against([FAULTY, second])
    assert found.curve is not None
    assert found.curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4, 2 / 5, 2 / 6])
    assert found.curve.recall.tolist() == [0.5, 0.5, 1, 1, 1, 1]
    section = artifacts_section(found)
    assert "People flagged 2 of 6 units" in section.blocks[2].lead
    for wrong in ([], [6]):
        with mistake("bad-value", wrong, "units", "0 to 5"):
            result.against(wrong)
    where = tmp_path / "flags.db"
    with mistake("bad-file", where):
        flagged_units(source, "units", where)
    assert not where.exists()
    notes = open_annotations(where)
    with mistake("bad-value", where, "units", "annotations"):
        flagged_units(source, "units", where)
    notes.flag(source.dissection.study.digest, "units", FAULTY, "ann", True)
    notes.flag("another dissection", "units", 1, "ann", True)
    notes.close()
    assert flagged_units(source, "units", where) == [FAULTY]


def labelled(result: Artifacts) -> Artifacts:
    """Six units: what they are said to draw, and how far they are."""
    table = pd.DataFrame(
        {
            "unit": range(6),
            "label": ["sofa", "sofa", "sky", None, None, "sky"],
            "category": ["object", "object", "object", None, None, "object"],
            "iou": [0.2, 0.2, 0.3, math.nan, math.nan, 0.4],
            "interpretable": [True, True, True, True, False, True],
            "matched": [True, False, True, False, False, True],
            "interpretable_with": ["sofa", "sofa", "sky", "tree", None, "sky"],
            "interpretable_category": ["object", "object", "object", "object", None, "object"],
            "fid": [5.0, 4.0, 3.0, 2.0, 1.5, 1.0],
        }
    )
    return dataclasses.replace(result, table=table.assign(means=0.0, covariances=0.0, excess=0.0))


def test_concepts_are_counted_by_all_units_and_by_the_realistic_ones(result: Artifacts) -> None:
    assert (result.threshold, result.concepts, result.left_out, result.vanished) == (None, None, None, [])
    found = labelled(result).realistic(3.0)
    assert found.threshold == 3
    assert found.concepts is not None
    assert found.left_out is not None
    counted = found.concepts.set_index("concept")[["interpretable", "matched"]].T.to_dict("list")
    assert counted == {"sky": [2, 2], "sofa": [2, 1], "tree": [1, 0]}
    near = found.concepts.set_index("concept")[["realistic_interpretable", "realistic_matched"]].T.to_dict("list")
    assert near == {"sky": [1, 1], "sofa": [0, 0], "tree": [1, 0]}
    assert found.left_out.unit.tolist() == [0, 1, 2]  # from the threshold on
    assert found.vanished == ["sofa"]  # no unit matched the tree before
    assert labelled(result).realistic(0.5).vanished == ["sky", "sofa"]
    everything = labelled(result).realistic(9.0)
    assert everything.left_out is not None
    assert (everything.vanished, len(everything.left_out)) == ([], 0)


def test_what_each_threshold_would_keep(result: Artifacts) -> None:
    samples = result.samples.assign(fid=1.0)
    choices = dataclasses.replace(labelled(result), samples=samples).choices
    assert choices.threshold.tolist() == choices.times.tolist() == [5, 5, 4, 3, 2]  # 0.5 units are none, 1.5 are two
    assert choices.iloc[3, 2:].tolist() == [3, 3, 1, 1]
    assert choices.iloc[0, 2:].tolist() == [1, 5, 2, 1]


def test_a_threshold_that_is_no_distance_is_refused(result: Artifacts, place: Path) -> None:
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with mistake("bad-value", f"threshold={wrong}"):
            result.realistic(wrong)
    with mistake("bad-value", "threshold=0.0"):  # before any work
        ganatomy.artifacts(place / "study", layer="units", real="nowhere", generator=painter(), threshold=0.0)
    earlier = dataclasses.replace(result, table=result.table.drop(columns="interpretable_with"))
    with mistake("bad-file", "KeyError", "interpretable_with"):
        earlier.realistic(1.0)


def test_the_page_shows_both_counts_and_all_units_left_out(result: Artifacts) -> None:
    blocks = artifacts_section(labelled(result).realistic(3.0)).blocks
    assert [block.heading for block in blocks][2:] == ["What do the realistic units draw?"]
    assert "Without the 3 units whose images are 3 or more from real ones, 1 of 3 matched units" in blocks[2].lead
    assert "no unit matches sofa any more" in blocks[2].lead
    assert '<td class="figure">2</td><td class="figure">1</td>' in blocks[2].body
    assert [f"unit {i}</th>" in blocks[2].body for i in range(6)] == [True] * 3 + [False] * 3
    assert ">threshold</text>" in blocks[1].body or "</tspan> threshold" in blocks[1].body
    assert "every concept keeps a unit" in artifacts_section(labelled(result).realistic(9.0)).blocks[2].lead


def test_the_page_shows_the_worst_first(result: Artifacts) -> None:
    section = artifacts_section(result)
    assert section.answer.startswith(f"Most suspect is unit {FAULTY}: the 20 of 120 images")
    assert len(section.blocks) == 2
    assert section.blocks[0].body.index(f"unit {FAULTY}:") < section.blocks[0].body.index("unit 0:")
    assert section.blocks[0].body.count('class="tile"') == 6 * 6
    assert result.strips.units.tolist() == result.table.unit.tolist()
    page = causal_html(result)
    assert "are ablated or set" not in page
    assert "Fréchet distance of two Gaussians" in page
    assert "nan" not in "".join(block.body for block in section.blocks[1:])


@pytest.mark.parametrize(
    ("change", "code", "fact"),
    [
        ({"layer": "layer9"}, "unknown-name", "layer9"),
        ({"real": "EMPTY"}, "bad-file", "empty"),
        ({"real": "EMPTY/nowhere"}, "bad-file", "nowhere"),
        ({"real": "scenes:cathedral"}, "unknown-name", "cathedral"),
        ({"reals": 101}, "bad-value", "101 images"),
        ({"reals": D}, "bad-value", "reals=12"),
        ({"top": D}, "bad-value", "top=13"),
        ({"top": 121}, "bad-value", "top=121"),
        ({"draws": 1}, "bad-value", "draws=1"),
        ({"features": "colors"}, "bad-model", "colors"),
        ({"features": "nothing"}, "unknown-name", "nothing"),
    ],
)
def test_what_is_refused(
    spec: ArtifactSpec,
    source: DissectedModel,
    tmp_path: Path,
    change: dict[str, Any],
    code: str,
    fact: str,
) -> None:
    (tmp_path / "empty").mkdir()
    own = {k: v.replace("EMPTY", str(tmp_path / "empty")) if isinstance(v, str) else v for k, v in change.items()}
    with mistake(code, fact):
        run_artifacts(dataclasses.replace(spec, **own), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_image_is_named(spec: ArtifactSpec, source: DissectedModel, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for i in range(20):
        (tmp_path / "real" / f"{i}.png").write_bytes(b"no image")
    with mistake("bad-file", ".png"):
        run_artifacts(dataclasses.replace(spec, real=str(tmp_path / "real"), reals=20), source, tmp_path / "out")


class Maps:
    """A feature network that does not average its maps."""

    fingerprint = "maps"

    def features(self, images: Tensor) -> Tensor:
        return images


def test_maps_are_no_features(spec: ArtifactSpec, source: DissectedModel, tmp_path: Path) -> None:
    setting = open_comparison(spec, source)
    with mistake("bad-model", "2 images", [2, 3, 8, 8]):
        dataclasses.replace(setting, network=Maps()).features(torch.zeros(2, 3, 8, 8))


def test_a_unit_that_is_nan_is_not_ranked(spec: ArtifactSpec) -> None:
    made = module.FeatureTable.of([torch.zeros(120, 2)], [torch.full((120, 3), math.nan)])
    with mistake("bad-value", "units of units", "NaN"):
        module.distances(made, FeatureMoments(2), spec, torch.device("cpu"), ganatomy.Progress)


def test_where_it_lies_unless_told_otherwise(source: DissectedModel, place: Path) -> None:
    _, usual, flagged = plan_artifacts(source, "units", {"real": "scenes:church", "top": 20})
    assert usual == source.sibling_path("units", "artifacts-scenes-church-top-20")
    assert flagged is None


def test_flags_and_a_threshold_by_command(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ganatomy.dissect("planted", segmenter="planted", layers=("layer1",), images=24, out=place / "planted")
    own = {"real": str(place / "real"), "features": f"unet:{place / 'net.safetensors'}", **SMALL, "batch": 60}
    found = ganatomy.artifacts(place / "planted", layer="layer1", out=place / "p", **own)
    line = ["artifacts", str(place / "planted"), "--layer", "layer1", "--out", str(place / "c")]
    line += [part for name, value in own.items() for part in (f"--{name}", str(value))]
    notes = open_annotations(place / "flags.db")
    notes.flag(open_source(place / "planted").dissection.study.digest, "layer1", 2, "ann", True)
    notes.close()
    near = float(found.table.fid[2])
    far = found.table.unit[found.table.fid >= near].tolist()
    assert len(far) >= 3
    assert main([*line, "--json", "--threshold", str(near)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["unit"] for row in told["left_out"]] == far
    assert {row["concept"] for row in told["concepts"]} <= {row["label"] for row in told["table"]}
    assert main([*line, "--annotations", str(place / "flags.db"), "--threshold", str(near)]) == 0
    shown = capsys.readouterr().out
    assert "precision" in shown
    assert "realistic" in shown
    assert "random" in shown
    assert "Do human annotations agree?" in Path(told["report"]).read_text()
    with mistake("bad-file", place / "planted", "artifact study"):
        Artifacts.open(place / "planted")
