"""Vocabularies are found by name, read from files, and refused in one line where they are none."""

from pathlib import Path

import pytest
from mistakes import mistake

from ganatomy.core.vocabulary import (
    NOTHING,
    Concept,
    checked_vocabulary,
    find_concept,
    read_vocabulary,
    vocabulary_json,
)

WORDS = (NOTHING, Concept("tree", "object"), Concept("glass", "object"), Concept("glass", "material"))


def test_a_concept_is_found_by_its_name() -> None:
    assert find_concept(WORDS, "tree") == find_concept(WORDS, "object:tree") == 1
    assert find_concept(WORDS, "object:glass") == 2
    assert find_concept(WORDS, "material:glass") == 3
    assert str(WORDS[1]) == "tree"


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("glass", "object:glass, material:glass"),
        ("treee", "tree"),
        ("nothing", "'nothing'"),
        ("material:tree", "'material:tree'"),
        ("", "tree, glass, glass"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, fact: str) -> None:
    with mistake("unknown-name", fact):
        find_concept(WORDS, name)


def test_a_vocabulary_file_reads_back(tmp_path: Path) -> None:
    words = (*WORDS, Concept("überdachung – “roof”", "part"))
    path = tmp_path / "words.json"
    path.write_text(vocabulary_json(words), encoding="utf-8")
    assert read_vocabulary(path) == words


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "[name, category]"),
        ("{}", "[name, category]"),
        ("[]", '["nothing", "nothing"]'),
        ('["no", "sky"]', "[name, category]"),
        ('[["nothing", "nothing"], [1, 2]]', "[name, category]"),
        ("7", "[name, category]"),
        ('[["nothing"]]', "[name, category]"),
        ('[["nothing", "nothing", "more"]]', "[name, category]"),
        ('[["tree", "object"]]', '["nothing", "nothing"]'),
        ('[["nothing", "nothing"], ["tree", "object"], ["tree", "object"]]', "tree"),
        ("\udcff", "[name, category]"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, fact: str) -> None:
    path = tmp_path / "words.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with mistake("bad-file", path, fact):
        read_vocabulary(path)


@pytest.mark.parametrize("first", ["background", "Background", "_background_", "unlabeled", "void", "other"])
def test_the_first_word_may_be_what_others_call_nothing(tmp_path: Path, first: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(f'[["{first}", "object"], ["tree", "object"]]')
    assert read_vocabulary(path) == (NOTHING, Concept("tree", "object"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with mistake("bad-file", "none.json"):
        read_vocabulary(tmp_path / "none.json")
    with mistake("bad-file", tmp_path, "[name, category]"):
        read_vocabulary(tmp_path)


def test_a_vocabulary_of_nothing_is_one() -> None:
    assert checked_vocabulary([NOTHING], "given") == (NOTHING,)
    with mistake("bad-file", "given", '["nothing", "nothing"]'):
        checked_vocabulary([], "given")
