"""How far a model is from real images: every number beside one computed without the study."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mistakes import mistake
from spoilt import D, painter

import ganatomy
from ganatomy.datasets.sets import open_images
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.jackknife import Jackknife, frechet_jackknife
from ganatomy.experiments.quality import Quality, QualitySpec, plan_quality, run_quality
from ganatomy.experiments.real_comparison import open_comparison
from ganatomy.report.causal.page import causal_html
from ganatomy.report.causal.quality import quality_section
from ganatomy.stats.frechet import FeatureMoments, frechet_distance
from ganatomy.stats.wasserstein import Patches, sliced_wasserstein

SMALL = {"images": 120, "reals": 60, "textures": 30}


@pytest.fixture(scope="module")
def spec(place: Path, source: DissectedModel) -> QualitySpec:
    own = {"real": str(place / "real"), "features": f"unet:{place / 'net.safetensors'}"}
    return QualitySpec(**source.names(), **own, **SMALL)


@pytest.fixture(scope="module")
def result(spec: QualitySpec, source: DissectedModel, place: Path) -> Quality:
    return run_quality(spec, source, place / "quality")


def test_every_distance_is_that_of_the_images(result: Quality, spec: QualitySpec, source: DissectedModel) -> None:
    network, generator = ganatomy.open_features(spec.features), source.models.generator
    compared = open_comparison(spec, source)
    dataset = open_images(spec.real)
    real_images = dataset.images(dataset.sample_indices(range(60), 0), compared.frame)
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
    assert found["value"]["swd-16"] == pytest.approx(float(sliced_wasserstein(real_ones, made_ones)))
    assert found["bias"]["swd-16"] == pytest.approx(float(sliced_wasserstein(real_ones, others)))
    assert list(found.images) == [120, 120, 120, 30]


def test_errors_are_what_other_images_show(spec: QualitySpec, source: DissectedModel) -> None:
    """Eight samples of other images: their spread is an error of its own that is good to a third."""
    compared = open_comparison(spec, source)
    network, generator = compared.network, source.models.generator
    real = FeatureMoments(D)
    real.update(network.features(compared.images.images(range(60), compared.frame)))
    images = generator.observe(generator.latents(range(8 * 120), 3), []).images
    found = [frechet_jackknife(part, real) for part in torch.split(network.features(images), 120)]
    spread = torch.stack([each.whole for each in found]).std(0)
    error = torch.stack([each.error for each in found]).mean(0)
    assert bool(((spread / 2 < error) & (error < 2 * spread)).all())
    low, high = (torch.stack([own.interval[i] for own in found]) for i in (1, 2))
    plain = frechet_jackknife(network.features(images), real).whole  # of eight times as many: hardly biased
    assert bool(((low < plain) & (plain < high)).double().mean(0).ge(0.75).all())
    same = found[0].minus(found[0])
    assert same.whole.tolist() == same.error.tolist() == [0, 0, 0]


def test_a_model_without_the_fault_is_nearer(result: Quality, spec: QualitySpec, source: DissectedModel) -> None:
    compared = open_comparison(spec, source)
    generator = painter(faulty=False)
    real = FeatureMoments(D)
    real.update(compared.features(compared.images.images(range(60), compared.frame)))
    good = frechet_jackknife(compared.features(generator.observe(generator.latents(spec.ids(), 0), []).images), real)
    fid, error = result.table.loc[0, ["value", "error"]]
    assert float(good.whole[0]) < fid / 5
    assert fid - float(good.whole[0]) > 4 * math.hypot(error, float(good.error[0]))


def test_images_to_look_at_are_the_farthest_the_first_and_real_ones(
    result: Quality, spec: QualitySpec, source: DissectedModel
) -> None:
    compared = open_comparison(spec, source)
    generator = source.models.generator
    images = generator.observe(generator.latents(spec.ids(), 0), []).images
    reals = compared.real(range(60))
    features, real = compared.features(images).double().numpy(), compared.features(reals).double().numpy()
    covariance = np.cov(real.T)
    inverse = np.linalg.inv(covariance + 1e-3 * covariance.diagonal().mean() * np.eye(D))
    off = features - real.mean(0)
    distances = np.einsum("nd,de,ne->n", off, inverse, off)
    assert result.shown is not None
    farthest = result.shown.farthest.numpy() - spec.first
    assert distances[farthest] == pytest.approx(np.sort(distances)[::-1][:12], rel=1e-4)
    assert len(set(farthest.tolist())) == 12
    for own, expected in zip(result.shown.images, (images[farthest], images[:12], reals[:12]), strict=True):
        assert bool(((own.permute(0, 3, 1, 2).float() / 127.5 - 1 - expected.clamp(-1, 1)).abs() < 0.02).all())


def test_without_textures(spec: QualitySpec, source: DissectedModel, tmp_path: Path) -> None:
    found = run_quality(dataclasses.replace(spec, textures=0), source, tmp_path / "out")
    assert list(found.table.measure) == ["fid", "means", "covariances"]


def test_without_other_real_images_nobody_knows_a_perfect_model(
    spec: QualitySpec, source: DissectedModel, tmp_path: Path
) -> None:
    found = run_quality(dataclasses.replace(spec, textures=40), source, tmp_path / "out").table.set_index("measure")
    assert math.isnan(found.bias["swd-16"])
    assert found["error"]["swd-16"] > 0


def test_nothing_left_out_has_no_error() -> None:
    nothing = torch.zeros(0, 2).double()
    assert Jackknife(torch.ones(2).double(), nothing, torch.ones(2, 2).double()).error.isnan().all()


def test_the_page(result: Quality) -> None:
    section = quality_section(result)
    assert section.answer.startswith("120 of its images are ")
    *images, table = section.blocks
    assert [block.body.count("<svg") for block in images] == [12, 12, 12]
    body = table.body
    assert body.index("Fréchet distance") < body.index("textures at 16 pixels")
    page = causal_html(result)
    assert "are ablated or set" not in page
    assert "Fréchet distance of two Gaussians" in page
    assert "nan" not in body


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"images": D, "textures": 0}, "images=13"),
        ({"textures": 61}, "textures=61"),
        ({"textures": 1}, "textures=1"),
        ({"textures": -1}, "textures=-1"),
    ],
)
def test_what_is_refused(
    spec: QualitySpec, source: DissectedModel, tmp_path: Path, change: dict[str, Any], fact: str
) -> None:
    with mistake("bad-value", fact):
        run_quality(dataclasses.replace(spec, **change), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_it_lies_unless_told_otherwise(source: DissectedModel) -> None:
    _, usual = plan_quality(source, {"real": "scenes:church", "textures": 200})
    assert usual == source.sibling_path("image", "quality-scenes-church-textures-200")


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
