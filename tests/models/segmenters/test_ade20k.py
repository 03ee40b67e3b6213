"""The parser of ADE20K's 150 objects, against a plain restatement on small weights; and the published shapes."""

import json
from pathlib import Path

import plain_parsers as plain
import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from torch import Tensor, nn

from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.ade20k import COLOURS, PyramidPooling, read_names
from ganatomy.models.segmenters.parser import SceneParser
from ganatomy.models.segmenters.resnet import ResNet, Stage

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain.ade20k(tmp_path_factory.mktemp("ade20k") / "ade")


def opened(directory: Path, options: str = "sizes=64") -> SceneParser:
    made = open_segmenter(f"ade20k:{directory}?{options}")
    assert isinstance(made, SceneParser)
    return made


def probabilities(directory: Path, images: Tensor, size: tuple[int, int]) -> Tensor:
    """The softmax of the logits, stated again."""
    state = [torch.load(directory / f"{part}_epoch_20.pth", weights_only=True) for part in ("encoder", "decoder")]
    encoder, decoder = map(plain.Plain, state)
    mean, deviation = (torch.tensor(own, dtype=torch.float64).view(3, 1, 1) for own in (MEAN, DEVIATION))
    x = ((images.double() + 1) / 2 - mean) / deviation
    return plain.up(decoder.ppm(encoder.encoder(x, dilated=True)), size).softmax(1)


def test_small_weights_against_a_plain_restatement(small: Path) -> None:
    images, segmenter = plain.images(96, 64), opened(small)
    pooled = F.adaptive_avg_pool2d(images, 64)
    p = probabilities(small, pooled, (96, 64))
    labels = segmenter(images)
    assert segmenter.planes == ("object",)
    assert segmenter.logits(images, ["object"]).at_sizes[0]["object"].shape[2:] == (8, 8)
    assert (labels[:, 0] == p.argmax(1) + 1).double().mean() > 0.999
    assert len(labels.unique()) > 10
    for concept in (1, 17, 150, int(labels.flatten().mode().values)):
        torch.testing.assert_close(segmenter.score(images, concept).double(), p[:, concept - 1], rtol=0, atol=1e-3)


def test_gradients_are_those_of_the_restatement(small: Path) -> None:
    images, segmenter = plain.images(count=1), opened(small)
    concept = int(segmenter(images).flatten().mode().values)
    ours, theirs = images.clone().requires_grad_(), images.double().requires_grad_()
    segmenter.score(ours, concept).square().mean().backward()
    probabilities(small, theirs, (64, 64))[:, concept - 1].square().mean().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert float((ours.grad.double() - theirs.grad).norm() / theirs.grad.norm()) < 1e-3


def test_the_first_release_was_trained_on_other_colours(small: Path) -> None:
    images = plain.images(count=1)
    new, old = opened(small), opened(small, "sizes=64&colours=bgr")
    assert new.fingerprint != old.fingerprint
    wanted = (images.flip(1) + 1) * 127.5 - torch.tensor(COLOURS["bgr"].means).view(3, 1, 1)
    mean, deviation = (torch.tensor(own).view(3, 1, 1) for own in (MEAN, DEVIATION))
    same = (wanted * deviation + mean) * 2 - 1  # what the new one is to be shown to be given the same
    torch.testing.assert_close(old.score(images, 3), new.score(same, 3), rtol=0, atol=1e-4)
    with mistake("unknown-name", "grey", "rgb, bgr"):
        opened(small, "colours=grey")


def test_the_built_in_names(small: Path) -> None:
    names = opened(small).vocabulary
    assert len(names) == 151
    assert names[0] == NOTHING
    assert {i: names[i].name for i in (1, 5, 13, 45, 64, 90, 106, 139, 142, 150)} == {
        1: "wall", 5: "tree", 13: "person", 45: "chest of drawers", 64: "blind", 90: "television receiver",
        106: "conveyer belt", 139: "ashcan", 142: "crt screen", 150: "flag",
    }  # fmt: skip


def test_names_that_lie_beside_the_weights(tmp_path: Path) -> None:
    table = tmp_path / "object150_info.csv"
    table.write_text("Idx,Ratio,Train,Val,Stuff,Name\n1,0.2,1,2,1,wall\n2,0.1,1,2,1,building;edifice\n")
    assert read_names(tmp_path, 2) == ["wall", "building"]
    with mistake("bad-file", table, "2 names", "3 classes"):
        read_names(tmp_path, 3)
    table.write_text("Idx,Word\n1,wall\n")
    with mistake("bad-file", table, "KeyError"):
        read_names(tmp_path, 1)
    (tmp_path / "labels.json").write_text(json.dumps(["sea", "sky"]))
    assert read_names(tmp_path, 2) == ["sea", "sky"]
    (tmp_path / "labels.json").write_text(json.dumps({"object": []}))
    with mistake("bad-file", tmp_path / "labels.json"):
        read_names(tmp_path, 2)


def test_a_network_of_other_classes(tmp_path: Path) -> None:
    directory = plain.write(tmp_path / "two", "ade20k", 20, plain.weights(plain.ppm_shapes(classes=2)))
    with mistake("bad-file", directory, "ADE20K", 150, "2 classes"):
        opened(directory)
    (directory / "labels.json").write_text(json.dumps(["sea", "sea"]))
    with mistake("bad-file", directory, "sea"):
        opened(directory)
    (directory / "labels.json").write_text(json.dumps(["sea", "sky"]))
    assert opened(directory).vocabulary == (NOTHING, Concept("sea", "object"), Concept("sky", "object"))


def test_files_that_do_not_fit(small: Path, tmp_path: Path) -> None:
    decoder = torch.load(small / "decoder_epoch_20.pth", weights_only=True)
    lite = {name: tensor for name, tensor in decoder.items() if not name.startswith("ppm.")}
    with mistake("bad-file", "decoder_epoch_20.pth", "ppm.0.1.weight"):
        opened(plain.write(tmp_path, "ade20k", 20, lite))
    other = decoder | {"ppm.0.1.weight": torch.zeros(6, 99, 1, 1)}
    with mistake("bad-file", "ppm.0.1.weight", [6, 99, 1, 1]):
        opened(plain.write(tmp_path, "ade20k", 20, other))
    infinite = decoder | {"conv_last.4.bias": torch.full((150,), torch.inf)}
    with mistake("bad-file", "conv_last.4.bias", "NaN"):
        opened(plain.write(tmp_path, "ade20k", 20, infinite))


def test_the_published_shapes() -> None:
    with torch.device("meta"):
        stages = [Stage(3, 64, 256), Stage(4, 128, 512), Stage(6, 256, 1024), Stage(3, 512, 2048)]
        encoder, decoder = ResNet((64, 64, 128), stages, dilated=True), PyramidPooling(2048, 512, 512, 150)
    shapes = {name: list(tensor.shape) for net in (encoder, decoder) for name, tensor in net.state_dict().items()}
    assert shapes["conv3.weight"] == [128, 64, 3, 3]
    assert shapes["layer4.2.conv2.weight"] == [512, 512, 3, 3]
    assert shapes["ppm.3.1.weight"] == [512, 2048, 1, 1]
    assert shapes["conv_last.0.weight"] == [512, 4096, 3, 3]
    assert shapes["conv_last.4.bias"] == [150]
    dilations = [m.dilation[0] for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert dilations == [1] * 3 + [1] * 3 + [1] * 4 + [1] + [2] * 5 + [2] + [4] * 2
