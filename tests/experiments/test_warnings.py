"""What is no finding is said to be none, before anything else; and what is one is not spoilt."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from made_dissections import made_dissection
from mistakes import mistake
from torch import Tensor, nn

import ganatomy
from ganatomy.cli import main, terminal
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.warnings import crowded_warnings
from ganatomy.stats.images import ImageSample

SIDE = 24
NOISE = torch.rand(64, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
SMOOTH = nn.functional.interpolate(NOISE[:, :, :4, :4], (SIDE, SIDE), mode="bilinear")
RAMP = torch.linspace(-1, 1, SIDE).expand(64, 3, SIDE, SIDE)


def facts_of(images: Tensor) -> dict[str, float]:
    sample = ImageSample((SIDE, SIDE), len(images))
    for i in range(0, len(images), 10):
        sample.update(images[i : i + 10], torch.arange(len(images))[i : i + 10])
    return sample.read()


def some(images: Tensor, count: int, instead: Tensor) -> Tensor:
    return torch.cat([instead[:count], images[count:]])


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (NOISE, ""),
        (SMOOTH, ""),
        (0.1 * SMOOTH, ""),
        (some(SMOOTH, 6, -torch.ones_like(SMOOTH)), ""),
        (-torch.ones_like(SMOOTH), "All 64 dissected images are black: there is nothing in them"),
        (torch.ones_like(SMOOTH), "All 64 dissected images are white"),
        (SMOOTH.mean((2, 3), keepdim=True).expand_as(SMOOTH), "All 64 dissected images are of one colour"),
        (some(SMOOTH, 16, -torch.ones_like(SMOOTH)), "25 % of the 64 dissected images are black"),
        (RAMP, "All 64 dissected images are nearly the same as another: are the weights loaded"),
        (RAMP + 0.01 * NOISE, "All 64 dissected images are nearly the same"),
        (
            torch.where(torch.arange(64).view(-1, 1, 1, 1) % 3 == 0, RAMP, -RAMP),
            "All 64 dissected images are nearly the same",
        ),
        ((100 * SMOOTH).clamp(-1, 1), "The images are saturated: "),
    ],
)
def test_samples_of_images_that_show_nothing(tmp_path: Path, images: Tensor, said: str) -> None:
    made_dissection(tmp_path / "study", {"layer1": ["tree"]})
    change(tmp_path / "study", sample=facts_of(images))
    found = Dissection.open(tmp_path / "study").warnings
    assert len(found) == bool(said)
    assert not said or found[0].startswith(said)


def change(study: Path, **facts: Any) -> None:
    record = study / "study.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "facts": {**content["facts"], **facts}}))


@pytest.mark.parametrize(
    ("shares", "rare", "said"),
    [
        ([0.4, 0.1], [False, False], []),
        ([0.0, 0.0], [True, True], ["The segmenter finds nothing of these images"]),
        ([0.003, 0.0], [False, True], ["The segmenter finds something in only 0.3 % of the pixels"]),
        ([0.01, 0.01], [True, True], ["No concept covers enough of the images to be scored"]),
        ([0.99, 0.1], [False, False], ["tree covers 99 % of the pixels: any unit that is on goes with it"]),
    ],
)
def test_samples_of_labels_that_say_nothing(
    tmp_path: Path, shares: list[float], rare: list[bool], said: list[str]
) -> None:
    words = (NOTHING, Concept("tree", "object"), Concept("door", "object"))
    directory = made_dissection(tmp_path / "study", {"layer1": ["tree"]}, words)
    pd.DataFrame(words[1:], columns=["concept", "category"]).assign(share=shares, rare=rare).to_parquet(
        directory / "tables" / "concepts.parquet"
    )
    found = Dissection.open(directory).warnings
    assert [one[: len(other)] for one, other in zip(found, said, strict=True)] == said


def test_facts_from_a_stranger_are_refused_in_a_line(tmp_path: Path) -> None:
    for sample in ("x", [1], {"plain": 1}, {"plain": "x"}):
        directory = made_dissection(tmp_path / "study", {"layer1": ["tree"]})
        change(directory, sample=sample)
        with mistake("bad-file", directory):
            assert Dissection.open(directory).warnings


def result(kind: type, spec: dict[str, Any], **tables: pd.DataFrame) -> list[str]:
    """Return the warnings of a result of that kind, whose tables are written by hand."""
    return kind._warnings(SimpleNamespace(spec=SimpleNamespace(**spec), **tables))  # type: ignore[attr-defined, no-any-return]


def effect(kind: str, *rows: tuple[str, float, float], concept: str | None = "tree", **options: Any) -> list[str]:
    options = {"chosen": "top 2 for tree by iou", "region": None, **options}
    table = pd.DataFrame(rows, columns=["concept", "change", "change_error"]).assign(before=1.0)
    spec = {"kind": kind, "concept": concept, "layer": "layer4", "units": (1, 2), "random": 5, **options}
    return result(ganatomy.Effect, spec, table=table, facts={"layers": {"layer4": (4, 8, 8)}})


ADVICE = "Try another setting: ganatomy setting STUDY --concept tree finds the best of several."


def test_edits_that_do_nothing() -> None:
    assert effect("insert", ("tree", 0.05, 0.01), ("sky", -0.05, 0.01)) == []
    assert effect("insert", ("tree", 0.0, 0.01), ("tree", 0.4, 0.1)) == []  # in the whole image; at the place
    assert effect("insert", ("tree", 0.015, 0.01), ("sky", 0.5, 0.01)) == [
        f"The insertion failed: tree changes by +1.50 ± 1.00 % of the pixels. {ADVICE}"
    ]
    assert effect("insert", ("tree", -0.2, 0.01))[0].startswith("The insertion failed")
    at_best = {"chosen": "measured best: all units", "region": (6, 12, 4, 4)}
    assert effect("insert", ("tree", 0.0, 0.01), ("tree", 0.01, 0.01), **at_best) == [
        "The insertion failed: tree changes by +0.00 ± 1.00 % of the pixels, and at the edited place by +1.00 ± 1.00 % "
        "of the pixels. The place may refuse it: ganatomy insert STUDY --concept tree --at each finds where it appears."
    ]
    assert effect("insert") == [f"The insertion failed: tree changes by 0 % of the pixels. {ADVICE}"]
    assert effect("ablate", ("tree", -0.05, 0.01), concept="object:tree") == []
    assert effect("ablate", ("tree", 0.05, 0.01))[0].startswith("The ablation takes nothing away: tree")
    assert effect("ablate", concept=None) == effect("apply", ("tree", 0.0, 0.1)) == []


def test_an_insertion_everywhere_that_costs_the_image() -> None:
    rows = ("tree", 0.4, 0.01), ("sky", -0.3, 0.01), ("grass", 0.2, 0.01)  # what others gain makes up for nothing
    assert effect("insert", *rows, ("roof", -0.5, 0.01)) == [
        "tree is inserted at every place of the image at once, and the other concepts lose 27 % of their pixels. "
        "Insert it at one place: ganatomy insert STUDY --concept tree --at ROW,COLUMN; "
        "--at each finds where it appears."
    ]
    assert effect("insert", *rows) == []
    assert effect("insert", ("tree", 0.4, 0.01), ("sky", -0.9, 0.01), region=(6, 12, 4, 4)) == []


@pytest.mark.parametrize(("units", "random", "said"), [(16, 5, False), (17, 5, True), (17, 0, False), (32, 5, False)])
def test_random_sets_that_share_the_edited_units_are_hardly_a_control(units: int, random: int, said: bool) -> None:
    found = crowded_warnings("layer4", range(units), random, {"layer4": (32, 8, 8)})
    assert ["17 of the 32 units of layer4" in each for each in found] == [True] * said


@pytest.mark.parametrize(("shown", "said"), [(0, "at none of the places"), (1, "at only 0.5 % of"), (2, "")])
def test_insertions_that_show_nowhere(shown: int, said: str) -> None:
    gain = [0.3] * shown + [0.1, -0.1] * ((200 - shown) // 2) + [0.0] * (shown % 2)
    places = pd.DataFrame({"gain": gain, "visible": [each > 0.2 for each in gain], "drawn": True, "id": range(200)})
    for kind in (ganatomy.Context, ganatomy.Trace):
        found = result(kind, {"concept": "tree", "responsive": 0.2}, places=places)
        assert len(found) == bool(said)
        assert not said or found[0].startswith(f"The insertion failed: tree appears {said}")
        assert result(kind, {"concept": "tree", "responsive": 0.2}, places=places.assign(gain=places.gain + 0.05)) == []


def test_searches_that_find_nothing() -> None:
    def capacity(appears: float) -> list[str]:
        table = pd.DataFrame({"picked": [False, True], "appears": [0.9, appears], "appears_error": 0.1})
        return result(ganatomy.Capacity, {"concept": "door"}, table=table)

    def ace(value: float) -> list[str]:
        rows = [("ace", 20, "ace", value, 0.1), ("iou", 20, "ace", 0.9, 0.1), ("ace", 5, "ace", 0.9, 0.1)]
        names = ["by", "n", "term", "normalised", "normalised_error"]
        return result(ganatomy.Ace, {"concept": "door", "top": 20}, effects=pd.DataFrame(rows, columns=names))

    assert capacity(0.5) == ace(0.5) == []
    assert capacity(0.1)[0].startswith("No setting that was tried makes door appear")
    assert ace(0.1)[0].startswith("The units that were found do nothing for sure: door")


def test_a_repair_that_does_harm() -> None:
    def repair(artifacts: float, plain: float) -> list[str]:
        rows = [("artifacts", "union", artifacts, 0.1, 2.0), ("plain", "union", plain, 0.1, 1.0)]
        rows += [("plain", "original", float("nan"), float("nan"), 0.5), ("plain", "random", 9.0, 0.1, 9.0)]
        table = pd.DataFrame(rows, columns=["sample", "set", "change", "change_error", "fid"])
        return result(ganatomy.Repair, {"sets": (("flagged", (1,)), ("union", (1, 2)))}, table=table)

    assert repair(-0.5, 0.1) == []
    assert repair(-0.5, 0.5) == [
        "The repaired model is worse: the distance of plain images from real ones grows by 0.5 ± 0.1, to 1."
    ]
    assert len(repair(0.5, 0.5)) == 2


def test_a_classifier_that_guesses() -> None:
    def accuracy(told: float) -> list[str]:
        overall = pd.DataFrame({"measure": ["accuracy", "balanced accuracy"], "before": [0.9, told]})
        return result(ganatomy.Accuracy, {"images": 400}, overall=overall, classes=pd.DataFrame(index=range(4)))

    assert accuracy(0.4) == []
    assert accuracy(0.27) == ["The classifier is no better than chance: 27 % right, 25 % by luck."]


class Black(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ConvTranspose2d(4, 6, 8)
        nn.init.constant_(self.layer.weight, 0.1)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z)[:, :3].clamp(0, 0) - 1


SAID = "All 8 dissected images are black: there is nothing in them to find."


@pytest.fixture(scope="module")
def generator() -> ganatomy.Generator:
    return ganatomy.as_generator(Black(), latent=(4, 1, 1))


@pytest.fixture(scope="module")
def black(generator: ganatomy.Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dissection of a generator whose images are black."""
    directory = tmp_path_factory.mktemp("garbage") / "black"
    ganatomy.dissect(generator, segmenter="colors", layers=["layer"], images=8, calibration=8, out=directory)
    return directory


def is_first(page: str) -> bool:
    return page.index(SAID) < page.index("<h1")


def test_it_is_the_first_line_of_a_report_and_its_table(black: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = ganatomy.open_dissection(black)
    assert result.warnings[0] == SAID
    assert main(["report", str(black)]) == 0
    assert is_first((black / "report.html").read_text())
    capsys.readouterr()
    terminal.show(result)
    assert capsys.readouterr().out.startswith(f"warning: {SAID}\n")


def test_it_is_the_first_line_of_a_comparison(black: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asked in ([], ["--json"]):
        assert main(["compare", str(black), "--out", str(tmp_path / "compared"), *asked]) == 0
        out = capsys.readouterr().out
        assert (
            json.loads(out)["warnings"][0] == f"black: {SAID}" if asked else out.startswith(f"warning: black: {SAID}")
        )
    assert is_first((tmp_path / "compared" / "compare.html").read_text())


def test_what_stands_on_a_dissection_says_what_is_wrong_with_that(
    black: Path, generator: ganatomy.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "effect"
    effect = ganatomy.ablate(black, layer="layer", units=[0], images=4, random=1, generator=generator, out=out)
    assert effect.warnings[0] == SAID
    ganatomy.write_causal_report(effect, tmp_path / "page.html")
    assert is_first((tmp_path / "page.html").read_text())
    assert SAID in effect._repr_html_()
    terminal.show_result(effect)
    assert capsys.readouterr().out.startswith(f"warning: {SAID}\n")


def test_a_training_says_what_is_wrong_with_its_last_look(black: Path) -> None:
    looks = {10: "no such study", 3000: black}
    training = SimpleNamespace(steps=list(looks), dissection=lambda step: ganatomy.open_dissection(looks[step]))
    assert ganatomy.TrainingHistory._warnings(training)[0] == f"Step 3,000: {SAID}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["church", "livingroom", "church-vae", "church-flow"])
def test_bundled_models_are_sound(name: str, tmp_path: Path) -> None:
    layer = next(iter(ganatomy.open_generator(f"bundled:{name}").layers))
    result = ganatomy.dissect(f"bundled:{name}", layers=[layer], images=48, calibration=16, out=tmp_path / "study")
    assert result.warnings == []
    facts = result.facts["sample"]
    assert facts["plain"] == facts["alike"] == 0
    assert facts["black"] + facts["white"] < 0.02
