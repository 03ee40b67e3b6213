"""The causal commands: what they answer, where they write, and that they go on where they were killed."""

import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mistakes import assert_mistake_line, mistake

import ganatomy
from ganatomy.cli import main, terminal
from ganatomy.cli.arguments import build
from ganatomy.cli.experiments import _chosen
from ganatomy.interventions import write_edits
from ganatomy.models.generators.planted import UNITS
from ganatomy.report.causal.context import context_tables

BALL = str(UNITS["layer2"].index("ball"))
HOME = Path("study-causal/layer2")


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must succeed and be silent on stderr; return what it printed."""

    def run(*argv: str) -> str:
        assert main([*argv, "--batch", "8"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return run


Answer = Callable[..., str]
ABLATE = ("ablate", "study", "--layer", "layer2", "--units", BALL, "--concept", "ball", "--images", "12")
BEST = ("--concept", "ball", "--top", "1", "--pool", "16")


def test_an_option_that_is_not_given_is_not_set() -> None:
    given = vars(build().parse_args(["insert", "study", "--concept", "x", "--layer", "layer2", "--at", "everywhere"]))
    assert given.keys() == {"run", "directory", "layers", "at", "device", "opened_engine", "concept"} | {
        "format",
        "quiet",
        "overwrite",
        "about_study",
    }
    assert given["at"] is None
    given = vars(build().parse_args(["insert", "study", "--concept", "x", "--at", "0,1,2,3", "--units", "4,5"]))
    assert (given["at"], given["units"]) == ((0, 1, 2, 3), (4, 5))
    assert build().parse_args(["insert", "study", "--concept", "x", "--at", "each"]).at == "each"


@pytest.mark.parametrize("flag", ["--layer", "--layers"])
def test_layer_and_layers_are_one_option(flag: str) -> None:
    for verb, options, dest, expected in (
        ("ablate", (), "layers", ("layer2",)),
        ("ace", ("--concept", "x"), "layer", "layer2"),
        ("capacity", ("--concept", "x"), "layers", ("layer2",)),
        ("trace", ("--concept", "x"), "layers", ("layer2",)),
    ):
        assert getattr(build().parse_args([verb, "study", *options, flag, "layer2"]), dest) == expected, verb
    with mistake("bad-value", "ablate --each", "layer1,layer2"):
        _chosen("ablate", build().parse_args(["ablate", "study", "--each", flag, "layer1,layer2"]))


def test_ablate_says_what_it_does_and_shows_what_changed(answer: Answer) -> None:
    text = answer(*ABLATE)
    assert "ablate units 10 at layer2 of planted: 12 images, about" in text
    assert "−100 ± 0 %" in next(line for line in text.splitlines() if line.startswith("ball"))
    (home,) = HOME.iterdir()
    assert home.name == "ablate-units-10-ball-images-12"
    assert f"{home}/report.html" in text
    assert (home / "report.html").stat().st_size > 5_000
    assert (home / "edit.json").is_file()
    assert "images, about" not in answer(*ABLATE), "what is done is shown again at once"
    assert "nothing would be measured" in answer(*ABLATE, "--dry-run")


def test_a_dry_run_says_what_it_would_take(answer: Answer) -> None:
    text = answer(*ABLATE, "--dry-run")
    assert "ablate units 10 at layer2 of planted: 12 images, about" in text
    assert not Path("study-causal").exists()
    told = json.loads(answer(*ABLATE, "--dry-run", "--json"))
    assert (told["images"], told["seconds"] > 0) == (12, True)
    first = answer("insert", "study", "--layer", "layer2", "--concept", "ball", "--images", "4", "--dry-run")
    assert "settings for ball at layer2" in first, "the best setting comes first"


def test_json_has_the_spec_and_the_table(answer: Answer) -> None:
    told = json.loads(answer(*ABLATE, "--random", "2", "--out", "out", "--json"))
    assert told["study"] == "out"
    assert told["report"] == "out/report.html"
    assert (told["spec"]["units"], told["spec"]["random"]) == ([10], 2)
    assert told["table"][0]["concept"] == "ball"
    assert told["table"][0]["relative"] == -1
    assert {p.name for p in Path().iterdir()} == {"study", "out"}


@pytest.mark.parametrize(
    ("at", "region"),
    [(("--at", "3,4"), [3, 4, 1, 1]), (("--at", "3,4", "--cell", "2"), [3, 4, 2, 2]),
     (("--at", "0,1,2,15"), [0, 1, 3, 15]), (("--at", "everywhere"), None), ((), None)],
)  # fmt: skip
def test_where_an_insertion_goes(answer: Answer, at: tuple[str, ...], region: list[int] | None) -> None:
    insert = ("insert", "study", "--layer", "layer2", *BEST, "--images", "6")
    told = json.loads(answer(*insert, *at, "--multiple", "1.5", "--random", "0", "--json"))
    assert (told["spec"]["region"], told["spec"]["multiple"], told["spec"]["units"]) == (region, 1.5, [int(BALL)])
    assert {row["read"] for row in told["table"]} == ({"image", "place"} if region else {"image"})
    assert told["table"][0]["change"] > 0


def test_every_unit(answer: Answer) -> None:
    each = ("ablate", "study", "--layer", "layer2", "--each", "--images", "6")
    text = answer(*each)
    assert "ablate each of 12 units at layer2" in text
    told = json.loads(answer(*each, "--json"))
    assert len(told["unit_effects" if "unit_effects" in told else "table"]) == 12 * 6
    assert {row["concept"] for row in told["agreement"]} == {"sky", "tree", "ball", "box", "lid", "metal"}


def test_the_edits_of_a_study_can_be_applied(answer: Answer) -> None:
    ablated = json.loads(answer(*ABLATE, "--out", "first", "--json"))
    text = answer("apply", "study", "--edit", "first/edit.json", "--images", "12")
    assert "apply edits of edit.json at layer2" in text
    told = json.loads(answer("apply", "study", "--edit", "first/edit.json", "--images", "12", "--json"))
    assert re.fullmatch(r"apply-edit-[0-9a-f]{8}-images-12", Path(told["study"]).name)
    frames = [pd.DataFrame(run["table"]).set_index("concept").sort_index() for run in (ablated, told)]
    pd.testing.assert_frame_equal(*frames)
    assert frames[1].random_change.notna().all()
    other = json.loads(answer(*ABLATE, "--strength", "0.5", "--out", "second", "--json"))
    apply = ("apply", "study", "--edit", "second/edit.json", "--images", "12", "--random", "0", "--json")
    told = json.loads(answer(*apply))
    assert told["table"][0]["random_change"] is None
    after = [{row["concept"]: row["after"] for row in run["table"]} for run in (other, told)]
    assert after[0] == after[1]


@pytest.mark.slow
def test_one_place_at_a_time(answer: Answer) -> None:
    units = (
        "study",
        "--layer",
        "layer2",
        "--concept",
        "ball",
        "--top",
        "1",
        "--images",
        "2",
        "--cell",
        "4",
        "--pool",
        "16",
    )
    context = json.loads(answer("insert", *units, "--at", "each", "--json"))
    assert context["study"].endswith("study-causal/layer2/context-ball-iou-1-images-2-cell-4-pool-16")
    assert sum(row["places"] for row in context["under"]) == 2 * 16
    assert "places" not in context
    assert "responsive" in answer("insert", *units, "--at", "each")
    trace = json.loads(answer("trace", *units, "--json"))
    assert {row["layer"] for row in trace["lines"]} == {"layer2", "layer3"}
    assert "visible" in answer("trace", *units)


def test_a_long_command_says_how_to_take_less(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.experiments.causal.plans.effect_seconds", lambda *_: 240.0)
    small = ("--layer", "layer2", "--concept", "ball", "--top", "1", "--images", "4", "--pool", "16")
    text = answer("insert", "study", *small, "--at", "each", "--cell", "8")
    assert "4 images, about 4 min on cpu; --images 2 or --stride 2 take less, in" in text
    assert "less" not in answer("insert", "study", *small, "--at", "each", "--cell", "8"), "it is there already"
    text = answer("insert", "study", *small, "--random", "1")
    assert "4 images, about 4 min on cpu; --images 2 takes less, in" in text


def test_a_pool_that_is_not_there_yet_is_part_of_the_time(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[int] = []

    def seconds(source: Any, spec: Any, count: int) -> float:
        trials.append(count)
        return 1.0

    monkeypatch.setattr("ganatomy.experiments.causal.plans.effect_seconds", seconds)
    small = ("--layer", "layer2", "--concept", "ball", "--top", "1", "--images", "4", "--random", "0")
    for cell in ("1", "2"):
        answer("insert", "study", *small, "--pool", "32", "--at", "0,0", "--cell", cell)
    answer("ablate", "study", *small)
    assert trials == [1 + 32 // 4, 1, 1]
    trials.clear()
    several = ("--layers", "layer2,layer3", *small[2:], "--pool", "48")
    for constant in ("k", "place"):
        answer("insert", "study", *several, "--at", "0,0", "--cell", "1", "--constant", constant)
        answer("insert", "study", *several, "--at", "0,1", "--cell", "1", "--constant", constant)
    assert trials == [1 + 2 * 48 // 4, 1, 1 + 48 // 4, 1], "a pool a layer, and one pass for all at every place"


def test_a_stride_leaves_places_out(answer: Answer) -> None:
    small = ("--layer", "layer2", "--concept", "ball", "--top", "1", "--images", "2", "--pool", "16")
    told = json.loads(answer("insert", "study", *small, "--at", "each", "--stride", "8", "--json"))
    assert sum(row["places"] for row in told["under"]) == 2 * 4
    assert main(["insert", "study", *small, "--stride", "8"]) == 2


@pytest.mark.slow
def test_every_way_to_insert(answer: Answer) -> None:
    small = ("--tops", "1,2", "--cells", "4", "--multiples", "0.5,1", "--images", "8", "--pool", "16")
    given = ("capacity", "study", "--layers", "layer2,layer3", "--concept", "ball", "--on", "sky", *small)
    text = answer(*given)
    assert "insert ball in every way at layer2, layer3 of planted: 8 images, about" in text
    told = json.loads(answer(*given, "--json"))
    assert "/study-causal/layer2/capacity-ball-" in told["study"]
    assert (told["spec"]["on"], told["spec"]["multiples"], told["spec"]["cells"]) == (["sky"], [0.5, 1.0], [4])
    ways = [row["by"] for row in told["capacity" if "capacity" in told else "table"]]
    assert ways == 2 * (2 * ["iou-1", "iou-2", "all", "random", "patch"] + ["transplant"])
    (best,) = [row for row in told["table"] if row["picked"]]
    first = next(row for row in map(str.split, answer(*given).splitlines()) if row and row[0] in ways)
    assert first[:3] == [best["by"], best["layer"], "4"], "the picked one is listed first"


SMALL_ACE = {"images": 8, "pool": 32, "train": 8, "held": 4, "candidates": 8, "steps": 2, "pairs": 2, "random": 1}


@pytest.mark.slow
def test_ace_of_several_concepts_and_ranking_by_it(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.experiments.causal.ace_spec.SCHEDULES", {"fast": SMALL_ACE, "quick": SMALL_ACE})
    ace = ("ace", "study", "--layer", "layer2", "--top", "2")
    told = json.loads(answer(*ace, "--concept", "ball,tree", "--json"))
    assert {(each["ranking"], each["updates"]) for each in told["results"]} == {("first-order attribution", 0)}
    assert [Path(each["study"]).name for each in told["results"]] == ["ace-ball", "ace-tree"]
    text = answer(*ace, "--concept", "ball", "--quick")
    assert "quick search for ball at layer2 of planted: 8 images, about" in text
    assert "ranking: first-order attribution\nupdates: 0\n" in text
    assert (HOME / "ace-ball-quick").is_dir()
    answer(
        "insert", "study", "--layer", "layer2", "--concept", "ball", "--units", BALL, "--images", "4", "--pool", "32"
    )
    ranked = json.loads(answer("ablate", "study", "--layer", "layer2", "--concept", "ball", "--top", "1", "--by", "ace",
                               "--images", "4", "--json"))  # fmt: skip
    assert ranked["spec"]["units"] == [told["results"][0]["units"][0]["unit"]]
    assert ranked["spec"]["chosen"] == "top 1 for ball by first-order attribution"
    both = json.loads(answer(*ace, "--concept", "ball,tree,ball", "--out", "both", "--json"))
    assert [each["study"] for each in both["results"]] == ["both/ace-ball", "both/ace-tree"]


@pytest.mark.slow
def test_where_open_models_were_dissected_they_have_to_be_given_again(here: Path) -> None:
    small: dict[str, Any] = {"layer": "layer2", "images": 4, "batch": 4}
    models = {"generator": ganatomy.open_generator("planted"), "segmenter": ganatomy.open_segmenter("planted")}
    opened = ganatomy.dissect(**models, images=24, layers=("layer2",), batch=8, out=here / "opened")
    found = ganatomy.ablate(opened, units=[10], **small, out=here / "remembered")
    again = ganatomy.open_dissection(here / "opened")
    with mistake("bad-value", here / "opened", "generator="):
        ganatomy.ablate(again, units=[10], **small)
    other = ganatomy.ablate(again, units=[10], **models, **small, out=here / "given")
    assert other.table.equals(found.table)
    assert found.table.change.abs().max() > 0


@pytest.mark.slow
def test_concepts_may_be_called_anything(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With commas, as no list of concepts; with what no directory can be called."""
    words = [["nothing", "nothing"], ['a/b, "warm"', "object"], ["../cold <x>", "object"]]
    (here / "words.json").write_text(json.dumps(words))
    (here / "halves.py").write_text(
        "def halves():\n    return lambda x: 1 + (x.mean(1) > x.mean((1, 2, 3))[:, None, None]).long()"
    )
    segmenter = "torch:halves:halves?vocabulary=words.json"
    ganatomy.dissect("planted", segmenter=segmenter, images=24, layers=("layer2",), batch=8, out=here / "named")
    for name in (words[1][0], words[2][0]):
        command = ("ablate", "named", "--layer", "layer2", "--concept", name, "--top", "2", "--images", "4")
        assert main(command) == 0
        assert main(("ace", "named", "--layer", "layer2", "--concept", name, "--top", "2")) == 2
        assert_mistake_line(capsys.readouterr().err, "labels", "logits")  # so the name was understood
    given = ("--layers", "layer2", "--concept", words[1][0], "--on", words[2][0], "--tops", "2", "--cells", "1")
    assert main(("capacity", "named", *given, "--multiples", "1", "--images", "4", "--pool", "8")) == 0
    homes = sorted(path.name for path in (here / "named-causal/layer2").iterdir())
    assert homes[:2] == ["ablate-..-cold -x--iou-2-images-4", "ablate-a-b, -warm--iou-2-images-4"]
    assert [name.partition("-")[0] for name in homes[2:]] == ["capacity", "pool"], "nothing of what was refused"


def test_what_is_allowed_is_only_told_where_it_is_known() -> None:
    under = pd.DataFrame({"object": ["sky"]})
    names = ["allowed", "allowed_error", "forbidden", "forbidden_error", "ratio", "low", "high"]
    known = pd.DataFrame([[0.4, 0.05, 0.1, 0.01, 4.0, 3.0, 5.0]], columns=names)
    known = known.assign(by="units", allowed_places=3, forbidden_places=4)

    def verdict(found: pd.DataFrame) -> list[str]:
        result: Any = SimpleNamespace(under=under, verdict=found, facts={}, possible=pd.DataFrame())
        return [cell for table in context_tables(result)[1:] for c in table.columns for cell in c.cells(table.frame)]

    assert verdict(known) == ["chosen units", "+40 ± 5 %", "3", "+10.0 ± 1.0 %", "4", "4 times as much (95 %: 3 to 5)"]
    vague = {"ratio": math.nan, "difference": 0.3, "difference_low": -0.1, "difference_high": 0.7}
    found = verdict(known.assign(forbidden_error=0.2, **vague))
    assert found[3::2] == ["no effect (+10 ± 20 %)", "no difference (30 %; 95 %: −10 % to 70 %)"]
    assert verdict(known.assign(**dict.fromkeys(names, math.nan))) == []


def test_edits_of_a_layer_that_was_not_dissected_can_be_applied(answer: Answer) -> None:
    generator = ganatomy.open_generator("planted")
    edit = ganatomy.Intervention.ablate("layer1", generator.layers["layer1"], [UNITS["layer1"].index("ball")])
    write_edits(Path("early.json"), [edit], generator.fingerprint)
    told = json.loads(answer("apply", "study", "--edit", "early.json", "--images", "8", "--random", "1", "--json"))
    assert "/layer1/apply-early-" in told["study"]
    ball = next(row for row in told["table"] if row["concept"] == "ball")
    assert (ball["relative"], ball["random_relative"]) == (-1, 0)


def test_a_colon_is_no_image(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_line("bundled:church: 3 images")
    assert capsys.readouterr().out == "bundled:church: 3 images\n"


@pytest.mark.slow
def test_a_run_that_was_killed_ends_in_the_same_bits(here: Path) -> None:
    command = [sys.executable, "-m", "ganatomy", *ABLATE[:-1], "300", "--random", "1", "--batch", "8", "--out"]
    partial = here / "a/steps/effect.partial.npz"
    running = subprocess.Popen([*command, "a"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    assert running.wait(60) == -signal.SIGKILL
    assert partial.exists()
    for out in ("a", "b"):
        subprocess.run([*command, out], stdout=subprocess.DEVNULL, check=True)
    for name in ("tables/effect.parquet", "steps/effect.npz", "steps/strips.npz", "edit.json"):
        assert (here / "a" / name).read_bytes() == (here / "b" / name).read_bytes(), name
