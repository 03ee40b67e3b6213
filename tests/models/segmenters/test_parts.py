"""The wrapper around a segmenter: its words, its planes, its options."""

import torch
from mistakes import mistake

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.module import as_segmenter
from ganatomy.models.segmenters.part_quadrants import expand
from ganatomy.models.segmenters.parts import Parts

WORDS = [
    NOTHING,
    Concept("wood", "material"),
    Concept("tree", "object"),
    Concept("stone", "material"),
    Concept("house", "object"),
]


def test_words_and_planes_are_appended() -> None:
    seen = torch.tensor([[[2, 2, 0, 4], [2, 2, 0, 4]], [[1, 0, 0, 3], [1, 0, 0, 3]]])  # object, material
    inner = as_segmenter(lambda x: seen[None], WORDS, planes=["object", "material"])
    parts = Parts(inner)
    names = [concept.name for concept in parts.vocabulary]
    assert names[5:] == ["tree-t", "house-t", "tree-l", "house-l", "tree-b", "house-b", "tree-r", "house-r"]
    assert {concept.category for concept in parts.vocabulary[5:]} == {"part"}
    assert parts.planes == ("object", "material", "top/bottom", "left/right")
    labels = parts(torch.zeros(1, 3, 2, 4))
    assert torch.equal(labels[0, :2], seen)
    said = [[[names[i] for i in row] for row in plane] for plane in labels[0, 2:].tolist()]
    assert said == [
        [["tree-t", "tree-t", "nothing", "house-t"], ["tree-b", "tree-b", "nothing", "house-b"]],
        [["tree-l", "tree-r", "nothing", "house-r"], ["tree-l", "tree-r", "nothing", "house-r"]],
    ]


def test_without_objects_the_first_plane_is_expanded() -> None:
    images = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(0)).round() * 2 - 1
    colors, parts = open_segmenter("colors"), open_segmenter("parts:colors")
    labels = colors(images)
    assert torch.equal(parts(images), torch.cat([labels, expand(labels[:, 0], 11)], 1))
    assert parts.vocabulary[12].name == "black-t"


def test_options_go_to_the_inner_segmenter() -> None:
    with mistake("unknown-name", "colors", "size"):
        open_segmenter("parts:colors?size=3")
    with mistake("unknown-name", "colours", "colors"):
        open_segmenter("parts:colours")


def test_nothing_to_expand() -> None:
    inner = as_segmenter(lambda x: x, WORDS[:2], planes=["anything"])
    with mistake("bad-value", "anything"):
        Parts(inner)
