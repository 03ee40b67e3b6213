"""The planted generator keeps its word: its units are on for what it says, and the image depends on those it says."""

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from torch import Tensor

from ganatomy.core.vocabulary import find_concept
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.planted import UNITS, PlantedGenerator
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.planted import PlantedSegmenter
from ganatomy.models.toy_world import COLOURS, VOCABULARY, rgb

CPU = torch.device("cpu")
NAMES = [concept.name for concept in VOCABULARY]


@pytest.fixture(scope="module")
def generator() -> PlantedGenerator:
    return PlantedGenerator(CPU)


@pytest.fixture(scope="module")
def segmenter() -> PlantedSegmenter:
    return PlantedSegmenter(CPU)


def shown(segmenter: PlantedSegmenter, images: Tensor) -> Tensor:
    """Return where each concept is, [b, concept, H, W]."""
    labels = segmenter(images)
    return torch.stack([(labels == concept).any(1) for concept in range(len(NAMES))], 1)


def iou(on: Tensor, concept: Tensor) -> float:
    return float((on & concept).sum() / (on | concept).sum().clamp(min=1))


@pytest.mark.slow
def test_units_are_on_for_what_they_say_and_for_nothing_else(
    generator: PlantedGenerator, segmenter: PlantedSegmenter
) -> None:
    seen = generator.observe(generator.latents(range(300), 0), list(UNITS))
    where = shown(segmenter, seen.images)
    for (layer, unit), concept in generator.truth.items():
        up = F.interpolate(seen.features[layer], (32, 32), mode="bilinear")[:, unit]
        shared = UNITS[layer].count(UNITS[layer][unit])
        if concept is not None:
            truth = where[:, NAMES.index(concept)]
            on = up > 0.5 / shared
            assert iou(on, truth) > 0.7, (layer, unit)
            assert iou(on.roll(1, 0), truth) < 0.5 * iou(on, truth), "the place should tell little about the thing"
            continue
        for level in (0.2, 0.5, 0.9):
            on = up > torch.quantile(up[::4].flatten(), level)
            for other in range(1, len(NAMES)):
                real, chance = iou(on, where[:, other]), iou(on.roll(1, 0), where[:, other])
                assert real < 0.25 or real < chance + 0.03, (layer, unit, NAMES[other], level)


def test_concepts_are_common_but_often_absent(generator: PlantedGenerator, segmenter: PlantedSegmenter) -> None:
    where = shown(segmenter, generator.observe(generator.latents(range(400), 1), []).images)
    share = where.float().mean((0, 2, 3))[1:]
    present = where.flatten(2).any(2).float().mean(0)[1:]
    assert float(share.min()) > 0.02
    assert float(share.max()) < 0.25
    assert float(present.min()) > 0.3
    assert float(present.max()) < 0.8


@pytest.mark.parametrize("layer", list(UNITS))
def test_taking_the_causal_units_away_takes_the_concept_away(
    generator: PlantedGenerator, segmenter: PlantedSegmenter, layer: str
) -> None:
    z = generator.latents(range(100), 2)
    seen = generator.observe(z, [layer])
    before = shown(segmenter, seen.images).sum((0, 2, 3))
    for concept in {name for (own, _), name in generator.truth.items() if own == layer and name}:
        r = seen.features[layer].clone()
        for unit in range(r.shape[1]):
            if (layer, unit) in generator.causal and generator.truth[layer, unit] == concept:
                r[:, unit] = 0
        after = shown(segmenter, generator.render(r, layer, z)).sum((0, 2, 3))
        assert int(after[NAMES.index(concept)]) < 0.01 * int(before[NAMES.index(concept)])
        kept = NAMES.index("sky" if concept == "tree" else "tree")
        assert int(after[kept]) > 0.99 * int(before[kept]), "another concept went away too"


def test_a_concept_of_two_units_needs_both(generator: PlantedGenerator, segmenter: PlantedSegmenter) -> None:
    z = generator.latents(range(100), 2)
    r = generator.observe(z, ["layer2"]).features["layer2"]
    trees = [unit for unit, role in enumerate(UNITS["layer2"]) if role == "tree"]
    boosted = r.clone()
    boosted[:, trees[0]] = 0
    boosted[:, trees[1]] *= 2
    tree = NAMES.index("tree")
    where = shown(segmenter, generator.render(r, "layer2", z))[:, tree]
    assert torch.equal(shown(segmenter, generator.render(boosted, "layer2", z))[:, tree], where)


@pytest.mark.parametrize("layer", list(UNITS))
def test_other_units_do_nothing(generator: PlantedGenerator, layer: str) -> None:
    z = generator.latents(range(20), 3)
    seen = generator.observe(z, [layer])
    r = seen.features[layer].clone()
    for unit in range(r.shape[1]):
        if (layer, unit) not in generator.causal:
            r[:, unit] = 100
    assert torch.equal(generator.render(r, layer, z), seen.images)


def test_what_may_stand_where(generator: PlantedGenerator, segmenter: PlantedSegmenter) -> None:
    """Everywhere metal and lids are asked for, they come on balls and boxes, and on boxes, only."""
    z = generator.latents(range(50), 4)
    r = generator.observe(z, ["layer3"]).features["layer3"]
    plain = shown(segmenter, generator.render(r, "layer3", z))
    for part, bearers in {"lid": ["box"], "metal": ["ball", "box"]}.items():
        edited = r.clone()
        edited[:, UNITS["layer3"].index(part)] = 1
        where = shown(segmenter, generator.render(edited, "layer3", z))[:, NAMES.index(part)]
        bearing = torch.stack([plain[:, NAMES.index(name)] for name in bearers]).any(0)
        assert int((where & ~bearing).sum()) < 0.02 * int(where.sum()), "but where outlines meet"
        assert int(where.sum()) > 1.3 * int(plain[:, NAMES.index(part)].sum())


def test_the_segmenter_reads_every_colour_exactly(segmenter: PlantedSegmenter) -> None:
    for names in COLOURS:
        image = torch.tensor(rgb(*names))[None, :, None, None]
        where = shown(segmenter, 0.2 * image)[0, 1:, 0, 0]
        assert {NAMES[1:][i] for i in where.nonzero()[:, 0].tolist()} == set(names)
        for concept in range(1, len(NAMES)):
            score = float(segmenter.score(image, concept))
            assert score == pytest.approx(float(NAMES[concept] in names), abs=0.02)


def test_scores_pull_a_image_towards_the_concept(segmenter: PlantedSegmenter) -> None:
    image = torch.zeros(1, 3, 2, 2, requires_grad=True)
    segmenter.score(image, find_concept(VOCABULARY, "tree")).sum().backward()
    assert image.grad is not None
    assert image.grad[0, :, 0, 0].sign().tolist() == list(rgb("tree"))
    with mistake("bad-value", 0, "1 to 6"):
        segmenter.score(image, 0)


def test_mistakes_are_told(generator: PlantedGenerator) -> None:
    z = generator.latents(range(1), 0)
    with mistake("unknown-name", "layer4", "layer3"):
        generator.observe(z, ["layer4"])
    with mistake("unknown-name", "layer0"):
        generator.render(torch.zeros(1, 12, 8, 8), "layer0", z)
    for opener in (open_generator, open_segmenter):
        with mistake("bad-value", "planted:x", "planted"):
            opener("planted:x")
