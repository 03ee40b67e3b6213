import pytest

from ganatomy.core.vocabulary import Concept
from ganatomy.report.palette import NEUTRAL, category_colours, concept_colours
from ganatomy.scenes import VOCABULARY

MANY = (VOCABULARY[0], *(Concept(f"thing {i}", ("object", "part", "texture")[i % 3]) for i in range(400)))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("vocabulary", [VOCABULARY, MANY])
def test_every_bar_can_be_seen_on_both_pages(vocabulary: tuple[Concept, ...]) -> None:
    for colour in (*concept_colours(vocabulary).values(), *category_colours(vocabulary).values()):
        assert contrast(colour, "#ffffff") >= 3
        assert contrast(colour, "#181b20") >= 2.7


def test_concepts_of_the_scenes_have_different_colours() -> None:
    colours = concept_colours(VOCABULARY)
    assert list(colours) == list(VOCABULARY)
    assert len(set(colours.values())) == len(VOCABULARY)
    assert colours["nothing", "nothing"] == NEUTRAL
    assert colours["water", "object"] != colours["water", "material"]


def test_a_concept_keeps_its_colour_when_others_are_added() -> None:
    longer = (*VOCABULARY, Concept("cat", "object"), Concept("tail", "part"))
    assert list(concept_colours(longer).items())[: len(VOCABULARY)] == list(concept_colours(VOCABULARY).items())


def test_only_categories_that_occur_are_named() -> None:
    assert list(category_colours(VOCABULARY)) == ["object", "part", "material"]
    assert "texture" in category_colours(MANY)
