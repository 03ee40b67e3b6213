"""Prompts: listed, in files, made from templates; and what the words model reads in them."""

from pathlib import Path

import pytest
from mistakes import mistake

from ganatomy.models.generators.sampling.prompts import read_prompts
from ganatomy.models.generators.words import OBJECTS, WORDS, word_states
from ganatomy.models.generators.words.prompts import SLOTS


def read(prompt: str) -> dict[str, int]:
    return {word: state for word, state in zip(WORDS, word_states(prompt), strict=True) if state != 2}


def test_prompts_are_listed_or_in_a_file(tmp_path: Path) -> None:
    assert read_prompts(" a church ; a church at night; ") == ["a church", "a church at night"]
    assert read_prompts("") == [""]
    file = tmp_path / "prompts.txt"
    file.write_text("# of a test\na church; with a tree\n\n a {winter|autumn} church \n", encoding="utf-8")
    assert read_prompts(str(file)) == ["a church; with a tree", "a winter church", "an autumn church"]


def test_templates_stand_for_every_combination() -> None:
    found = read_prompts("a {season} church with {object}", SLOTS)
    assert len(found) == len(set(found)) == 3 * len(OBJECTS)
    assert found[0] == "a green church with sun"
    assert found[-1] == "a winter church with window"


@pytest.mark.parametrize(
    ("text", "code", "facts"),
    [
        ("missing.txt", "bad-file", ["missing.txt"]),
        ("runs/prompts", "bad-file", ["runs/prompts"]),
        ("a {colour} church", "unknown-name", ["'colour'", "season, time, object"]),
        ("a {seasn} church", "unknown-name", ["season"]),
        ("a {season church", "bad-value", ["'a {season church'"]),
        ("; ".join(["{object} {object} {object} {object} {object}"]), "bad-value", ["100,000"]),
    ],
)
def test_bad_prompts_are_refused(text: str, code: str, facts: list[str]) -> None:
    with mistake(code, *facts):
        read_prompts(text, SLOTS)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for name, content in (("empty.txt", b""), ("comments.txt", b"# nothing\n\n"), ("image.txt", b"\xff\xd8\xff\xe0")):
        (tmp_path / name).write_bytes(content)
        with mistake("bad-file", tmp_path / name):
            read_prompts(str(tmp_path / name))


def test_words_are_said_denied_or_not_mentioned() -> None:
    day = {"day": 1, "dusk": 0, "night": 0}
    assert read("a church") == read("") == {}
    assert read("A GREEN church, by day") == {"green": 1, "autumn": 0, "winter": 0, **day}
    assert read("without a cloud, a tree and bushes, but with doors") == {"cloud": 0, "tree": 0, "bush": 0, "door": 1}
    assert read("no sun, a moon, not winter") == {"sun": 0, "moon": 1, "winter": 0}
    assert read("with trees and without windows or domes") == {"tree": 1, "window": 0, "dome": 0}


@pytest.mark.parametrize(
    ("prompt", "code", "facts"),
    [
        ("a church with a tre", "unknown-name", ["'tre'", "did you mean tree"]),
        ("a purple church", "unknown-name", ["'purple'"]),
        ("a tree, without trees", "bad-value", ["tree"]),
        ("a green church in winter", "bad-value", ["green and winter"]),
    ],
)
def test_what_the_words_model_cannot_read_is_refused(prompt: str, code: str, facts: list[str]) -> None:
    with mistake(code, *facts):
        word_states(prompt)
