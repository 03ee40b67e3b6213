"""People against dissection, counted by hand."""

import math

import pandas as pd
import pytest

from ganatomy.annotations import agreement, artifact_units, preference, reliability
from ganatomy.annotations.agreement import common_word, share_a_word

UNITS = pd.DataFrame(
    [("l", 0, "tree", 0.3), ("l", 1, "sky", 0.02), ("l", 2, "door", 0.4), ("l", 3, None, float("nan"))],
    columns=["layer", "unit", "label", "iou"],
)


def said(*rows: tuple[int, str]) -> pd.DataFrame:
    table = pd.DataFrame([("l", unit, words) for unit, words in rows], columns=["layer", "unit", "words"])
    return table.assign(rater=[str(i) for i in range(len(table))])


def test_units_are_counted_as_the_paper_does() -> None:
    labels = said(
        (0, "tree"), (0, "green trees"), (0, "bush"), (0, "tree"),  # consistent, confident, same
        (1, "sky"), (1, "sky"),  # consistent, dissection is not confident
        (2, "gate"), (2, "gate"), (2, "door"),  # consistent, confident, another word
        (3, "a"), (3, "b"), (3, "c"),  # no consensus
    )  # fmt: skip
    found = agreement(labels, UNITS)
    assert (found.labelled, found.consistent, found.confident, found.same) == (4, 3, 2, 1)
    assert found.units.word.tolist()[:3] == ["tree", "sky", "gate"]
    assert found.units.word.isna().tolist() == [False, False, False, True]


def test_units_with_too_few_labels_do_not_count() -> None:
    assert agreement(said((0, "tree"), (1, "sky"), (1, "sky")), UNITS, fewest=2).labelled == 1


def test_plurals_are_the_same_word() -> None:
    assert agreement(said((0, "trees")), UNITS).same == 1


def test_no_labels_are_no_agreement() -> None:
    found = agreement(said(), UNITS)
    assert (found.labelled, found.consistent, found.confident, found.same) == (0, 0, 0, 0)


def test_a_pair_of_words_wins_over_its_parts() -> None:
    assert common_word(["stained glass", "stained glass", "window"]) == ("stained glass", pytest.approx(2 / 3))


def test_a_unit_is_an_artifact_if_most_say_so() -> None:
    flags = pd.DataFrame(
        [("l", 1, True), ("l", 1, True), ("l", 1, False), ("l", 2, True), ("l", 2, False), ("m", 3, True)],
        columns=["layer", "unit", "artifact"],
    )
    assert artifact_units(flags, "l") == [1]
    assert artifact_units(flags[:0], "l") == []


def test_the_interval_of_a_preference_is_wilsons() -> None:
    """Against values of the formula worked out by hand: 8 of 10."""
    table = pd.DataFrame({"preferred": ["edited"] * 8 + ["original"] * 2})
    share, low, high, count = preference(table)
    assert (share, count) == (0.8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert preference(table[:0])[3] == 0


KRIPPENDORFF = [  # Krippendorff 2011, example C: twelve units, four observers, None where one did not answer
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def answered(by_rater: list[list[object]]) -> pd.DataFrame:
    rows = [(f"rater {r}", u, value) for r, own in enumerate(by_rater) for u, value in enumerate(own) if value]
    return pd.DataFrame(rows, columns=["rater", "unit", "value"])


def test_alpha_is_that_of_krippendorffs_examples() -> None:
    found = reliability(answered(KRIPPENDORFF), ["unit"], "value")
    assert found.alpha == pytest.approx(0.743, abs=5e-4)
    assert (found.items, found.answers, found.raters) == (11, 40, 4)
    assert 0 < found.low < found.alpha < found.high <= 1
    binary = [list("nynnnnnnyn"), list("yyynnynnnn")]  # his example A
    assert reliability(answered(binary), ["unit"], "value").alpha == pytest.approx(0.095, abs=5e-4)


def test_alpha_is_not_defined_without_two_people_or_two_answers() -> None:
    for answers in ([["a", "b"]], [["a", "a"], ["a", "a"]], []):
        found = reliability(answered(answers), ["unit"], "value")
        assert math.isnan(found.alpha)
        assert math.isnan(found.low)


def test_labels_with_a_word_in_common_agree() -> None:
    labels = answered([["green tree", "door"], ["trees", "window"]])
    assert reliability(labels, ["unit"], "value").alpha < reliability(labels, ["unit"], "value", share_a_word).alpha


def test_who_sees_no_difference_is_left_out_and_unclear_is_no_word() -> None:
    preferred = ["edited", "same", "original", "edited", "same"]
    share, low, high, count = preference(pd.DataFrame({"preferred": preferred}))
    assert (share, count) == (pytest.approx(2 / 3), 3)
    assert 0 < low < share < high < 1
    assert common_word(["unclear", "unclear", "tree"]) == ("tree", pytest.approx(1 / 3))
    assert common_word(["unclear"]) == ("", 0.0)
