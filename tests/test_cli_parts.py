"""Every kind of experiment, counted in three parts through the command line, ends in the numbers of one run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import ganatomy
from ganatomy.cli import main
from ganatomy.core.errors import PartsMissing
from ganatomy.core.tensor_files import Archive
from ganatomy.experiments.real_comparison import RUN as REALS
from ganatomy.experiments.real_comparison import RealComparison
from ganatomy.experiments.run_options import RunOptions
from ganatomy.study import Part


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small samples into several shards; a command has no option for that."""

    def cut(ids: range) -> list[range]:
        return [ids[i : i + 8] for i in range(0, len(ids), 8)]

    whole = RunOptions.shards
    monkeypatch.setattr(
        RunOptions, "shards", lambda self, ids: whole(self, ids) if self.shard == REALS.shard else cut(ids)
    )
    monkeypatch.setattr(RealComparison, "shards", lambda self: cut(self.spec.ids()))


@pytest.fixture(autouse=True)
def here(dissect_once: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a finished dissection in it, and room for the same of another run."""
    for name in ("one", "parts"):
        dissect_once(tmp_path / name / "study", images=40, layers=("layer2", "layer3"), batch=8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL_ACE = {"images": 30, "pool": 40, "train": 8, "held": 4, "candidates": 32, "steps": 2, "pairs": 2, "random": 2}
COMMANDS = {
    "dissect": "dissect planted: --segmenter planted: --images 40 --batch 8 --out {place}/new",
    "ablate": "ablate {place}/study --layer layer2 --units 1,2 --concept ball --images 30 --random 2 --batch 8",
    "ace": "ace {place}/study --layer layer2 --concept ball --top 2 --quick --batch 8",
    "artifacts": "artifacts {place}/study --layer layer2 --real scenes:church --reals 270 --images 270 --top 260",
    "quality": "quality {place}/study --real scenes:church --reals 520 --images 260 --textures 16 --batch 16",
}


def say(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def files(directory: Path, kind: str) -> dict[str, Path]:
    """All files of a kind, of all studies in a directory."""
    return {str(path.relative_to(directory)): path for path in sorted(directory.rglob(f"*.{kind}"))}


def check_same(one: Path, parts: Path) -> None:
    """Whole numbers, rows and labels to the bit; sums of floats up to rounding; times as they are."""
    whole, merged = files(one, "npz"), files(parts, "npz")
    assert whole.keys() == merged.keys()
    for name, path in whole.items():
        found = dict(Archive(merged[name]))
        for field, tensor in Archive(path).items():
            bound = 1e-12 if tensor.dtype == torch.float64 else 0
            torch.testing.assert_close(
                found.pop(field), tensor, rtol=bound, atol=0, equal_nan=True, msg=f"{name} {field}"
            )
        assert not found
    whole, merged = files(one, "parquet"), files(parts, "parquet")
    assert whole.keys() == merged.keys()
    for name, path in whole.items():
        table, found = map(pd.read_parquet, (path, merged[name]))
        pd.testing.assert_frame_equal(found, table, rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_three_parts_end_in_the_numbers_of_one_run(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganatomy.experiments.causal.ace_spec.SCHEDULES", {"quick": SMALL_ACE})
    say(capsys, *COMMANDS[name].format(place="one").split())
    command = COMMANDS[name].format(place="parts").split()
    rounds = 0
    for i in range(18):
        answer = say(capsys, *command, "--shard", f"{1 + i % 3}/3")
        rounds += "; still missing: part" in answer
        if "report:" in answer:
            break
    assert "report:" in answer
    assert rounds >= 1, "nothing was shared out"
    check_same(Path("one"), Path("parts"))
    assert not [path for path in Path("parts").rglob("*") if "part-" in path.name]


@pytest.mark.slow
def test_an_array_whose_jobs_wait_for_each_other_does_the_whole_study(capsys: pytest.CaptureFixture[str]) -> None:
    """Real processes, which know nothing of each other but the directory; the answer is that of one run, in each."""
    command = [*COMMANDS["dissect"].format(place="parts").split(), "--json"]
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", "ganatomy", *command, "--shard", f"{i}/2", "--wait", "2"], stdout=subprocess.PIPE
        )
        for i in (1, 2)
    ]
    one, other = (json.loads(job.communicate(timeout=120)[0]) for job in jobs)
    assert [job.returncode for job in jobs] == [0, 0]
    assert one == other
    say(capsys, *COMMANDS["dissect"].format(place="one").split())
    check_same(Path("one"), Path("parts"))


def test_a_part_answers_scripts_with_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    command = COMMANDS["ablate"].format(place="parts").split()
    told = json.loads(say(capsys, *command, "--shard", "2/3", "--json"))
    assert told == {"study": told["study"], "step": "effect", "missing": [1, 3]}
    assert Path(told["study"], "steps/effect.part-002-of-003.npz").is_file()
    text = say(capsys, *command, "--shard", "3/3")
    assert text.count("\n") == 1 + text.count("about"), "an estimate, and one line"
    assert f"part 3/3 of effect is done; still missing: part 1 of 3 in {told['study']}; when" in text


@pytest.mark.slow
def test_parts_from_several_places_are_merged_and_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    """As on machines without a disk to share: each has a copy of the dissection, and counts its part there."""
    command = COMMANDS["ablate"]
    places = []
    for i in (1, 2, 3):
        shutil.copytree("parts", f"machine{i}")
        told = json.loads(say(capsys, *command.format(place=f"machine{i}").split(), "--shard", f"{i}/3", "--json"))
        places.append(told["study"])
    out = places[0].replace("machine1", "parts")
    text = say(capsys, "merge", *places, "--out", out)
    assert f"{out} has parts 1-3 of effect" in text
    assert "the same command as before merges them there and goes on" in text
    assert "report:" in say(capsys, *command.format(place="parts").split())
    say(capsys, *command.format(place="one").split())
    check_same(Path("one"), Path("parts"))


def test_merge_answers_scripts_and_refuses_in_one_line(
    capsys: pytest.CaptureFixture[str], refused: Callable[..., None]
) -> None:
    command = COMMANDS["ablate"].format(place="parts").split()
    study = json.loads(say(capsys, *command, "--shard", "1/2", "--json"))["study"]
    refused(["merge", "one/study"], "one/study", "finished")
    shutil.copytree(study, "other")
    Path("other/steps/effect.part-001-of-002.npz").unlink()
    given = [*command[:-2], "--batch", "8", "--out", "other", "--shard", "2/2"]
    assert "still missing: part 1 of 2 in other" in say(capsys, *given)
    told = json.loads(say(capsys, "merge", study, "other", "--json"))
    assert told == {"study": study, "parts": {"effect": [1, 2]}}


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        (["--shard", "0/16"], "0/16"),
        (["--shard", "3"], "'3'"),
        (["--shard", "1/2", "--wait", "-1"], "wait=-1.0"),
        (["--wait", "5"], "--wait"),
    ],
)
def test_mistakes_are_told_in_a_line(options: list[str], fact: str, refused: Callable[..., None]) -> None:
    refused([*COMMANDS["dissect"].format(place="new").split(), *options], fact)
    assert not Path("new").exists()


@pytest.mark.slow
def test_the_api_takes_a_part(here: Path) -> None:
    given = {"layer": "layer2", "units": [1, 2], "concept": "ball", "images": 30, "random": 2, "batch": 8}
    with pytest.raises(PartsMissing):
        ganatomy.ablate("parts/study", **given, engine=Part(2, 2))
    found = ganatomy.ablate("parts/study", **given, engine=Part(1, 2))
    pd.testing.assert_frame_equal(found.table, ganatomy.ablate("one/study", **given).table, rtol=1e-12)
