"""Parts that were counted in several places come together, or it is said in a line why they do not."""

import ast
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from counted import FACTS, FINISHED, KINDS, SHARDS, Counts, RoundsSpec, contents, run, same_counts, tried
from hypothesis import given, settings
from hypothesis import strategies as st

from ganatomy.errors import BadFile, PartsMissing, StudyBusy, StudyError, StudyMismatch, UnknownName
from ganatomy.execute import local
from ganatomy.experiments.statistics import STATISTICS, statistic
from ganatomy.study import Mergeable, Part, Study
from ganatomy.study import files as study_files
from ganatomy.study.gather import Merged, merge_parts
from ganatomy.study.lock import Hold
from ganatomy.tensor_files import Archive, write

EXPERIMENTS = Path(__file__).parents[2] / "src" / "ganatomy" / "experiments"


def merge(places: list[Path], out: Path | None = None) -> Merged:
    return merge_parts(places, out, KINDS.__getitem__)


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """Three places, in each of which a part of the first step was counted."""
    found = [tmp_path / name for name in ("a", "b", "c")]
    for number, place in enumerate(found, 1):
        assert isinstance(tried(place, Part(number, 3)), PartsMissing)
    return found


def part(place: Path, number: int, of: int = 3) -> Path:
    return place / "steps" / f"first.part-{number:03d}-of-{of:03d}.npz"


def snapshot(*places: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- what comes together


def test_three_places_become_one_study_that_can_be_gone_on_with(places: list[Path], tmp_path: Path) -> None:
    before = snapshot(*places)
    out = tmp_path / "deep" / "out"
    assert merge(places, out) == Merged(out, {"first": 3})
    assert contents(out) == ["steps/first.npz", "study.json"]
    assert snapshot(*places) == before, "what was merged is left as it was"
    assert same_counts(run(out), run(tmp_path / "alone"))


def test_every_round_can_be_counted_in_several_places(places: list[Path], tmp_path: Path) -> None:
    merge(places, tmp_path / "out")
    for number, place in enumerate(places, 1):
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "out", place)
        assert isinstance(tried(place, Part(number, 3)), PartsMissing)
    assert merge(places, tmp_path / "out").parts == {"second round": 3}
    assert contents(tmp_path / "out") == [name for name in FINISHED if "tables" not in name]
    assert same_counts(run(tmp_path / "out"), run(tmp_path / "alone"))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(of=st.integers(1, 5), shards=st.integers(2, 10), dice=st.data())
def test_however_parts_are_spread_they_merge_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, of: int, shards: int, dice: st.DataObject
) -> None:
    root, own = tmp_path_factory.mktemp("places"), SHARDS[:shards]

    def first(directory: Path, number: int) -> None:
        part = Part(number, of)
        with contextlib.suppress(PartsMissing), Study.create(directory, RoundsSpec(), FACTS, part) as study:
            study.sharded("first", Counts, Counts, own)

    order = dice.draw(st.permutations(range(1, of + 1)))
    homes = {number: root / str(dice.draw(st.integers(0, 2))) for number in order}
    for number in order:
        first(root / "shared", number)
        first(homes[number], number)
    used = sorted(set(homes.values()))
    if not any((home / "steps/first.npz").exists() for home in used):
        merge(used, root / "out")
        found = [Counts.from_state(Archive(root / name / "steps/first.npz")) for name in ("out", "shared")]
        assert torch.equal(found[0].total, found[1].total)
        assert same_counts(*found)


def test_one_directory_is_merged_in_its_place(places: list[Path]) -> None:
    home = places[0]
    for number in (2, 3):
        shutil.copy(part(places[number - 1], number), part(home, number))
    assert merge([home]) == Merged(home, {"first": 3})
    assert contents(home) == ["steps/first.npz", "study.json"]


def test_without_out_the_first_place_gets_all(places: list[Path]) -> None:
    assert merge(places).directory == places[0]
    assert contents(places[0]) == ["steps/first.npz", "study.json"]
    assert contents(places[1]) == ["steps/first.part-002-of-003.npz", "steps/first.parts.json", "study.json"]


def test_what_one_process_had_counted_before_is_merged_too(tmp_path: Path) -> None:
    def stops(shard: range) -> Counts:
        if shard == SHARDS[3]:
            raise KeyboardInterrupt
        return Counts(shard)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", local, stops)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for number, name in enumerate("ab", 1):
        tried(tmp_path / name, Part(number, 2))
    merge([tmp_path / "b", tmp_path / "a"], tmp_path / "out")
    assert same_counts(run(tmp_path / "out"), run(tmp_path / "alone"))
    for name in "ab":
        (tmp_path / name / "steps/first.partial.npz").unlink()
    with pytest.raises(StudyError, match=r"lacks .*first\.partial\.npz, which holds its first 3 shards"):
        merge([tmp_path / "b", tmp_path / "a"], tmp_path / "other")


# ---------------------------------------------------------------- what does not


def test_other_studies_are_refused_by_what_differs(places: list[Path], tmp_path: Path) -> None:
    for change, says in (
        ({"spec": {"seed": 1}}, "seed is 0 and 1"),
        ({"facts": {"inputs": {"generator": "xyz"}}}, "fingerprint of the generator is 'abc' and 'xyz'"),
        ({"experiment": "other"}, "experiment is 'rounds' and 'other'"),
    ):
        record = json.loads((places[1] / "study.json").read_text())
        other = tmp_path / "other"
        shutil.copytree(places[1], other, dirs_exist_ok=True)
        (other / "study.json").write_text(json.dumps({**record, **change}))
        with pytest.raises(StudyMismatch, match=f"a and .*other are not of one study: {says}"):
            merge([places[0], other, places[2]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("same", "how"), [(True, "the same"), (False, "not even the same")])
def test_a_part_that_is_there_twice_is_refused(places: list[Path], tmp_path: Path, same: bool, how: str) -> None:
    shutil.copy(part(places[1], 2), part(places[2], 2))
    if not same:
        state = dict(Archive(part(places[2], 2)))
        state["total"][0] += 1
        write(part(places[2], 2), state, 3)
    with pytest.raises(StudyError, match=rf"part 2 of first is there twice, {how}: \S+b/steps\S+ and \S+c/steps"):
        merge(places, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_and_unfinished_parts_are_named(places: list[Path], tmp_path: Path) -> None:
    part(places[1], 2).rename(places[1] / "steps" / "first.part-002-of-003.partial.npz")
    with pytest.raises(StudyError, match=r"first lacks part 2 of 3; unfinished: \S+b/steps/first\.part-002\S+; run"):
        merge(places, tmp_path / "out")
    with pytest.raises(StudyError, match="first lacks parts 1,2 of 3; run the same"):
        merge(places[2:], tmp_path / "out")


def test_parts_of_other_shares_are_refused(places: list[Path], tmp_path: Path) -> None:
    tried(tmp_path / "two", Part(2, 2))
    with pytest.raises(StudyMismatch, match=r"share first out differently \(3 parts of 10 shards, 2 of 10\)"):
        merge([*places, tmp_path / "two"])


def test_parts_that_start_from_other_steps_are_refused(places: list[Path], tmp_path: Path) -> None:
    merge(places, tmp_path / "out")
    for number, name in enumerate("de", 1):
        shutil.copytree(tmp_path / "out", tmp_path / name)
        tried(tmp_path / name, Part(number, 2))
    half = tmp_path / "e/steps/half.npz"
    state = dict(Archive(half))
    state["counts"][0] += 1
    write(half, state, 0)
    with pytest.raises(StudyMismatch, match=r"half is not the same in \S+d/steps\S+ and \S+e/steps\S+; the parts"):
        merge([tmp_path / "d", tmp_path / "e"])


def test_places_without_parts_are_refused(places: list[Path], tmp_path: Path) -> None:
    Study.create(tmp_path / "new", RoundsSpec(), FACTS).close()
    with pytest.raises(StudyError, match=r"no parts to merge in \S+new; a run with --shard 1/16 leaves one"):
        merge([tmp_path / "new"])
    with pytest.raises(StudyError, match="nowhere holds no study"):
        merge([*places, tmp_path / "nowhere"])
    run(tmp_path / "done")
    with pytest.raises(StudyError, match="done is finished, so there is nothing to merge"):
        merge([tmp_path / "done"])
    with pytest.raises(StudyError, match="done is finished, so there is nothing to merge"):
        merge(places, tmp_path / "done")


def test_a_place_that_is_written_to_is_refused(places: list[Path], tmp_path: Path) -> None:
    with Study.create(places[0], RoundsSpec(), FACTS, Part(2, 3)), pytest.raises(StudyBusy, match=r"\(part 2/3\)"):
        merge(places)
    shutil.copytree(places[0], tmp_path / "full")
    (tmp_path / "full" / "study.json").unlink()
    with pytest.raises(StudyError, match=r"cannot write \S+full \(Directory not empty\)"):
        merge(places, tmp_path / "full")
    assert not list(tmp_path.glob(".*"))


def test_what_fails_half_way_leaves_nothing(
    places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(study_files, "write", full)
    before = snapshot(*places)
    for out in (tmp_path / "out", None):
        with pytest.raises(StudyError, match=r"No space left on device"):
            merge(places, out)
    assert {path: text for path, text in snapshot(*places).items() if path.name != ".lock"} == {
        path: text for path, text in before.items() if path.name != ".lock"
    }
    assert not [path.name for path in tmp_path.iterdir() if path not in places]


KILLED = """
import os, random, signal, sys, time
sys.path.insert(0, {tests!r})
from counted import *
from ganatomy.study import gather
root, dice = Path(sys.argv[1]), random.Random(0)
for i in range(20):
    process = os.fork()
    if not process:
        gather.merge_parts([root / name for name in "abc"], root / "out", KINDS.__getitem__)
        os._exit(0)
    time.sleep(dice.random() * 0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    if (root / "out").exists():
        Study.create(root / "out", RoundsSpec(), FACTS).close()
        os.rename(root / "out", root / f"out-{{i}}")
"""


@pytest.mark.slow
def test_a_merge_that_is_killed_leaves_all_or_nothing(places: list[Path], tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent))
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    merge(places, tmp_path / "out")
    for out in tmp_path.glob("out*"):
        assert contents(out) == ["steps/first.npz", "study.json"]
        assert (out / "steps/first.npz").read_bytes() == (tmp_path / "out/steps/first.npz").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_two_merges_into_one_place_keep_apart(places: list[Path], tmp_path: Path) -> None:
    (tmp_path / ".out.merging").mkdir()
    with (
        contextlib.closing(Hold(tmp_path / ".out.merging")),
        pytest.raises(StudyBusy, match=r"\.out\.merging is being"),
    ):
        merge(places, tmp_path / "out")


@pytest.mark.parametrize("change", ["lacks", "shape", "cut off"])
def test_damaged_parts_are_named(places: list[Path], tmp_path: Path, change: str) -> None:
    file = part(places[1], 2)
    state = dict(Archive(file))
    if change == "lacks":
        del state["rows"]
    else:
        state["counts"] = torch.zeros(3, dtype=torch.int64)
    write(file, state, 3)
    if change == "cut off":
        file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(BadFile, match=r"first\.part-002-of-003\.npz: not a whole file of a study"):
        merge(places, tmp_path / "out")


# ---------------------------------------------------------------- which classes


@pytest.mark.slow
def test_every_statistic_that_is_counted_by_the_shard_can_be_found_by_its_name() -> None:
    kinds = set()
    for file in EXPERIMENTS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sharded":
                kinds.add(ast.unparse(node.args[1]))
    assert kinds == STATISTICS.keys()
    for name in STATISTICS:
        assert statistic(name).__name__ == name
        assert isinstance(statistic(name), type)
        assert issubclass(statistic(name), Mergeable)


def test_a_name_from_a_strangers_file_is_only_looked_up(places: list[Path], tmp_path: Path) -> None:
    for name in ("os.system", "ganatomy.study:Study", "__builtins__", ""):
        for place in places:
            plan = place / "steps/first.parts.json"
            plan.write_text(json.dumps({**json.loads(plan.read_text()), "kind": name}))
        with pytest.raises(UnknownName, match="unknown statistic"):
            merge_parts(places, tmp_path / "out", statistic)
