"""The command line: what it answers, on which stream, and with which exit code."""

import dataclasses
import itertools
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_words import save_words

from ganatomy.cli import answers, main, models_verbs, terminal
from ganatomy.cli.arguments import GROUPS, build
from ganatomy.cli.verbs import DEMOS
from ganatomy.experiments import dtype
from ganatomy.experiments.dissect_spec import DissectSpec

GANATOMY = [sys.executable, "-m", "ganatomy"]
PLANTED = ["dissect", "planted:", "--segmenter", "planted:", "--images", "24", "--batch", "8", "--out", "study"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", [[], ["demo"], ["dissect"], ["report"], ["models"], ["scenes"], ["scenes", "render"]])
def test_help(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*verb, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: ganatomy", *verb]))


def test_no_command_shows_three_to_start_with(answer: Callable[..., str]) -> None:
    text = answer()
    assert text.startswith("three commands to start with:")
    assert [line.split()[1] for line in text.splitlines() if line.startswith("  ganatomy")] == [
        "demo",
        "dissect",
        "serve",
    ]
    assert answer("scenes").startswith("usage: ganatomy")


def test_help_lists_every_command_in_a_group_and_ends_with_an_example_that_can_be_typed() -> None:
    parser = build()
    commands = next(iter(parser._subparsers._group_actions)).choices  # type: ignore[union-attr]
    for name, own in (commands or {}).items():
        if name != "scenes":
            example = own.epilog.rpartition("example: ganatomy ")[2]
            assert build().parse_args(shlex.split(example)), name
    assert set(itertools.chain(*GROUPS.values())) < set(commands or [])
    assert all(f"\n  {name} " in parser.format_help() for name in commands or [])


@pytest.mark.slow
def test_the_demo_of_the_words_model_dissects_and_ablates(
    answer: Callable[..., str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"generator": save_words(here / "w.pt"), "segmenter": "planted", "layers": ("up2@1",), "images": 8}
    edit = {"layer": "up2", "at_steps": "1..2", "concept": "sky", "top": 2, "images": 8, "random": 1}
    assert DEMOS["words"][0].keys() - {"out"} == model.keys()
    assert DEMOS["words"][1].keys() == edit.keys()
    monkeypatch.setitem(DEMOS, "words", (model | {"out": here / "out"}, edit))  # type: ignore[arg-type]
    told = json.loads(answer("demo", "--model", "words", "--images", "6", "--json"))
    assert (here / "out" / "report.html").exists()
    assert Path(told["ablation"]["report"]).exists()
    assert told["ablation"]["spec"]["images"] == told["spec"]["images"] == 6
    assert told["ablation"]["table"][0]["concept"] == "sky"
    text = answer("demo", "--model", "words", "--images", "6")
    assert text.count("report:") == 2


def test_a_dry_run_says_what_it_takes_and_makes_nothing(answer: Callable[..., str], here: Path) -> None:
    argv = ("dissect", "planted:", "--segmenter", "planted", "--images", "20", "--out", "dry", "--dry-run")
    told = answer(*argv).splitlines()
    assert re.fullmatch(r"20 \+ 20 images, about .+, [\d.]+ [MG]B of memory, \d+ [kM]B", told[0])
    assert told[1].startswith("with --validation cross: 20 images")
    found = json.loads(answer(*argv, "--memory", "3GB", "--json"))
    assert found["as asked"]["passes"] == 1
    assert not Path("dry").exists()


def test_the_number_format_that_auto_takes_is_told(answer: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtype, "has_bfloat16", lambda device: False)
    argv = (*PLANTED, "--segmenter", "bundled:scenes?dtype=auto")
    reason = "cpu has no bfloat16 in hardware"
    told = f"dtype=auto takes float32: {reason}"
    assert answer(*argv, "--dry-run").startswith(f"{told}\n24 + 24 images")
    assert answer(*argv).startswith(f"{told}\nplanted through bundled:scenes?dtype=float32: 24 + 24 images")
    assert reason in Path("study/report.html").read_text()
    found = json.loads(answer(*argv, "--json"))
    assert (found["dtype"], found["spec"]["segmenter"]) == (
        {"taken": "float32", "reason": reason},
        "bundled:scenes?dtype=float32",
    )


@pytest.mark.parametrize("size", ["0", "much", "-1", "inf", "nan"])
def test_memory_is_a_number_of_gigabytes(size: str, refused: Callable[..., None]) -> None:
    refused(["dissect", "planted:", "--out", "never", f"--memory={size}"], "memory", f"'{size}'")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert re.fullmatch(r"ganatomy \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_tells_the_defaults_of_the_spec(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dissect", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(DissectSpec):
        told = re.search(rf"--{field.name} \S+ [^-]*\((\w[\w:]*)\)", text)
        if told and told[1] not in ("all",):
            assert told[1] == str(field.default), field.name
    assert text.count("(") >= 6


def test_an_option_that_is_not_given_is_not_set() -> None:
    given = vars(build().parse_args(["dissect", "x", "--out", "o"]))
    assert {f.name for f in dataclasses.fields(DissectSpec)} & given.keys() == {"generator"}
    given = vars(build().parse_args(["dissect", "x", "--out", "o", "--layers", "a, b", "--seed", "3"]))
    assert (given["layers"], given["seed"]) == (("a", "b"), 3)


def test_models_lists_what_is_bundled_and_what_can_be_opened(answer: Callable[..., str]) -> None:
    told = json.loads(answer("models", "--json"))
    names = {card["name"]: card for card in told["bundled"]}
    assert {"church", "scenes"} <= names.keys()
    assert names["church"]["kind"] == "generator"
    assert names["church"]["bytes"] > 1e5
    assert {"bundled", "planted", "progan", "torch"} <= told["generators"].keys()
    assert all(told["generators"].values()), "every family has a sentence that says what it opens"
    assert all(told["segmenters"].values())
    text = answer("models")
    assert all(name in text for name in [*names, *told["generators"], *told["segmenters"]])


def test_models_shows_a_card(answer: Callable[..., str]) -> None:
    card = json.loads(answer("models", "church", "--json"))
    text = answer("models", "church")
    for fact in ("recipe", "seed", "scores", "date", "licence", "sha256"):
        assert card[fact] is not None
        assert fact in text


def test_scenes_are_written_with_their_labels(answer: Callable[..., str]) -> None:
    text = answer("scenes", "render", "--category", "church", "--count", "3", "--size", "32", "--out", "out")
    assert "3 scenes in out" in text
    assert len(list(Path("out").rglob("*.png"))) == 12
    with Image.open("out/images/000002.png") as image:
        assert image.size == (32, 32)


@pytest.mark.slow
def test_dissect_writes_a_study_and_a_report_and_shows_a_table(answer: Callable[..., str]) -> None:
    text = answer(*PLANTED)
    assert re.search(r"planted through planted: 24 \+ 24 images, .* of memory, .* on cpu, in study", text)
    assert "interpretable" in text
    assert "report: study/report.html" in text
    assert Path("study/report.html").stat().st_size > 10_000
    again = json.loads(answer(*PLANTED, "--json"))
    assert again["spec"]["images"] == 24
    assert again["report"] == "study/report.html"
    assert sum(layer["units"] for layer in again["layers"]) > 0
    assert {"concept", "units_matched", "best_iou"} <= again["concepts"][0].keys()
    Path("study/report.html").unlink()
    assert answer("report", "study") == "report: study/report.html\n"
    assert answer("report", "study", "--out", "pages/one.html") == "report: pages/one.html\n"
    assert answer("report", "study", "--out", "small.html", "--budget", "0.07") == "report: small.html\n"
    assert Path("small.html").stat().st_size < Path("pages/one.html").stat().st_size
    link = '<a href="index.html">Further results</a>'  # a page elsewhere is for itself
    assert Path("pages/one.html").read_text() == Path("study/report.html").read_text().replace(link, "")


def test_what_is_missing_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    answers.print_json({"a": answers.rows(terminal.pd.DataFrame({"iou": [0.5, float("nan")]}))})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": [{"iou": 0.5}, {"iou": None}]}


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models_verbs, "models", interrupted)
    assert main(["models"]) == 130
    assert capsys.readouterr() == ("", "ganatomy: stopped; run the same command again to resume\n")


@pytest.mark.parametrize(("given", "used"), [(None, "1000"), ("5", "5")])
def test_waiting_threads_spin_only_briefly(monkeypatch: pytest.MonkeyPatch, given: str | None, used: str) -> None:
    """Long spinning took twice as long on shared cores. Torch reads the variable when it is loaded."""
    monkeypatch.setenv("GOMP_SPINCOUNT", given or "")
    if given is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    assert main([]) == 0
    assert os.environ["GOMP_SPINCOUNT"] == used
    code = "import sys, ganatomy.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(models_verbs, "models", broken)
    with pytest.raises(ZeroDivisionError):
        main(["models"])


@pytest.mark.slow
def test_a_reader_that_has_seen_enough() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*GANATOMY, "models"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.slow
def test_a_terminal_sees_a_bar_and_a_pipe_does_not() -> None:
    outer, inner = pty.openpty()
    render = [*GANATOMY, "scenes", "render", "--count", "300"]
    subprocess.run([*render, "--out", "a"], stdout=subprocess.PIPE, stderr=inner, check=True)
    os.close(inner)
    assert b"church scenes" in os.read(outer, 100_000)
    os.close(outer)
    piped = subprocess.run([*render, "--out", "b"], capture_output=True, check=True)
    assert piped.stderr == b""


def stopped(command: list[str], partial: Path, by: signal.Signals) -> tuple[int, str]:
    """Start a command and stop it once it has kept another shard; return its exit code and stderr."""
    before = partial.stat().st_mtime_ns if partial.exists() else 0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_mtime_ns > before) and time.monotonic() < deadline:
        time.sleep(0.002)
    running.send_signal(by)
    _, err = running.communicate(timeout=60)
    return running.returncode, err


@pytest.mark.slow
def test_a_run_that_was_stopped_twice_ends_in_the_same_tables(here: Path) -> None:
    command = [*GANATOMY, *PLANTED[:-1]]
    command[command.index("--images") + 1] = "600"
    partial = here / "a/steps/validation.partial.npz"
    told = stopped([*command, "a"], partial, signal.SIGINT)
    assert told == (130, "ganatomy: stopped; run the same command again to resume\n")
    assert stopped([*command, "a"], partial, signal.SIGKILL) == (-signal.SIGKILL, "")
    assert partial.exists()
    for out in ("a", "b"):
        subprocess.run([*command, out], stdout=subprocess.DEVNULL, check=True)
    tables = sorted(path.name for path in here.glob("a/tables/*"))
    assert tables
    for name in tables:
        assert (here / "a/tables" / name).read_bytes() == (here / "b/tables" / name).read_bytes(), name
