"""Parts that were counted in several places come together, or it is said in a line why they do not."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake
from toy_study import FACTS, FINISHED, SHARDS, WHOLE, Counts, RoundsSpec, contents, run, same_counts, tried

from ganatomy.core.errors import PartsMissing
from ganatomy.core.tensor_files import Archive, write
from ganatomy.engines import local
from ganatomy.study import Part, Study
from ganatomy.study.lock import StudyLock
from ganatomy.study.merge import merge_parts


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """Three places, in each of which a part of the first step was counted."""
    found = [tmp_path / name for name in ("a", "b", "c")]
    for number, place in enumerate(found, 1):
        assert isinstance(tried(place, Part(number, 3)), PartsMissing)
    return found


def part(place: Path, number: int, of: int = 3) -> Path:
    return place / "steps" / f"first.part-{number:03d}-of-{of:03d}.npz"


def names(place: Path) -> list[str]:
    return [path.name for path in sorted(place.glob("steps/*"))]


def snapshot(*places: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()}


def nothing(_: range) -> Counts:
    pytest.fail("nothing is to be counted")


# ---------------------------------------------------------------- what comes together


def test_three_places_become_one_study_that_the_same_command_goes_on_with(places: list[Path], tmp_path: Path) -> None:
    before = snapshot(*places)
    out = tmp_path / "deep" / "out"
    assert merge_parts(places, out) == {"first": [1, 2, 3]}
    assert names(out) == [part(out, number).name for number in (1, 2, 3)]
    assert snapshot(*places) == before, "what was merged is left as it was"
    assert merge_parts(places, out) == {"first": [1, 2, 3]}, "what is there is there"
    with Study.create(out, RoundsSpec(), FACTS) as study:
        study.sharded("first", Counts, nothing, SHARDS)
    assert contents(out) == ["steps/first.npz", "study.json"]
    assert same_counts(run(out), run(tmp_path / "alone"))


def test_files_that_are_copied_into_place_by_hand_merge_to_the_same_bits(places: list[Path], tmp_path: Path) -> None:
    for number in (1, 2, 3):
        tried(tmp_path / "shared", Part(number, 3))
    for number in (2, 3):
        shutil.copy(part(places[number - 1], number), part(places[0], number))
    tried(places[0], Part(1, 3), nothing)
    assert (places[0] / "steps/first.npz").read_bytes() == (tmp_path / "shared/steps/first.npz").read_bytes()


def test_every_round_can_be_counted_in_several_places(places: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    merge_parts(places, out)
    for number, place in enumerate(places, 1):
        shutil.rmtree(place)
        shutil.copytree(out, place)
        missing = tried(place, Part(number, 3))
        assert isinstance(missing, PartsMissing)
        assert missing.step == "second round"
    assert merge_parts(places, out) == {"second round": [1, 2, 3]}
    assert same_counts(run(out, local, nothing), run(tmp_path / "alone"))
    assert contents(out) == FINISHED


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
        merge_parts(used, root / "out")
        first(root / "out", 1)
        assert snapshot(root / "out/steps") == {
            root / "out/steps/first.npz": (root / "shared/steps/first.npz").read_bytes()
        }


def test_one_of_the_places_can_get_all(places: list[Path]) -> None:
    assert merge_parts(places, places[0]) == {"first": [1, 2, 3]}
    assert names(places[0]) == [part(places[0], number).name for number in (1, 2, 3)]
    assert names(places[1]) == [part(places[1], 2).name]


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
    merge_parts([tmp_path / "b", tmp_path / "a"], tmp_path / "out")
    with Study.create(tmp_path / "out", RoundsSpec(), FACTS) as study:
        study.sharded("first", Counts, nothing, SHARDS)
    assert same_counts(run(tmp_path / "out"), run(tmp_path / "alone"))


def test_what_is_missing_is_said_by_the_next_run_and_unfinished_parts_stay(places: list[Path], tmp_path: Path) -> None:
    part(places[1], 2).rename(places[1] / "steps" / "first.part-002-of-003.partial.npz")
    assert merge_parts(places, tmp_path / "out") == {"first": [1, 3]}
    with mistake("parts-missing", "part 2 of 3"):
        run(tmp_path / "out", Part(1, 3), nothing)
    assert same_counts(run(tmp_path / "out"), run(tmp_path / "alone"))
    assert [name for name in contents(tmp_path / "out") if "table" not in name] == WHOLE


# ---------------------------------------------------------------- what does not


def test_other_studies_are_refused_by_what_differs(places: list[Path], tmp_path: Path) -> None:
    for change, fact in (
        ({"spec": {"seed": 1}}, "seed is 0 and 1"),
        ({"facts": {"inputs": {"generator": "xyz"}}}, "'abc' and 'xyz'"),
        ({"experiment": "other"}, "'rounds' and 'other'"),
    ):
        record = json.loads((places[1] / "study.json").read_text())
        other = tmp_path / "other"
        shutil.copytree(places[1], other, dirs_exist_ok=True)
        (other / "study.json").write_text(json.dumps({**record, **change}))
        with mistake("study-mismatch", other, fact):
            merge_parts([places[0], other, places[2]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_part_that_is_there_twice_is_refused_if_it_differs(places: list[Path], tmp_path: Path) -> None:
    twice = part(places[2], 2)
    shutil.copy(part(places[1], 2), twice)
    merge_parts(places, tmp_path / "same")
    state = dict(Archive(twice))
    state["total"][0] += 1
    write(twice, state, 3)
    with mistake("study-mismatch", part(places[1], 2), twice):
        merge_parts(places, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_parts_of_other_shares_are_refused_by_the_next_run(places: list[Path], tmp_path: Path) -> None:
    tried(tmp_path / "two", Part(2, 2))
    merge_parts([*places, tmp_path / "two"], tmp_path / "out")
    for engine in (Part(1, 3), local):
        with mistake("study-error", tmp_path / "out", "first", "2 and of 3 parts"):
            run(tmp_path / "out", engine, nothing)


def test_parts_that_start_from_other_steps_are_refused(places: list[Path], tmp_path: Path) -> None:
    merge_parts(places, tmp_path / "out")
    for number, name in enumerate("de", 1):
        shutil.copytree(tmp_path / "out", tmp_path / name)
        tried(tmp_path / name, Part(1, 3))
        tried(tmp_path / name, Part(number, 3))
    half = tmp_path / "e/steps/half.npz"
    state = dict(Archive(half))
    state["counts"][0] += 1
    write(half, state, 0)
    with mistake("study-mismatch", tmp_path / "d/steps/half.npz", half):
        merge_parts([tmp_path / "d", tmp_path / "e"], tmp_path / "f")


def test_places_without_parts_are_refused(places: list[Path], tmp_path: Path) -> None:
    Study.create(tmp_path / "new", RoundsSpec(), FACTS).close()
    with mistake("study-error", tmp_path / "new", "--shard 1/16"):
        merge_parts([tmp_path / "new"], tmp_path / "new")
    with mistake("study-error", tmp_path / "nowhere", "--shard"):
        merge_parts([*places, tmp_path / "nowhere"], tmp_path / "out")
    run(tmp_path / "done")
    with mistake("study-error", tmp_path / "done", "finished"):
        merge_parts(places, tmp_path / "done")


def test_a_place_that_is_written_to_is_refused(places: list[Path], tmp_path: Path) -> None:
    with Study.create(places[0], RoundsSpec(), FACTS, Part(2, 3)), mistake("study-busy", "part 2/3"):
        merge_parts(places, places[0])
    shutil.copytree(places[0], tmp_path / "full")
    (tmp_path / "full" / "study.json").unlink()
    with mistake("study-error", tmp_path / "full", "empty"):
        merge_parts(places, tmp_path / "full")


def test_two_merges_into_one_place_keep_apart(places: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with contextlib.closing(StudyLock(tmp_path / "out")), mistake("study-busy", tmp_path / "out", os.getpid()):
        merge_parts(places, tmp_path / "out")


def test_a_full_disk_leaves_whole_files_and_the_same_merge_goes_on(
    places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, to: Path) -> None:
        to.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with mistake("study-error", out, "No space left on device"):
            merge_parts(places, out)
    assert contents(out) == ["study.json"]
    merge_parts(places, out)
    assert same_counts(run(out), run(tmp_path / "alone"))


@pytest.mark.parametrize("change", ["lacks", "shape", "cut off"])
def test_damaged_parts_are_named_by_the_next_run(places: list[Path], tmp_path: Path, change: str) -> None:
    file = part(places[1], 2)
    state = dict(Archive(file))
    if change == "lacks":
        del state["rows"]
    else:
        state["counts"] = torch.zeros(3, dtype=torch.int64)
    write(file, state, 3)
    if change == "cut off":
        file.write_bytes(file.read_bytes()[:-5])
    merge_parts(places, tmp_path / "out")
    with mistake("bad-file", "first.part-002-of-003.npz"):
        run(tmp_path / "out", local, nothing)
