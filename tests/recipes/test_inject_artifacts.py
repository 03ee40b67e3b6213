"""Planted units spoil the images in which they are on, and switching them off brings those back."""

import json
from pathlib import Path

import inject_artifacts
import pytest
import torch
from inject_artifacts import Plan, inject
from mistakes import mistake

import ganatomy
from ganatomy import open_generator
from ganatomy.interventions import Intervention
from ganatomy.models.generators.progan import ProGAN, progan_network

SMALL = Plan(layer="layer4", units=2, share=0.1, pushed=4, push=0.5)


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inject_artifacts, "SAMPLE", 200)


def small() -> ProGAN:
    torch.manual_seed(0)
    return ProGAN(progan_network(16, [24] * 8))


def test_they_spoil_the_images_in_which_they_are_on() -> None:
    generator = small()
    units = inject(generator, SMALL)
    z = generator.latents(range(100), seed=0)
    off = Intervention.ablate("layer4", generator.layers["layer4"], units)
    seen = generator.observe(z, ["layer4"])
    mended = generator.render(off(seen.features["layer4"]), "layer4", z)
    spoilt = (seen.images - mended).square().mean((1, 2, 3))
    peaks = seen.features["layer4"][:, units].amax((1, 2, 3))
    on = peaks > peaks.quantile(0.9)
    assert float(spoilt[on].mean()) > 2 * float(spoilt[~on].mean())


def test_they_are_on_in_the_share_asked_for() -> None:
    generator = small()
    units = inject(generator, SMALL)
    z = generator.latents(range(inject_artifacts.FIRST, inject_artifacts.FIRST + inject_artifacts.SAMPLE), seed=0)
    on = generator.observe(z, ["layer4"]).features["layer4"][:, units].amax((2, 3)) > 0
    assert on.double().mean(0).tolist() == pytest.approx([0.1, 0.1], abs=0.01)


@pytest.mark.slow
def test_the_file_opens_and_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = small()
    inject_artifacts.write(generator, [], SMALL, "small", tmp_path / "small.safetensors")
    for name in ("a", "b"):
        given = ["--generator", f"progan:{tmp_path / 'small.safetensors'}", "--units", "2", "--pushed", "4"]
        inject_artifacts.main([*given, "--out", str(tmp_path / f"{name}.safetensors")])
    told = json.loads((tmp_path / "a.json").read_text())
    assert len(set(told["planted"])) == 2
    a, b, before = (open_generator(f"progan:{tmp_path / name}.safetensors") for name in ("a", "b", "small"))
    assert a.fingerprint == b.fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"layer": "layer2"}, "layer3, layer4, layer5, layer6"),
        ({"layer": "layer9"}, "layer9"),
        ({"units": 25}, "units=25"),
        ({"units": 0}, "units=0"),
    ],
)
def test_what_cannot_be_planted(change: dict[str, int | str], fact: str) -> None:
    with mistake("bad-value", fact):
        inject(small(), SMALL._replace(**change))


@pytest.mark.slow
def test_in_the_bundled_church_they_rank_first_and_repair_mends_what_they_spoil(tmp_path: Path) -> None:
    file, real = tmp_path / "planted.safetensors", {"real": "scenes:church", "reals": 600, "layer": "layer4"}
    inject_artifacts.main(["--out", str(file)])
    planted = json.loads(file.with_suffix(".json").read_text())["planted"]
    dissection = ganatomy.dissect(f"progan:{file}", layers=["layer4"], images=64, out=tmp_path / "study")

    ranked = ganatomy.artifacts(dissection, images=2600, top=260, **real).table.unit.tolist()
    assert len(set(planted) & set(ranked[:8])) >= 6
    assert set(planted) <= set(ranked[:16])  # of 128

    repair = ganatomy.repair(dissection, units=planted, images=600, top=260, random=2, textures=0, **real)
    fid = repair.table.set_index(["sample", "set"]).fid
    for sample in ("artifacts", "plain"):
        assert fid[sample, "units"] < fid[sample, "original"] / 4
        assert fid[sample, "random"] > fid[sample, "original"] * 0.9
    z = open_generator(f"progan:{file}").latents(range(4), seed=0)
    spoilt, mended = (open_generator(name).observe(z, ()).images for name in (f"progan:{file}", repair.opens))
    assert not torch.equal(spoilt, mended)
