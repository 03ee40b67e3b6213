"""What bad input to the causal commands gets: one line on stderr, exit code 2, and nothing written (issue 3, SPEC 10).

Every case goes through the command line, as a user would meet it.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

import ganatomy
from ganatomy.cli import main
from ganatomy.models.generators.progan import progan_network

ABLATE = ("ablate", "study", "--layer", "layer2")
INSERT = ("insert", "study", "--layer", "layer2", "--concept", "ball", "--top", "1")
TRACE = ("trace", "study", "--layer", "layer2", "--concept", "ball")
CAPACITY = ("capacity", "study")
BALL = (*CAPACITY, "--layers", "layer2", "--concept", "ball", "--tops", "2")
ACE = ("ace", "study", "--layer", "layer2", "--top", "2")


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study in which lids are too rare to be scored, because all that covers less than 4 % is."""
    folder = tmp_path_factory.mktemp("dissected") / "study"
    ganatomy.dissect("planted", segmenter="planted", images=24, layers=("layer2",), batch=8, rare=0.04, out=folder)
    return folder


@pytest.fixture(autouse=True)
def here(dissected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(dissected, tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    return tmp_path


Refused = Callable[..., None]


@pytest.mark.parametrize(
    ("argv", "fact"),
    [
        (("ablat", "study"), "ablate"),
        ((*ABLATE, "--concept", "bal"), "'bal'"),
        ((*ABLATE, "--concept", "lid"), "lid"),
        ((*INSERT[:-4], "--concept", "lid"), "lid"),
        ((*ACE, "--concept", "ball,lid"), "lid"),
        ((*ACE, "--concept", "ball,bal"), "'bal'"),
        ((*ACE, "--concept", " ,"), "' ,'"),
        ((*TRACE[:-1], "lid"), "lid"),
        (("ablate", "study", "--layer", "layer3", "--units", "1"), "layer3"),
        (("ablate", "study", "--layer", "layer9", "--each"), "layer9"),
        (("ace", "study", "--layer", "layer3", "--concept", "ball"), "layer3"),
        ((*ABLATE, "--concept", "ball", "--top", "13"), "top=13"),
        ((*ABLATE, "--concept", "ball", "--top", "0"), "top=0"),
        ((*TRACE, "--top", "13"), "top=13"),
        ((*ACE[:-1], "13", "--concept", "ball"), "top=13"),
        ((*ABLATE, "--units", "3,12"), "layer2/12"),
        ((*ABLATE, "--units=-1"), "layer2/-1"),
        ((*ABLATE, "--units", "3,3"), "units=[3, 3]"),
        ((*ABLATE, "--units", "3,x"), "'3,x'"),
        ((*ABLATE, "--units", "3", "--top", "4"), "top"),
        ((*ABLATE,), "no units"),
        (("insert", "study", "--layer", "layer2", "--units", "3"), "--concept"),
        (("insert", "study", "--layer", "layer2", "--units", "3", "--at", "each"), "--concept"),
        ((*INSERT, "--at", "16,0"), "row 16, column 0, 1 × 1"),
        ((*INSERT, "--at", "15,15", "--cell", "2"), "row 15, column 15, 2 × 2"),
        ((*INSERT, "--at", "1,1", "--cell", "0"), "row 1, column 1, 0 × 0"),
        ((*INSERT, "--at=-1,0"), "row -1"),
        ((*INSERT, "--at", "2,2,1,5"), "row 2, column 2, 0 × 4"),
        ((*INSERT, "--at", "1,2,3"), "at=1,2,3"),
        ((*INSERT, "--at", "door"), "'door'"),
        ((*INSERT, "--cell", "2"), "cell=2"),
        ((*INSERT, "--at", "each", "--cell", "17"), "17 × 17"),
        ((*TRACE, "--top", "2", "--cell", "0"), "cell=0"),
        ((*ABLATE, "--units", "3", "--at", "each"), "'each'"),
        ((*ABLATE, "--each", "--concept", "ball"), "ablate --each"),
        ((*ABLATE, "--concept", "ball", "--top", "2", "--by", "uio"), "iou"),
        (
            (*ABLATE, "--concept", "ball", "--top", "2", "--by", "ace"),
            "ganatomy ace study --layer layer2 --concept ball",
        ),
        ((*ABLATE, "--concept", "ball", "--top", "2", "--by", "ace", "--ace", "x"), "ball in x"),
        ((*ABLATE, "--units", "3", "--images", "0"), "images=0"),
        ((*ABLATE, "--each", "--images", "0"), "images=0"),
        ((*TRACE, "--top", "2", "--images", "-1"), "images=-1"),
        ((*ACE, "--concept", "ball", "--images", "0"), "images=0"),
        ((*ABLATE, "--units", "3", "--batch", "0"), "batch=0"),
        ((*ABLATE, "--units", "3", "--random", "-1"), "random=-1"),
        ((*ABLATE, "--units", "3", "--strength", "2"), "strength=2.0"),
        ((*ABLATE, "--units", "3", "--strength", "nan"), "strength=nan"),
        ((*INSERT, "--multiple", "nan"), "multiple=nan"),
        ((*INSERT, "--multiple", "inf"), "multiple=inf"),
        ((*TRACE, "--top", "2", "--multiple", "nan"), "multiple=nan"),
        ((*INSERT, "--pool", "0"), "pool=0"),
        ((*ACE, "--concept", "ball", "--schedule", "fats"), "fast"),
        ((*ACE, "--concept", "ball", "--schedule", "published", "--quick"), "--quick"),
        (("capacity", "study", "--concept", "ball"), "--layers"),
        ((*CAPACITY, "--layers", ",", "--concept", "ball"), "layers=()"),
        ((*CAPACITY, "--layers", "layer2,layer2", "--concept", "ball"), "layers=('layer2', 'layer2')"),
        ((*CAPACITY, "--layers", "layer3", "--concept", "ball"), "layer3"),
        ((*CAPACITY, "--layers", "layer2", "--concept", "lid", "--tops", "2"), "lid"),
        ((*CAPACITY, "--layers", "layer2", "--concept", "ball"), "tops=[20, 40]"),
        ((*BALL, "--tops", "0"), "top=0"),
        ((*BALL, "--tops", "2,2"), "sets=(('layer2', 'iou-2'), ('layer2', 'iou-2'))"),
        ((*BALL, "--by", "uio"), "iou"),
        ((*BALL, "--on", "sly"), "sky"),
        ((*BALL, "--on", ","), "','"),
        ((*BALL, "--cells", "1,1"), "cells=(1, 1)"),
        ((*BALL, "--cells", "17"), "17 × 17"),
        ((*BALL, "--cells", "1.5"), "'1.5'"),
        ((*BALL, "--multiples", "1,x"), "'1,x'"),
        ((*BALL, "--multiples", "nan"), "multiples=(nan,)"),
        ((*BALL, "--images", "2"), "images=2"),
        ((*BALL, "--margin", "-1"), "margin=-1"),
        ((*BALL, "--donors", "0"), "donors=0"),
        ((*BALL, "--layer", "layer2"), "--layers and --layer"),
        (("ablate", "nowhere", "--layer", "x", "--units", "1"), "nowhere"),
        (("apply", "study", "--edit", "nothing.json"), "nothing.json"),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, tuple) else "",
)
def test_names_and_numbers(refused: Refused, argv: tuple[str, ...], fact: str) -> None:
    refused(argv, fact)
    assert [p.name for p in Path().iterdir()] == ["study"]


def test_a_layer_without_units_for_a_concept(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = ganatomy.Dissection.ranked
    monkeypatch.setattr(ganatomy.Dissection, "ranked", lambda self, name: ranked(self, name).assign(iou=float("nan")))
    refused((*ABLATE, "--concept", "ball", "--top", "2"), "layer2", "ball", "IoU")
    assert not Path("study-causal").exists()


def edits(path: str = "edit.json", **changed: object) -> Path:
    """An edit file for the planted generator, with something changed."""
    record = {"format": 1, "generator": ganatomy.open_generator("planted").fingerprint, "edits": [
        {"layer": "layer2", "strokes": [{"units": [3], "alpha": [1], "value": [0], "where": [[[1] * 16] * 16]}]}
    ]}  # fmt: skip
    Path(path).write_text(json.dumps(record | changed), encoding="utf-8")
    return Path(path)


APPLY = ("apply", "study", "--edit", "edit.json", "--images", "2", "--batch", "2")


def test_the_edit_file_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    """The cases below fail for what is wrong with each."""
    edits()
    assert main([*APPLY, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["kind"] == "apply"


@pytest.mark.parametrize(
    ("changed", "fact"),
    [
        ({"generator": "0" * 64}, "000000000000"),
        ({"format": 2}, "format 2"),
        ({"edits": []}, "nothing"),
        ({"edits": [{"layer": "layer7", "strokes": []}]}, "layer7"),
        ({"edits": "all"}, "edits"),
    ],
    ids=str,
)
def test_edit_files_that_do_not_fit(refused: Refused, changed: dict[str, object], fact: str) -> None:
    edits(**changed)
    refused(APPLY, fact, "edit.json")
    assert not Path("study-causal").exists()


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_an_edit_file_that_is_cut_off(refused: Refused, keep: float) -> None:
    path = edits()
    os.truncate(path, int(path.stat().st_size * keep))
    refused(APPLY, "edit.json")


def test_an_edit_for_single_images(refused: Refused) -> None:
    stroke = {"units": [3], "alpha": [1], "value": [0], "where": [[[1] * 16] * 16] * 2}
    edits(edits=[{"layer": "layer2", "strokes": [stroke]}])
    refused(APPLY, "edit.json", "every image")


def test_a_generator_file_that_changed_since(refused: Refused) -> None:
    def write(seed: int) -> None:
        torch.manual_seed(seed)
        safetensors.torch.save_file(progan_network(8, [8, 8, 4, 4]).state_dict(), "net.safetensors")

    write(0)
    dissect = ("dissect", "progan:net.safetensors", "--segmenter", "colors", "--images", "8", "--batch", "4")
    assert main([*dissect, "--layers", "layer3", "--out", "other"]) == 0
    ablate = ("ablate", "other", "--layer", "layer3", "--units", "1", "--images", "4")
    assert main(ablate) == 0
    write(1)
    for argv in (ablate, ("ablate", "other", "--layer", "layer3", "--each"), (*APPLY[:1], "other", *APPLY[2:])):
        refused(argv, "generator", "progan:net.safetensors", "other")


def test_directories_of_something_else(refused: Refused) -> None:
    first = (*ABLATE, "--units", "3", "--images", "4", "--random", "0", "--out", "out")
    assert main([*first, "--json"]) == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    refused((*first, "--images", "5"), "images was 4, now 5")
    refused((*first, "--units", "4"), "units was [3], now [4]")
    refused((*ABLATE, "--each", "--images", "4", "--out", "out"), "'effect'", "'uniteffect'")
    refused(("ablate", "out", "--layer", "layer2", "--units", "3"), "out", "dissection")
    refused((*first[:-1], "study"), "'dissect'")
    ranked = (*ABLATE, "--concept", "ball", "--top", "2", "--by", "ace", "--ace", "out")
    refused(ranked, "out", "ace study")
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before
    Path("thesis").mkdir()
    Path("thesis/thesis.txt").write_text("mine", encoding="utf-8")
    refused((*first[:-1], "thesis"), "thesis.txt")
    Path("file").write_text("mine", encoding="utf-8")
    refused((*first[:-1], "file"), "file")


@pytest.mark.parametrize("damage", ["steps/strips.npz", "tables/effect.parquet", "study.json"])
def test_a_damaged_study(refused: Refused, damage: str) -> None:
    command = (*ABLATE, "--units", "3", "--images", "4", "--random", "0", "--out", "out")
    assert main(command) == 0
    victim = Path("out") / damage
    os.truncate(victim, victim.stat().st_size // 2)
    refused(command, victim.name)
