"""What every segmenter promises, whatever its family."""

import json
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path

import plain_parsers
import pytest
import safetensors.torch
import torch
from mistakes import mistake
from tiny_transformers import save

from ganatomy.core.registry import entries_of
from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import NOTHING
from ganatomy.models.segmenters import SEGMENTERS, Scorer, Segmenter, open_segmenter
from ganatomy.models.segmenters.protocol import plane_names
from ganatomy.models.segmenters.unet import UNet

ROOT = Path(__file__).parents[2]
VOCABULARY = [["nothing", "nothing"], ["red", "object"], ["green", "object"], ["bright", "material"]]
MODULES = """
import torch

def logits():
    return lambda x: (torch.cat([0 * x[:, :1], x[:, :2]], 1), torch.cat([0 * x[:, :1], x.mean(1, True)], 1))

def labels():
    return lambda x: torch.stack([(x[:, 0] > 0).long(), 3 * (x.mean(1) > 0)], 1)
"""
SPECS = {
    "ade20k": ["ade20k:ade?sizes=64", "ade20k:ade?sizes=32,64&dtype=bfloat16"],
    "bundled": ["bundled:scenes", "bundled:scenes?size=32", "bundled:scenes?dtype=bfloat16"],
    "clipseg": ["clipseg:clip?concepts=tree,stained glass window&thresholds=0.5,0.4"],
    "colors": ["colors"],
    "grounded-sam": [
        "grounded-sam:dino?sam=sam2&concepts=tree,door&size=64&boxes=3&thresholds=0.5",
        "grounded-sam:dino?sam=sam2&concepts=tree,door&size=64&boxes=3&thresholds=0.5&overlap=yes",
    ],
    "hf": ["hf:segformer", "hf:segformer?size=40&dtype=bfloat16", "hf:mask2former"],
    "parts": ["parts:colors", "parts:bundled:scenes?size=32"],
    "sam3": ["sam3:sam3?concepts=tree,door", "sam3:sam3?concepts=tree,door&overlap=yes&size=48"],
    "tones": ["tones", "tones?edge=0.2"],
    "torch": [f"torch:contract_modules:{name}?vocabulary=words.json" for name in ("logits", "labels")],
    "unet": ["unet:small.safetensors"],
    "unified": ["unified:upp?sizes=64", "unified:upp?sizes=64,96&halves=yes", "unified:upp?sizes=64&dtype=bfloat16"],
    "planted": ["planted:"],
}
"""How to open members of each built-in family, and of that which docs/architecture.md shows."""

NO_EYES = {"labels"}
"""Those that know the labels of their own images, and see nothing in others."""
SILENT = {"parts", "torch:contract_modules:labels"}
"""Those that score nothing, by how their names begin."""
OTHER_PLANES = ("clipseg:", "grounded-sam:", "parts:", "sam3:", "unified:")
"""Those with more than one plane a category, or other names for them, by how their names begin."""
ALL = [
    pytest.param(name, marks=[pytest.mark.slow] * (i > 0)) for names in SPECS.values() for i, name in enumerate(names)
]
"""The first of each family is in the fast suite."""


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A current directory that holds what some of them need."""
    directory = tmp_path_factory.mktemp("segmenters")
    (directory / "contract_modules.py").write_text(MODULES)
    (directory / "words.json").write_text(json.dumps(VOCABULARY))
    (directory / "small.json").write_text(json.dumps({"vocabulary": VOCABULARY}))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = UNet([4, 8, 8], 5).state_dict()
    small["head.weight"] *= 30  # or else its biases decide alone
    safetensors.torch.save_file(small, directory / "small.safetensors")
    for name, model in {"clip": "clipseg", "segformer": "segformer", "mask2former": "mask2former"}.items():
        save(directory / name, model, size={"height": 64, "width": 64})
    for name, model in {"dino": "grounding-dino", "sam2": "sam2", "sam3": "sam3"}.items():
        save(directory / name, model)
    # No part is an object as well: the score of such a one adds up what two planes tell apart.
    plain_parsers.unified(directory / "upp", ["-", "wall", "sky", "building", "person", "tree", "road"])
    plain_parsers.ade20k(directory / "ade", ["sea", "sky", "rock", "boat"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        section = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Add a segmenter family")[2]
        (directory / "tones.py").write_text(section.partition("```python\n")[2].partition("```")[0])
        runpy.run_path("tones.py")
        yield
        del SEGMENTERS._openers["tones"]


@pytest.fixture(scope="module", params=ALL)
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    return open_segmenter(request.param)


@pytest.fixture(scope="module", params=[spec for spec in ALL if not str(spec.values[0]).startswith(tuple(SILENT))])
def scorer(request: pytest.FixtureRequest) -> Scorer:
    opened = open_segmenter(request.param)
    assert isinstance(opened, Scorer), f"{request.param} has no score: add it to SILENT"
    return opened


@pytest.fixture
def images() -> Images:
    """Eight images: smooth ones, with flat regions and detail."""
    source = torch.Generator().manual_seed(0)
    coarse = torch.rand(8, 3, 8, 8, generator=source) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (40, 48), mode="bicubic").clamp(-1, 1)


def test_every_family_is_tested() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][SEGMENTERS.group]
    assert not listed.keys() - entries_of(SEGMENTERS.group).keys(), "install again: make .venv/.developed"
    names = {*SEGMENTERS.names()} - NO_EYES
    assert not names - {*SPECS}, "not tested: add to SPECS how they are opened"
    assert not {*SPECS} - names, "no families: list them in pyproject.toml, and install again: make .venv/.developed"


def test_it_is_a_segmenter(segmenter: Segmenter) -> None:
    assert isinstance(segmenter, Segmenter)
    assert segmenter.vocabulary[0] == NOTHING
    assert len(set(segmenter.vocabulary)) == len(segmenter.vocabulary) > 1
    assert len(set(segmenter.planes)) == len(segmenter.planes) > 0
    assert segmenter.device == torch.device("cpu")
    assert len(bytes.fromhex(segmenter.fingerprint)) == 32


def test_planes_are_the_categories(segmenter: Segmenter, request: pytest.FixtureRequest) -> None:
    spec = request.node.callspec.params["segmenter"]
    assert spec.startswith(OTHER_PLANES) or segmenter.planes == plane_names(segmenter.vocabulary), (
        f"make the planes of {spec} with plane_names(vocabulary), or add it to OTHER_PLANES"
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", [family for family, specs in SPECS.items() if len(specs) > 1])
def test_other_options_have_another_fingerprint(family: str) -> None:
    assert len({open_segmenter(spec).fingerprint for spec in SPECS[family]}) == len(SPECS[family])


def test_labels_are_concepts_at_the_resolution_of_the_images(segmenter: Segmenter, images: Images) -> None:
    for size in ((40, 48), (64, 64), (33, 7)):
        given = images[:, :, : size[0], : size[1]] if size != (64, 64) else images.new_zeros(1, 3, 64, 64)
        labels = segmenter(given)
        assert labels.dtype == torch.int64
        assert not labels.requires_grad
        assert labels.shape == (len(given), len(segmenter.planes), *given.shape[2:])
        assert 0 <= int(labels.min()) <= int(labels.max()) < len(segmenter.vocabulary)
    assert len(segmenter(images).unique()) > 1, "it sees the same in every pixel"


def test_a_concept_appears_in_one_category_of_planes(segmenter: Segmenter, images: Images) -> None:
    """A plane that is named after a category shows that category alone."""
    labels = segmenter(images)
    for i, plane in enumerate(segmenter.planes):
        if any(concept.category == plane for concept in segmenter.vocabulary):
            assert {segmenter.vocabulary[k].category for k in labels[:, i].unique()} <= {plane, "nothing"}


def test_labels_depend_on_the_image_alone(segmenter: Segmenter, images: Images) -> None:
    before = images.clone()
    together = segmenter(images)
    assert torch.equal(images, before)
    assert torch.equal(together, segmenter(images))
    assert torch.equal(together, torch.cat([segmenter(image[None]) for image in images]))
    assert torch.equal(together.flip(0), segmenter(images.flip(0)))


def test_scores_are_probabilities_that_images_can_climb(scorer: Scorer, images: Images) -> None:
    labels = scorer(images)
    concept = int(labels[labels > 0].mode().values)
    given = images[:2].clone().requires_grad_()
    score = scorer.score(given, concept)
    assert score.shape == (2, 40, 48)
    assert score.dtype == torch.float32
    assert 0 <= float(score.detach().min()) <= float(score.detach().max()) <= 1
    score.sum().backward()
    assert given.grad is not None
    assert bool(given.grad.isfinite().all())
    assert float(given.grad.abs().sum()) > 0


def test_what_scores_highest_is_the_label(scorer: Scorer, images: Images) -> None:
    """But for a few pixels at borders, where labels are rounded (colors) or resized (size=)."""
    few = images[:1]
    labels = scorer(few)
    for i, plane in enumerate(scorer.planes):
        own = [k for k, concept in enumerate(scorer.vocabulary) if plane in (concept.category, concept.name)]
        if not own:
            continue  # such as halves: a plane with concepts of another kind than its name
        best = torch.stack([scorer.score(few, k) for k in own]).argmax(0)
        seen = labels[:, i] > 0
        wrong = seen & (torch.tensor(own)[best] != labels[:, i])
        assert int(wrong.sum()) <= 0.2 * int(seen.sum())


def test_what_is_no_concept_is_not_scored(scorer: Scorer, images: Images) -> None:
    for concept in (-1, 0, 10_000):
        with mistake("bad-value", concept):
            scorer.score(images, concept)
