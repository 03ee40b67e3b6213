"""Parts that were counted where there is no disk to share are copied into one study; the next run there merges them."""

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch

from ganatomy.core.errors import StudyError, StudyMismatch
from ganatomy.core.files import read_text, write_text
from ganatomy.core.tensor_files import SUFFIX
from ganatomy.remote import display_path
from ganatomy.study.files import StoredTensors, differences, read_record, replacing_in_study, writing
from ganatomy.study.lock import StudyLock
from ganatomy.study.parts import PART


def merge_parts(directories: Sequence[Path], target: Path) -> dict[str, list[int]]:
    """Copy what studies have of one run, steps and parts of steps, into one; return the parts of each step there.

    Args:
        directories: of the studies.
        target: where to: a new directory, or one of the same study, which may be one of them.
    """
    places = list(dict.fromkeys([*directories, *([target] if (target / "study.json").exists() else [])]))
    _check_one_study(places)
    files: dict[str, Path] = {}
    for file in (file for place in places for file in sorted(place.glob(f"steps/*{SUFFIX}"))):
        found = PART.fullmatch(file.name)
        if not (found and found[4]) and not _same(files.setdefault(file.name, file), file):
            raise StudyMismatch(
                f"{files[file.name]} and {file} are not the same; the parts of a step must start from copies of one "
                "study, and each be counted once"
            )
    parts: dict[str, list[int]] = {}
    for found in filter(None, map(PART.fullmatch, sorted(files))):
        if f"{found[1]}{SUFFIX}" not in files:  # else it is merged
            parts.setdefault(found[1], []).append(int(found[2]))
    if not parts:
        raise StudyError(
            f"there are no parts to merge in {', '.join(map(display_path, places))}; --shard 1/16 leaves one of 16"
        )
    _copy(files, directories[0], target)
    return parts


def _check_one_study(places: Sequence[Path]) -> None:
    records = []
    for place in places:
        if not (place / "study.json").is_file():
            raise StudyError(
                f"{display_path(place)} holds no study; give the directories that runs with --shard wrote to"
            )
        records.append(read_record(place))
        if records[-1]["finished"]:
            raise StudyError(f"{display_path(place)} is finished, so there is nothing to merge")
        differing = [f"{name} is {a!r} and {b!r}" for name, a, b in differences(records[0], records[-1])]
        if differing:
            raise StudyMismatch(f"{places[0]} and {place} are not of one study: {'; '.join(differing)}")


def _copy(files: dict[str, Path], source: Path, target: Path) -> None:
    with writing(target):
        if not (target / "study.json").exists():
            target.mkdir(parents=True, exist_ok=True)
            if any(not path.name.startswith(".") for path in target.iterdir()):
                raise StudyError(f"{target} is not empty and holds no study; give another directory")
        with closing(StudyLock(target)):
            if not (target / "study.json").exists():
                write_text(target / "study.json", read_text(source / "study.json"))
            for name, file in files.items():
                if not (target / "steps" / name).exists():
                    with replacing_in_study(target / "steps" / name) as temporary:
                        shutil.copyfile(file, temporary)


def _same(one: Path, other: Path) -> bool:
    """Tell whether two files hold the same tensors, to the bit; they may be compressed in two ways."""
    if one == other:
        return True
    a, b = StoredTensors(one), StoredTensors(other)
    return (a.shards, a.keys()) == (b.shards, b.keys()) and all(
        (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape)
        and torch.equal(a[name].flatten().view(torch.uint8), b[name].flatten().view(torch.uint8))
        for name in a
    )
