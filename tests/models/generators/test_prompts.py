"""Prompts: listed, in files, made from templates; and what the words model reads in them."""

from pathlib import Path

import pytest
from mistakes import mistake

from ganatomy.models.generators.sampling.prompts import pair_order, read_prompts, slots_of
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
        ("a {} church", "bad-value", ["'a {} church'", "without values"]),
        ("a {|} church", "bad-value", ["without values"]),
        ("a {day|day} church", "bad-value", ["day|day", "twice"]),
        ("; ".join(["{object} {object} {object} {object} {object}"]), "bad-value", ["100,000"]),
    ],
)
def test_bad_prompts_are_refused(text: str, code: str, facts: list[str]) -> None:
    with mistake(code, *facts):
        read_prompts(text, SLOTS)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for name, content in (
        ("empty.txt", b""),
        ("comments.txt", b"# nothing\n\n"),
        ("image.txt", b"\xff\xd8\xff\xe0"),
        ("zeros.txt", b"a\0b"),
        ("long.txt", b"a" * 20_000),
    ):
        (tmp_path / name).write_bytes(content)
        with mistake("bad-file", tmp_path / name):
            read_prompts(str(tmp_path / name))


def test_slots_are_remembered_and_articles_fit_them() -> None:
    found = read_prompts("an {autumn|winter} church by {time}; A {|small} oak; a {hour|unit|oak} x", SLOTS)
    assert found[0] == "an autumn church by day"
    assert found[3] == "a winter church by day"
    assert found[6:] == ["An oak", "A small oak", "an hour x", "a unit x", "an oak x"]
    assert slots_of(found[4]) == {"autumn|winter": "winter", "time": "dusk"}
    assert slots_of(read_prompts("a church")[0]) == slots_of("a church") == {}
    assert slots_of(read_prompts("{a|b} {a|b}")[1]) == {"a|b": "a", "a|b (2)": "b"}


def test_pairs_are_one_word_apart_and_no_neighbours() -> None:
    assert pair_order(["a sun", "a moon"]) == [0, 0, 1, 1]
    assert pair_order(read_prompts("a {autumn|winter} church by {day|night}")) == [0, 2, 1, 3]
    three = pair_order(read_prompts("a church by {time} with {sun|moon}", SLOTS))
    assert [three.count(i) for i in range(6)] == [2] * 6
    assert all(three[i] + 1 == three[i + 2] for i in (0, 1, 4, 5, 8, 9))
    assert pair_order(read_prompts("a {church|very old tower} by day")) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("a church", ["even number", "1"]),
        ("a {season} church", ["even number", "3"]),
        ("a church by {season}; a tree", ["3 and 4", "more than a word"]),
        ("a church; a church", ["1 and 2", "no word"]),
        ("a sun; the old moon", ["1 and 2", "more than a word"]),
    ],
)
def test_prompts_that_are_no_pairs_are_refused(text: str, facts: list[str]) -> None:
    with mistake("bad-value", *facts):
        pair_order(read_prompts(text, SLOTS))


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
