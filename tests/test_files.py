"""Files are there whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from ganatomy.core.files import atomic_write, loads_json, read_json, read_text, write_text
from ganatomy.core.vocabulary import read_vocabulary
from ganatomy.models.generators.classifier import read_classes
from ganatomy.models.segmenters.ade20k import read_names
from ganatomy.models.weights.hub import read_json as read_object


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "file.txt"
    write_text(target, "old")
    with atomic_write(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == target.parent, "a file moves into place only within one file system"
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def half() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("ne")
            raise failure

    with pytest.raises(failure):
        half()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_others_may_read_it(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "Größe")
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644
    assert (tmp_path / "file.txt").read_bytes() == "Größe".encode()


def test_a_file_that_the_writer_puts_there_itself_is_as_open_as_others(tmp_path: Path) -> None:
    """As safetensors does."""
    with atomic_write(tmp_path / "others.txt") as temporary:
        (tmp_path / "own").write_text("whole")
        (tmp_path / "own").chmod(0o600)
        (tmp_path / "own").replace(temporary)
    assert stat.S_IMODE((tmp_path / "others.txt").stat().st_mode) == 0o644


def test_a_file_is_as_private_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "private.txt", "mine")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "private.txt").stat().st_mode) == 0o600


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path, encoding: str) -> None:
    """Windows writes one; every reader of texts and JSON takes it off."""

    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    assert read_text(written("a.txt", "é\n")) == "é\n"
    assert read_json(written("a.json", '{"a": 1}')) == {"a": 1}
    assert read_object(written("config.json", '{"a": 1}')) == {"a": 1}
    assert read_classes(written("classes.txt", "sky\ntree\n")) == ("sky", "tree")
    words = read_vocabulary(written("words.json", '[["nothing", "nothing"], ["sky", "object"]]'))
    assert [word.name for word in words] == ["nothing", "sky"]
    written("object150_info.csv", "Idx,Name\n1,wall;face\n2,door\n")
    assert read_names(tmp_path, 2) == ["wall", "door"]
    written("labels.json", '["sky", "tree"]')
    assert read_names(tmp_path, 2) == ["sky", "tree"]


def test_half_a_letter_is_no_text_and_both_halves_are_one() -> None:
    with pytest.raises(ValueError, match="half a letter"):
        loads_json('{"name": "\\uD800"}')
    assert loads_json('["\\ud83d\\ude00", "\\\\ud800"]') == ["\U0001f600", "\\ud800"]
