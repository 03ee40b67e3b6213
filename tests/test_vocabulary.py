"""Vocabularies are found by name, read from files, and refused in one line where they are none."""

from pathlib import Path

import pytest

from ganatomy.core.errors import BadFile, UnknownName
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
    ("name", "says"),
    [
        ("glass", "unknown concept 'glass'; there are: object:glass, material:glass"),
        ("treee", "did you mean tree"),
        ("nothing", "unknown concept 'nothing'"),
        ("material:tree", "unknown concept 'material:tree'"),
        ("", "there are: tree, glass, glass"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, says: str) -> None:
    with pytest.raises(UnknownName) as refused:
        find_concept(WORDS, name)
    assert says in str(refused.value)


def test_a_vocabulary_file_reads_back(tmp_path: Path) -> None:
    words = (*WORDS, Concept("überdachung – “roof”", "part"))
    path = tmp_path / "words.json"
    path.write_text(vocabulary_json(words), encoding="utf-8")
    assert read_vocabulary(path) == words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a vocabulary"),
        ("{}", "not a vocabulary"),
        ("[]", "the first concept must be"),
        ('["no", "sky"]', "not a vocabulary"),
        ('[["nothing", "nothing"], [1, 2]]', "not a vocabulary"),
        ("7", "not a vocabulary"),
        ('[["nothing"]]', "not a vocabulary"),
        ('[["nothing", "nothing", "more"]]', "not a vocabulary"),
        ('[["tree", "object"]]', 'the first concept must be ["nothing", "nothing"]'),
        ('[["nothing", "nothing"], ["tree", "object"], ["tree", "object"]]', "listed twice: tree"),
        ("\udcff", "not a vocabulary"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "words.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadFile) as refused:
        read_vocabulary(path)
    assert str(refused.value).startswith(str(path))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("first", ["background", "Background", "_background_", "unlabeled", "void", "other"])
def test_the_first_word_may_be_what_others_call_nothing(tmp_path: Path, first: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(f'[["{first}", "object"], ["tree", "object"]]')
    assert read_vocabulary(path) == (NOTHING, Concept("tree", "object"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none\.json: no such vocabulary file"):
        read_vocabulary(tmp_path / "none.json")
    with pytest.raises(BadFile, match="not a vocabulary"):
        read_vocabulary(tmp_path)


def test_a_vocabulary_of_nothing_is_one() -> None:
    assert checked_vocabulary([NOTHING], "given") == (NOTHING,)
    with pytest.raises(BadFile, match="given: the first concept"):
        checked_vocabulary([], "given")
