"""The unified parser: parity with the published one on seeded weights, and with a plain restatement on small ones."""

import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import plain_parsers as plain
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from mistakes import mistake
from torch import Tensor

from ganatomy.core.vocabulary import Concept, find_concept
from ganatomy.models.segmenters import open_segmenter, parser
from ganatomy.models.segmenters.parser import SceneParser
from ganatomy.models.segmenters.unified import COLOURS, label_space, read_lists

HEADS = ("object", "material", "part")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain.unified(tmp_path_factory.mktemp("unified") / "upp")


def opened(directory: Path, options: str = "sizes=64") -> SceneParser:
    made = open_segmenter(f"unified:{directory}?{options}")
    assert isinstance(made, SceneParser)
    return made


def logits(directory: Path, images: Tensor) -> dict[str, Tensor]:
    """What the heads say, stated again; parts only of those that are read."""
    state = [torch.load(directory / f"{part}_epoch_40.pth", weights_only=True) for part in ("encoder", "decoder")]
    encoder, decoder = map(plain.Plain, state)
    means = torch.tensor([102.9801, 115.9465, 122.7717], dtype=torch.float64).view(3, 1, 1)
    return decoder.upernet(encoder.encoder((images.double().flip(1) + 1) / 2 * 255 - means, dilated=False))


def at_sizes(images: Tensor, *sizes: int) -> list[Tensor]:
    return [F.adaptive_avg_pool2d(images, size) for size in sizes]


def probabilities(directory: Path, images: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
    """The softmax of each head, and of the parts of each owner, at a size."""
    said = {head: plain.up(each, size) for head, each in logits(directory, images).items()}
    _, sky, building, person = said["part"].split([2, 2, 4, 3], 1)
    groups = {
        "object": said["object"],
        "material": said["material"],
        "sky": sky,
        "building": building,
        "person": person,
    }
    return {name: each.softmax(1) for name, each in groups.items()}


def test_small_weights_against_a_plain_restatement(small: Path) -> None:
    images = plain.images()
    found = opened(small).logits(images, HEADS).at_sizes[0]
    expected = logits(small, images)
    expected["part"] = expected["part"][:, 2:]
    for head in HEADS:
        torch.testing.assert_close(found[head].double(), expected[head], rtol=1e-3, atol=1e-3)
    assert found["object"].shape == (2, 7, 16, 16)


def test_labels_and_scores_follow_from_probabilities(small: Path) -> None:
    images, segmenter = plain.images(), opened(small)
    assert [c.name for c in segmenter.vocabulary][1:] == [
        "wall", "sky", "building", "person", "door", "window", "brick", "wall", "skin", "cloud", "roof", "head", "hand",
    ]  # fmt: skip
    assert segmenter.planes == ("object", "material", "parts")
    p = probabilities(small, images, (64, 64))
    objects = p["object"].argmax(1)
    parts = torch.zeros_like(objects)
    for owner, number, shown in (("sky", 2, [0, 10]), ("building", 3, [0, 6, 11, 5]), ("person", 4, [0, 12, 13])):
        parts += (objects == number) * torch.tensor(shown)[p[owner].argmax(1)]
    materials = p["material"].argmax(1)
    expected = torch.stack([objects, torch.where(materials > 0, materials + 6, 0), parts], 1)
    assert {0, 5, 6, 10, 11, 12, 13} == set(parts.unique().tolist()), "the images show too little to test with"
    assert (segmenter(images) == expected).double().mean() > 0.999

    def close(name: str, score: Tensor) -> None:
        found = segmenter.score(images, find_concept(segmenter.vocabulary, name))
        wrong = (found.double() - score).abs() > 2e-3
        assert wrong.double().mean() < 1e-3, name  # an owner may differ at a border

    close("object:wall", p["object"][:, 1])
    close("material:wall", p["material"][:, 2])
    close("roof", p["building"][:, 2] * (objects == 3))
    close("hand", p["person"][:, 2] * (objects == 4))
    close("door", (p["object"][:, 5] + p["building"][:, 3] * (objects == 3)).clamp(max=1))


def test_what_is_object_and_part_at_once_is_no_more_than_certain(small: Path) -> None:
    segmenter = opened(small)
    for head, bias in (("object", [0, 0, 0, 1.0, 0, 0.9, 0]), ("part", [0, 0, 0, 0, 0, 3.0, 0, 0, 0])):
        last = segmenter._decoder.get_submodule(f"{head}_head.1")
        last.weight.zero_()
        last.bias.copy_(torch.tensor(bias))
    score = {name: segmenter.score(plain.images(), segmenter.vocabulary.index(Concept(name, "object")))
             for name in ("building", "door")}  # fmt: skip
    assert float(score["building"].min()) == pytest.approx(math.e / (5 + math.e + math.exp(0.9)))
    assert float(score["door"].min()) == 1  # 0.24 as an object, and 0.87 as a part of the building that is predicted


@pytest.mark.parametrize(
    ("name", "heads"),
    [("sky", {"object"}), ("brick", {"material"}), ("roof", {"object", "part"}), ("window", {"object", "part"})],
)
def test_a_head_that_nobody_asks_for_is_not_computed(small: Path, name: str, heads: set[str]) -> None:
    segmenter = opened(small)
    ran = []
    for head in HEADS:
        last = segmenter._decoder.get_submodule(f"{head}_head")
        last.register_forward_hook(lambda *_, head=head: ran.append(head))
    segmenter.score(plain.images(), find_concept(segmenter.vocabulary, name))
    assert set(ran) == heads


def test_gradients_are_those_of_the_restatement(small: Path) -> None:
    images, segmenter = plain.images(count=1), opened(small)
    for name, group, channel in (("sky", "object", 2), ("skin", "material", 3)):
        ours, theirs = images.clone().requires_grad_(), images.double().requires_grad_()
        segmenter.score(ours, find_concept(segmenter.vocabulary, name)).square().mean().backward()
        probabilities(small, theirs, (64, 64))[group][:, channel].square().mean().backward()
        assert ours.grad is not None
        assert theirs.grad is not None
        assert float(theirs.grad.abs().max()) > 0
        error = (ours.grad.double() - theirs.grad).norm() / theirs.grad.norm()
        assert float(error) < 1e-3, name


def test_scores_of_several_sizes_are_means_and_their_labels_follow(small: Path) -> None:
    images, both = plain.images(), opened(small, "sizes=64,96")
    p = torch.stack([probabilities(small, each, (64, 64))["object"] for each in at_sizes(images, 64, 96)]).mean(0)
    torch.testing.assert_close(both.score(images, 2).double(), p[:, 2], rtol=0, atol=1e-3)
    labels = both(images)
    assert (labels[:, 0] == p.argmax(1)).double().mean() > 0.999
    assert (labels == opened(small)(images)).double().mean() < 0.99


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (96, 64), (200, 130)])
def test_images_of_any_size_are_pooled_to_the_size(small: Path, size: tuple[int, int]) -> None:
    images = plain.images(*size)
    segmenter = opened(small)
    pooled = F.adaptive_avg_pool2d(images, 64)
    p = probabilities(small, pooled, size)["object"]
    torch.testing.assert_close(segmenter.score(images, 2).double(), p[:, 2], rtol=0, atol=2e-3)
    assert segmenter(images).shape == (2, 3, *size)


def test_small_images_are_repeated_pixel_by_pixel(small: Path) -> None:
    images, segmenter = plain.images(32, 32), opened(small)
    twice = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    at_twice = segmenter.logits(twice, ["object"])._replace(size=(32, 32))
    assert torch.equal(segmenter.score(images, 2), at_twice.probability(segmenter._space.groups[0], 2))


def test_memory_is_bounded_without_any_other_effect(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, segmenter = plain.images(count=3), opened(small)

    def everything() -> tuple[Tensor, ...]:
        given = images.clone().requires_grad_()
        score = segmenter.score(given, 2)
        score.square().sum().backward()
        assert given.grad is not None
        return segmenter(images), score.detach(), given.grad

    labels, score, gradient = everything()
    monkeypatch.setattr(parser, "PIXELS", 64 * 64)
    monkeypatch.setattr(parser, "VALUES", 64 * 7 * 5)
    through = []
    hook = segmenter._encoder.register_forward_hook(lambda _, given, __: through.append(len(given[0])))
    again = everything()
    hook.remove()
    assert through == 9 * [1]  # three images: scored, scored again for the gradient, labelled
    assert torch.equal(again[0], labels)
    torch.testing.assert_close(again[1], score, rtol=0, atol=1e-5)
    torch.testing.assert_close(again[2], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def test_no_images_have_no_labels(small: Path) -> None:
    segmenter = opened(small)
    assert segmenter(torch.zeros(0, 3, 40, 30)).shape == (0, 3, 40, 30)
    assert segmenter.score(torch.zeros(0, 3, 40, 30), 1).shape == (0, 40, 30)


def test_halves_have_the_published_numbers_and_the_same_meaning(small: Path) -> None:
    images = plain.images()
    inside, around = opened(small, "sizes=64&halves=yes"), open_segmenter(f"parts:unified:{small}?sizes=64")
    assert set(inside.vocabulary) == set(around.vocabulary)
    assert inside.vocabulary[7] == Concept("wall-t", "part")
    assert inside.vocabulary[30] == Concept("window-r", "part")
    assert inside.planes == around.planes
    number = torch.tensor([around.vocabulary.index(concept) for concept in inside.vocabulary])
    labels = inside(images)
    assert torch.equal(number[labels], around(images))
    half = int(labels[:, 3].max())
    shown = inside.score(images, half)
    whole = inside.score(images, (half - 1) % 6 + 1)
    assert torch.equal(shown, whole * (labels == half).any(1))
    assert float(shown.max()) > 0


def test_half_precision_changes_few_labels(small: Path) -> None:
    images, exact, half = plain.images(), opened(small), opened(small, "sizes=64&dtype=bfloat16")
    labels = half(images)
    assert 0.9 < float((labels == exact(images)).double().mean()) < 1
    given = images.clone().requires_grad_()
    score = half.score(given, 2)
    assert score.dtype == torch.float32
    score.sum().backward()
    assert given.grad is not None
    assert given.grad.dtype == torch.float32


def test_what_changes_labels_changes_the_fingerprint(small: Path) -> None:
    options = ["sizes=64", "sizes=64,96", "sizes=64&halves=yes", "sizes=64&dtype=bfloat16"]
    made = [opened(small, each).fingerprint for each in options]
    assert len(set(made)) == len(made)
    assert opened(small, "sizes=64").fingerprint == made[0]


def test_everything_is_made_where_the_weights_are(small: Path) -> None:
    here = opened(small)
    net = [net.to("meta") for net in (here._encoder, here._decoder)]
    there = SceneParser(*net, here._space, COLOURS, here._inference, "")
    images = torch.zeros(2, 3, 40, 30, device="meta")
    assert there.device.type == "meta"
    assert there(images).device.type == there.score(images, 5).device.type == "meta"


def test_weights_may_be_safetensors_and_of_half_precision(small: Path, tmp_path: Path) -> None:
    for part in ("encoder", "decoder"):
        state = torch.load(small / f"{part}_epoch_40.pth", weights_only=True)
        halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        halved = {name: tensor for name, tensor in halved.items() if "scene" not in name and "batches" not in name}
        safetensors.torch.save_file(halved, tmp_path / f"{part}.safetensors")
    (tmp_path / "labels.json").write_text(json.dumps(plain.LISTS))
    images = plain.images()
    assert (opened(tmp_path)(images) == opened(small)(images)).double().mean() > 0.98


def test_files_that_do_not_fit(small: Path, tmp_path: Path) -> None:
    def refused(*facts: object) -> None:
        with mistake("bad-file", *facts):
            open_segmenter(f"unified:{tmp_path}?sizes=64")

    refused(tmp_path, "encoder*.pth or encoder*.safetensors")
    encoder, decoder = tmp_path / "encoder_epoch_40.pth", tmp_path / "decoder_epoch_40.pth"
    encoder.write_bytes((small / encoder.name).read_bytes())
    refused(tmp_path, "decoder*.pth or decoder*.safetensors")
    decoder.write_bytes((small / decoder.name).read_bytes())
    refused(tmp_path / "labels.json", "no such file")
    lists = tmp_path / "labels.json"
    lists.write_text("[1, 2")
    refused(lists, "JSONDecodeError")
    lists.write_text(json.dumps(plain.LISTS | {"material": ["brick"]}))
    refused(lists, "'-'")
    lists.write_text(json.dumps(plain.LISTS | {"object_part": {"sky": ["-", 1]}}))
    refused(lists, "a name that is no text")
    lists.write_text(json.dumps(plain.LISTS | {"material": ["-", "brick", "wall"]}))
    refused(lists, "3 names", "material", "4 channels")
    lists.write_text(json.dumps(plain.LISTS | {"material": ["-", "brick", "wall", "brick"]}))
    refused(lists, "brick")
    lists.write_text(json.dumps(plain.LISTS))
    open_segmenter(f"unified:{tmp_path}?sizes=64")
    (tmp_path / "encoder_epoch_20.pth").touch()
    refused(tmp_path, "encoder_epoch_20.pth, encoder_epoch_40.pth")
    (tmp_path / "encoder_epoch_20.pth").unlink()
    encoder.write_bytes(encoder.read_bytes()[:5000])
    refused(encoder, "PyTorch checkpoint")
    encoder.write_bytes(decoder.read_bytes())
    refused(encoder, "conv1.weight", "ResNet")
    state = torch.load(small / encoder.name, weights_only=True)
    torch.save(state, encoder)
    torch.save(state, decoder)
    refused(decoder, "ppm_conv.0.0.weight", "unified parser")
    whole = torch.load(small / decoder.name, weights_only=True)
    torch.save(whole | {"fpn_in.0.0.weight": torch.zeros(10, 99, 1, 1)}, decoder)
    refused("fpn_in.0.0.weight", [10, 99, 1, 1], [10, 16, 1, 1])
    torch.save(whole, decoder)
    torch.save({name: tensor for name, tensor in state.items() if name != "layer2.0.bn1.weight"}, encoder)
    refused("layer2.0.bn1.weight")


def test_options_that_do_not_fit(small: Path) -> None:
    with mistake("bad-value", "sizes='big'", 256):
        opened(small, "sizes=big")
    with mistake("bad-value", 16, 32):
        opened(small, "sizes=256,16")
    with mistake("unknown-name", "half"):
        opened(small, "dtype=half")
    with mistake("bad-file", "nowhere"):
        open_segmenter("unified:nowhere")
    with mistake("bad-file", small / "encoder_epoch_40.pth", "directory"):
        open_segmenter(f"unified:{small / 'encoder_epoch_40.pth'}")


# The published implementation


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The seeded weights of the vectors, by the rule that their README gives."""
    vectors, directory = shared / "parity" / "upp", tmp_path_factory.mktemp("published")
    shapes = json.loads((vectors / "state_dict_shapes.json").read_text())
    statistics = safetensors.torch.load_file(vectors / "batchnorm_statistics.safetensors")
    objects = json.loads((vectors / "labels.json").read_text())["object"]
    for part, tensors in shapes.items():
        state = {key: seeded(f"{part}/{key}", shape, statistics) for key, shape in tensors.items()}
        if part == "decoder":
            state["object_head.1.bias"][[objects.index(owner) for owner in ("sky", "building", "person")]] += 5.5
        safetensors.torch.save_file(state, directory / f"{part}_epoch_40.safetensors")
    (directory / "labels.json").write_bytes((vectors / "labels.json").read_bytes())
    yield directory
    for file in directory.iterdir():
        file.unlink()  # 300 MB


def seeded(key: str, shape: list[int], statistics: dict[str, Tensor]) -> Tensor:
    r = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(f"upp/{key}".encode())))
    if len(shape) == 4:
        return r * math.sqrt(2 / math.prod(shape[1:])) * (1.5 if "_head.1.weight" in key else 1)
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if key.endswith(("running_mean", "running_var")):
        return statistics[key]
    return 1 + 0.1 * r if key.endswith("weight") else 0.1 * r


@pytest.mark.slow
def test_parity(shared: Path, published: Path) -> None:
    expected = safetensors.torch.load_file(shared / "parity" / "upp" / "expected.safetensors")
    images = expected["image"]
    segmenter = opened(published, "sizes=96")
    said = segmenter.logits(images, HEADS)
    for group in segmenter._space.groups:
        found = F.interpolate(said.at_sizes[0][group.head][:, group.channels], (48, 48), mode="bilinear").softmax(1)
        name = f"{group.head}_prob_half" + ("" if group.owner is None else f".{group.owner}")
        torch.testing.assert_close(found, expected.pop(name).float(), rtol=0, atol=2e-3, msg=name)
    assert set(expected) == {"image", "labels", "labels_two_scales"}
    labels = segmenter(images)
    assert ((labels == expected["labels"]).double().mean((0, 2, 3)) > 0.999).all()
    assert len(labels.unique()) > 20
    labels = opened(published, "sizes=96,128")(images)
    assert ((labels == expected["labels_two_scales"]).double().mean((0, 2, 3)) > 0.999).all()


@pytest.mark.parametrize(("halves", "file"), [(False, "vocabulary.json"), (True, "vocabulary_quad.json")])
def test_the_published_numbers(shared: Path, halves: bool, file: str) -> None:
    vectors = shared / "parity" / "upp"
    words = label_space(read_lists(vectors / "labels.json"), "", halves=halves)
    expected = json.loads((vectors / file).read_text())
    assert [list(concept) for concept in words.vocabulary][1:] == expected[1:]
    assert len(expected) == (1729 if halves else 389)
    glass = [f"{kind}:glass" for kind in ("object", "material")]
    assert [words.vocabulary[find_concept(words.vocabulary, name)].category for name in glass] == ["object", "material"]
    with mistake("unknown-name", "glass", "object:glass, material:glass"):
        find_concept(words.vocabulary, "glass")
