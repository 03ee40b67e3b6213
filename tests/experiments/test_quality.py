"""How far a model is from real images: every number beside one computed without the study."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from spoilt import D, painter, spoilt_place

import ganatomy
from ganatomy.cli import main
from ganatomy.errors import BadFile, BadValue, GanatomyError
from ganatomy.experiments.causal.source import Source, open_source
from ganatomy.experiments.described import open_setting
from ganatomy.experiments.left_out import LeftOut, Textures, frechet_left_out
from ganatomy.experiments.quality import Quality, QualitySpec, plan_quality, run_quality
from ganatomy.pictures.sets import open_pictures
from ganatomy.report.causal.page import causal_html
from ganatomy.report.causal.quality import quality_section
from ganatomy.stats.frechet import FeatureMoments, frechet_distance
from ganatomy.stats.wasserstein import Patches, sliced_wasserstein

SMALL = {"images": 120, "shard": 50, "reals": 60, "textures": 30}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("quality")
    spoilt_place(place)
    return place


@pytest.fixture(scope="module")
def source(place: Path) -> Source:
    return open_source(place / "study", generator=painter())


@pytest.fixture(scope="module")
def spec(place: Path, source: Source) -> QualitySpec:
    own = {"real": str(place / "real"), "features": f"unet:{place / 'net.safetensors'}"}
    return QualitySpec(**source.names(), **own, **SMALL)


@pytest.fixture(scope="module")
def result(spec: QualitySpec, source: Source, place: Path) -> Quality:
    return run_quality(spec, source, place / "quality")


def test_every_distance_is_that_of_the_pictures(result: Quality, spec: QualitySpec, source: Source) -> None:
    network, generator = ganatomy.open_features(spec.features), source.models.generator
    setting, _ = open_setting(spec, source)
    pictures = open_pictures(spec.real)
    real_images = pictures.images(pictures.numbers(range(60), 0), setting.frame)
    made_images = generator.observe(generator.latents(spec.ids(), 0), []).images
    real, made = FeatureMoments(D), FeatureMoments(D)
    real.update(network.features(real_images))
    made.update(network.features(made_images))
    found = result.table.set_index("measure")
    expected = frechet_distance(real, made)
    assert found["value"]["fid"] == pytest.approx(float(expected.distance), rel=1e-4)
    assert found["value"]["means"] + found["value"]["covariances"] == pytest.approx(found["value"]["fid"])
    patches = [Patches((16, 16)) for _ in range(3)]
    ids = range(30), spec.ids()[:30], range(30, 60)
    for own, images, numbers in zip(patches, (real_images[:30], made_images[:30], real_images[30:]), ids, strict=True):
        own.update(images, torch.tensor(numbers))
    real_ones, made_ones, others = patches
    assert list(result.table.measure) == ["fid", "means", "covariances", "swd-16"]
    assert found["value"]["swd-16"] == pytest.approx(float(sliced_wasserstein(real_ones, made_ones).distance))
    assert found["bias"]["swd-16"] == pytest.approx(float(sliced_wasserstein(real_ones, others).distance))
    assert list(found.images) == [120, 120, 120, 30]


def test_errors_are_what_other_pictures_show(spec: QualitySpec, source: Source) -> None:
    """Eight samples of other images: their spread is an error of its own that is good to a third."""
    setting, _ = open_setting(spec, source)
    network, generator = setting.network, source.models.generator
    real = FeatureMoments(D)
    real.update(network.features(setting.pictures.images(range(60), setting.frame)))
    images = generator.observe(generator.latents(range(8 * 120), 3), []).images
    found = [frechet_left_out(part, real) for part in torch.split(network.features(images), 120)]
    spread = torch.stack([each.whole for each in found]).std(0)
    error = torch.stack([each.error for each in found]).mean(0)
    assert bool(((spread / 2 < error) & (error < 2 * spread)).all())
    low, high = (torch.stack([own.interval[i] for own in found]) for i in (1, 2))
    plain = frechet_left_out(network.features(images), real).whole  # of eight times as many: hardly biased
    assert bool(((low < plain) & (plain < high)).double().mean(0).ge(0.75).all())
    same = found[0].minus(found[0])
    assert same.whole.tolist() == same.error.tolist() == [0, 0, 0]


def test_a_model_without_the_fault_is_nearer(result: Quality, spec: QualitySpec, source: Source) -> None:
    setting, _ = open_setting(spec, source)
    generator = painter(faulty=False)
    real = FeatureMoments(D)
    real.update(setting.features(setting.pictures.images(range(60), setting.frame)))
    good = frechet_left_out(setting.features(generator.observe(generator.latents(spec.ids(), 0), []).images), real)
    fid, error = result.table.loc[0, ["value", "error"]]
    assert float(good.whole[0]) < fid / 5
    assert fid - float(good.whole[0]) > 4 * math.hypot(error, float(good.error[0]))


class Killed(Exception):
    pass


def test_a_killed_run_ends_in_the_same_table(
    result: Quality, spec: QualitySpec, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(work: Any, shards: Sequence[range]) -> Iterator[Any]:
        yield 1, work(shards[0])
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            run_quality(spec, source, tmp_path / "again", execute=dies)

    def never(*_: Any) -> None:
        raise AssertionError("they were compared before")

    monkeypatch.setattr(Textures, "of", never)
    again = run_quality(spec, source, tmp_path / "again")
    pd.testing.assert_frame_equal(again.table, result.table, check_exact=True)
    with pytest.raises(AssertionError, match="compared before"):  # elsewhere they were not
        run_quality(spec, source, tmp_path / "elsewhere")


def test_without_textures(spec: QualitySpec, source: Source, tmp_path: Path) -> None:
    found = run_quality(dataclasses.replace(spec, textures=0), source, tmp_path / "out")
    assert list(found.table.measure) == ["fid", "means", "covariances"]


def test_without_other_real_pictures_nobody_knows_a_perfect_model(
    spec: QualitySpec, source: Source, tmp_path: Path
) -> None:
    found = run_quality(dataclasses.replace(spec, textures=40), source, tmp_path / "out").table.set_index("measure")
    assert math.isnan(found.bias["swd-16"])
    assert found["error"]["swd-16"] > 0


def test_nothing_left_out_has_no_error() -> None:
    nothing = torch.zeros(0, 2).double()
    assert LeftOut(torch.ones(2).double(), nothing, torch.ones(2, 2).double()).error.isnan().all()


def test_the_page(result: Quality) -> None:
    section = quality_section(result)
    assert section.answer.startswith("120 of its images are ")
    body = section.blocks[0].body
    assert body.index("Fréchet distance") < body.index("textures at 16 pixels")
    page = causal_html(result)
    assert "are ablated or set" not in page
    assert "Fréchet distance of two Gaussians" in page
    assert "nan" not in body


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"real": "EMPTY"}, BadFile, "no images in it"),
        ({"reals": 101}, BadValue, "101"),
        ({"reals": D, "textures": 0}, BadValue, "reals=12 images are too few for the 12 numbers"),
        ({"images": D, "textures": 0}, BadValue, "give images=13 or more"),
        ({"textures": 61}, BadValue, "give 0, or 2 to 60"),
        ({"textures": 1}, BadValue, "textures=1: give 0, or 2 to 60"),
        ({"textures": -1}, BadValue, "textures=-1"),
        ({"features": "colors"}, GanatomyError, "colors"),
    ],
)
def test_what_is_refused(
    spec: QualitySpec, source: Source, tmp_path: Path, change: dict[str, Any], error: type[GanatomyError], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    own = {k: str(tmp_path / "empty") if v == "EMPTY" else v for k, v in change.items()}
    with pytest.raises(error, match=said) as caught:
        run_quality(dataclasses.replace(spec, **own), source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_where_it_lies_unless_told_otherwise(source: Source) -> None:
    _, usual = plan_quality(source, {"real": "scenes:church", "textures": 200})
    assert usual == source.beside("picture", "quality-scenes-church-textures-200")


def test_python_and_the_command(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ganatomy.dissect("planted", segmenter="planted", layers=("layer1",), images=24, out=place / "planted")
    own = {"real": str(place / "real"), "features": f"unet:{place / 'net.safetensors'}", **SMALL, "batch": 60}
    found = ganatomy.quality(place / "planted", out=place / "p", **own)
    line = ["quality", str(place / "planted"), "--out", str(place / "c")]
    line += [part for name, value in own.items() if name != "shard" for part in (f"--{name}", str(value))]
    assert main([*line, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["value"] for row in told["table"]] == pytest.approx(found.table["value"].tolist(), rel=1e-4)
    assert Path(told["report"]).is_file()
    assert main(line) == 0
    shown = capsys.readouterr().out
    assert "covariances" in shown
    with pytest.raises(BadFile, match="holds no quality study"):
        Quality.open(place / "planted")


@pytest.mark.parametrize(
    ("generator", "real", "meant"),
    [
        ("bundled:livingroom", "scenes", "scenes:livingroom"),
        ("bundled:church-vae?dtype=bfloat16", "scenes", "scenes:church"),
        ("bundled:church", "scenes:livingroom", "scenes:livingroom"),
        ("planted", "scenes", "scenes"),
    ],
)
def test_scenes_alone_are_those_that_a_bundled_generator_learned_from(generator: str, real: str, meant: str) -> None:
    assert QualitySpec("", generator, "bundled:scenes", real=real).real == meant
