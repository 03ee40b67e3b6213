"""The U-Net: its file, its planes, its features; and the bundled one on scenes that it never saw."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mistakes import mistake
from torch import nn

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.unet import UNet, UNetSegmenter, heads
from ganatomy.models.weights import card
from ganatomy.scenes import VOCABULARY, render

WORDS = [NOTHING, Concept("wall", "object"), Concept("brick", "material"), Concept("door", "object")]


def small() -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet([4, 8, 12], 5)


def test_a_head_tells_nothing_and_its_category_apart() -> None:
    assert heads(WORDS) == [[0, 1, 3], [0, 2]]


@pytest.mark.parametrize("best", range(5))
def test_channels_become_concepts(best: int) -> None:
    net = small()
    nn.init.zeros_(net.head.weight)
    with torch.no_grad():
        net.head.bias.copy_(torch.eye(5)[best])
    segmenter = UNetSegmenter(net, WORDS)
    expected = [[0, 1, 3][best] if best < 3 else 0, [0, 2][best - 3] if best >= 3 else 0]
    assert segmenter(torch.zeros(1, 3, 4, 4))[0, :, 0, 0].tolist() == expected
    if best in (1, 2, 4):
        concept = max(expected)
        assert float(segmenter.score(torch.zeros(1, 3, 4, 4), concept).mean()) > 1 / 3


def test_sides_that_the_stride_does_not_divide_are_padded_with_the_border() -> None:
    segmenter = UNetSegmenter(small(), WORDS)
    images = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    padded = nn.functional.pad(images, (0, 1, 0, 2), mode="replicate")
    assert torch.equal(segmenter(images), segmenter(padded)[..., :6, :7])
    assert torch.equal(segmenter.features(images), segmenter.features(padded))


def test_a_long_batch_goes_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = UNetSegmenter(small(), WORDS)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = segmenter(images)
    monkeypatch.setattr("ganatomy.models.segmenters.unet.PIXELS", 128)
    assert torch.equal(segmenter(images), whole)


def test_features_are_one_row_a_image() -> None:
    segmenter = UNetSegmenter(small(), WORDS)
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    features = segmenter.features(images)
    assert features.shape == (3, 8 + 12)
    torch.testing.assert_close(features[1:2], segmenter.features(images[1:2]))


def test_what_changes_labels_changes_the_fingerprint() -> None:
    other = small()
    nn.init.zeros_(other.head.bias)
    made = [
        UNetSegmenter(small(), WORDS),
        UNetSegmenter(other, WORDS),
        UNetSegmenter(small(), [*WORDS[:-1], Concept("gate", "object")]),
        UNetSegmenter(small(), WORDS, size=32),
        UNetSegmenter(small(), WORDS, dtype="bfloat16"),
    ]
    assert len({segmenter.fingerprint for segmenter in made}) == len(made)
    assert UNetSegmenter(small(), WORDS).fingerprint == made[0].fingerprint


def test_files_that_are_no_unet(tmp_path: Path) -> None:
    state = small().state_dict()
    file, beside = tmp_path / "net.safetensors", tmp_path / "net.json"
    safetensors.torch.save_file(state, file)
    with mistake("bad-file", "net.json"):
        open_segmenter(f"unet:{file}")
    beside.write_text(json.dumps({"words": []}))
    with mistake("bad-file", beside, "vocabulary"):
        open_segmenter(f"unet:{file}")
    beside.write_text(json.dumps({"vocabulary": WORDS[:-1]}))
    with mistake("bad-file", "head.weight", [5, 4, 1, 1], [4, 4, 1, 1]):
        open_segmenter(f"unet:{file}")
    beside.write_text(json.dumps({"vocabulary": WORDS}))
    assert open_segmenter(f"unet:{file}").vocabulary == tuple(WORDS)
    with mistake("bad-value", "size=2", 4):
        open_segmenter(f"unet:{file}?size=2")
    safetensors.torch.save_file({"head.weight": state["head.weight"]}, file)
    with mistake("bad-file", file, "U-Net"):
        open_segmenter(f"unet:{file}")


def test_bundled_names() -> None:
    with mistake("unknown-name", "scene", "scenes"):
        open_segmenter("bundled:scene")
    with mistake("unknown-name", "unet", "sizes"):
        open_segmenter("bundled:scenes?sizes=3")


def test_the_bundled_one_knows_the_scenes() -> None:
    segmenter = open_segmenter("bundled:scenes")
    assert tuple(segmenter.vocabulary) == VOCABULARY
    assert card("scenes")["scores"]["object mIoU"] >= 0.85


@pytest.mark.parametrize("options", ["", "?dtype=bfloat16"])
@pytest.mark.parametrize("category", ["church", "livingroom"])
def test_it_reads_scenes_that_it_never_saw(category: str, options: str) -> None:
    segmenter = open_segmenter(f"bundled:scenes{options}")
    drawn = render(category, range(24), seed=987)
    labels = segmenter(torch.from_numpy(drawn.images) / 127.5 - 1)
    right = (labels == torch.from_numpy(drawn.labels)).float().mean((0, 2, 3))
    assert right.min() > 0.9, right


def test_it_tells_the_categories_apart_by_its_features() -> None:
    segmenter = open_segmenter("bundled:scenes")
    church, room = (
        segmenter.features(torch.from_numpy(render(category, range(16), seed=987).images) / 127.5 - 1)
        for category in ("church", "livingroom")
    )
    within = torch.cdist(church, church).max().maximum(torch.cdist(room, room).max())
    assert church.shape[1] == 256
    assert float(torch.cdist(church.mean(0, True), room.mean(0, True))) > 0.5 * float(within)
