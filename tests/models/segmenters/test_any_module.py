"""Any module as a segmenter: what it may return, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.module import as_segmenter

WORDS = [NOTHING, Concept("red", "object"), Concept("green", "object"), Concept("wood", "material")]
IMAGES = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def logits(channels: int, size: tuple[int, int] = (6, 8)) -> Tensor:
    return torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(channels))


def test_one_plane_of_logits_over_the_whole_vocabulary() -> None:
    segmenter = as_segmenter(lambda x: logits(4), WORDS, planes=["object"])
    assert torch.equal(segmenter(IMAGES)[:, 0], logits(4).argmax(1))


@pytest.mark.parametrize("pack", [tuple, list, lambda planes: dict(zip("ab", planes, strict=True))])
def test_planes_of_logits_over_their_own_category(pack: Callable[..., object]) -> None:
    segmenter = as_segmenter(lambda x: pack([logits(3), logits(2)]), WORDS)
    assert segmenter.planes == ("object", "material")
    labels = segmenter(IMAGES)
    assert torch.equal(labels[:, 0], logits(3).argmax(1))
    assert torch.equal(labels[:, 1], logits(2).argmax(1) * 3)
    torch.testing.assert_close(segmenter.score(IMAGES, 3), logits(2).softmax(1)[:, 1])


def test_a_concept_in_several_planes_scores_their_sum() -> None:
    segmenter = as_segmenter(lambda x: (logits(4), logits(4)), WORDS, planes=["a", "b"])
    torch.testing.assert_close(segmenter.score(IMAGES, 2), (2 * logits(4).softmax(1)[:, 2]).clamp(max=1))


def test_label_maps() -> None:
    seen = logits(3).argmax(1)
    one = as_segmenter(lambda x: seen, WORDS, planes=["object"])
    assert torch.equal(one(IMAGES)[:, 0], seen)
    two = as_segmenter(lambda x: torch.stack([seen, 0 * seen], 1).to(torch.uint8), WORDS)
    assert torch.equal(two(IMAGES), torch.stack([seen, 0 * seen], 1))
    with mistake("bad-model", "labels", "logits"):
        one.score(IMAGES, 1)


def test_another_size_is_brought_to_that_of_the_images() -> None:
    coarse = torch.zeros(2, 4, 1, 2)
    coarse[:, 1, 0, 0], coarse[:, 2, 0, 1] = 5, 4  # smooth logits meet where the first is still stronger
    segmenter = as_segmenter(lambda x: coarse, WORDS, planes=["object"])
    assert segmenter(IMAGES)[0, 0, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert segmenter.score(IMAGES, 1)[0, 0, 3] < segmenter.score(IMAGES, 1)[0, 0, 0]
    labels = as_segmenter(lambda x: torch.tensor([[[1, 2]]] * 2), WORDS, planes=["object"])
    assert labels(IMAGES)[0, 0, 0].tolist() == [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    ("out", "fact"),
    [
        (None, "NoneType"),
        (logits(4), "2 (object, material)"),
        ((logits(3), logits(3)), "3 channels for plane material"),
        ((logits(3), logits(2)[:1]), "[1, 2, 6, 8]"),
        ((logits(3), logits(2)[:, 0]), "[2, 6, 8]"),
        ((logits(3), logits(2) * float("nan")), "NaN"),
        ((logits(3), "labels"), "str"),
        ((logits(3), logits(2)[:, 0] > 0), "torch.bool"),
        (torch.full((2, 2, 6, 8), 4), "label 4"),
        (torch.full((2, 2, 6, 8), -1), "label -1"),
    ],
)
def test_what_the_vocabulary_does_not_explain(out: object, fact: str) -> None:
    segmenter = as_segmenter(lambda x: out, WORDS)
    with mistake("bad-model", fact):
        segmenter(IMAGES)


SOURCE = """
import torch
class Net(torch.nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, channels, 1)
    def forward(self, x):
        print("looking")
        assert not self.training
        return self.conv(x)
def broken():
    def run(x):
        raise ValueError("cannot look\\nat this")
    return run
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "any_module_nets.py").write_text(SOURCE)
    (tmp_path / "words.json").write_text(json.dumps([list(word) for word in WORDS]))
    state = {"conv.weight": torch.eye(4)[:, :3, None, None].contiguous(), "conv.bias": torch.zeros(4)}
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
def test_by_name_with_weights(capsys: pytest.CaptureFixture[str]) -> None:
    spec = "torch:any_module_nets:Net?vocabulary=words.json&planes=object&channels=4&weights="
    segmenter = open_segmenter(spec + "net.safetensors")
    expected = torch.cat([IMAGES, torch.zeros(2, 1, 6, 8)], 1).argmax(1)
    assert torch.equal(segmenter(IMAGES)[:, 0], expected)
    assert capsys.readouterr() == ("", "looking\n")
    with mistake("bad-file", "none.pt"):
        open_segmenter(spec + "none.pt")


@pytest.mark.usefixtures("here")
def test_the_fingerprint_knows_weights_and_options() -> None:
    spec = "torch:any_module_nets:Net?vocabulary=words.json&planes=object&channels=4"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, two = open_segmenter(spec), open_segmenter(spec)
    same = [open_segmenter(f"{spec}&weights=net.safetensors").fingerprint for _ in range(2)]
    other = open_segmenter(f"{spec}&weights=net.safetensors".replace("=object", "=thing")).fingerprint
    assert len({one.fingerprint, two.fingerprint, *same, other}) == 4


@pytest.mark.usefixtures("here")
def test_mistakes_by_name() -> None:
    with mistake("bad-value", "vocabulary=FILE"):
        open_segmenter("torch:any_module_nets:Net?channels=4")
    with mistake("bad-file", "word.json"):
        open_segmenter("torch:any_module_nets:Net?channels=4&vocabulary=word.json")
    with mistake("bad-value", "any_module_nets:broken", "weights=net.safetensors"):
        open_segmenter("torch:any_module_nets:broken?vocabulary=words.json&weights=net.safetensors")
    with mistake("bad-model", "any_module_nets:broken", "ValueError: cannot look"):
        open_segmenter("torch:any_module_nets:broken?vocabulary=words.json")(IMAGES)


def test_a_module_is_put_into_evaluation_and_not_trained() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.5))
    segmenter = as_segmenter(net, WORDS, planes=["object"])
    assert torch.equal(segmenter(IMAGES), segmenter(IMAGES))
    given = IMAGES.clone().requires_grad_()
    segmenter.score(given, 1).sum().backward()
    assert given.grad is not None
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(
    ("planes", "out", "code", "fact"),
    [
        (["object", "object"], None, "bad-value", "planes=object,object"),
        (["object", ""], None, "bad-value", "planes=object,:"),
        (["objects"], logits(3), "bad-model", "object, material"),
        (["object"], logits(2), "bad-model", "2 channels for plane object"),
    ],
)
def test_planes_that_do_not_match(planes: list[str], out: object, code: str, fact: str) -> None:
    with mistake(code, fact):
        as_segmenter(lambda x: out, WORDS, planes=planes)(torch.zeros(2, 3, 6, 8))


def test_another_number_format_is_computed_in_by_a_copy() -> None:
    net = nn.Conv2d(3, 4, 1)
    plain, half = (as_segmenter(net, WORDS, planes=["object"], dtype=dtype) for dtype in (None, torch.bfloat16))
    assert net.weight.dtype == torch.float32
    expected = net.bfloat16()(IMAGES.bfloat16()).float()
    assert torch.equal(half(IMAGES)[:, 0], expected.argmax(1))
    assert torch.equal(half.score(IMAGES, 2), expected.softmax(1)[:, 2])
    assert half.fingerprint != plain.fingerprint
    nothing = nn.Identity()  # whose weights are the same in any format
    assert len({as_segmenter(nothing, WORDS, dtype=d).fingerprint for d in (None, torch.float32, torch.float16)}) == 2
    with mistake("bad-value", "torch module", "dtype="):
        as_segmenter(lambda x: x, WORDS, dtype=torch.bfloat16)


@pytest.mark.usefixtures("here")
def test_a_number_format_by_name() -> None:
    spec = "torch:any_module_nets:Net?vocabulary=words.json&planes=object&channels=4&weights=net.safetensors"
    plain, exact, half = (open_segmenter(spec + own) for own in ("", "&dtype=float32", "&dtype=bfloat16"))
    assert plain.fingerprint == exact.fingerprint != half.fingerprint
    assert torch.equal(half(IMAGES), plain(IMAGES.bfloat16().float()))  # the weights are whole numbers
    with mistake("bad-value", "dtype=auto", "float32"):
        open_segmenter(spec + "&dtype=auto")


def test_words_may_be_pairs() -> None:
    pairs = [tuple(word) for word in WORDS]
    assert as_segmenter(lambda x: None, pairs).vocabulary == tuple(WORDS)
