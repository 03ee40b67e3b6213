from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mistakes import mistake
from torch import Tensor, nn
from toy_classifier import CLASSES, SIDE, Toy, toy_spec, write_images

from ganatomy.datasets import CropSpec, open_images
from ganatomy.models.generators import open_subject
from ganatomy.models.generators.classifier import Classifier, View, as_classifier, read_classes, scores_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "toys", 12)


def opened(spec: str) -> Classifier:
    found = open_subject(spec)
    assert isinstance(found, Classifier)
    return found


def test_the_toy_tells_every_class(folder: Path) -> None:
    toy = opened(toy_spec(folder))
    z = toy.latents(range(12), 0)
    assert (toy.classes, toy.scores) == (tuple(CLASSES), 3)
    assert torch.equal(toy.rest(z, "see").output.argmax(1), toy.truth(z))


def test_images_are_given_as_the_network_takes_them(folder: Path) -> None:
    view = View(open_images(str(folder)), CropSpec(SIDE), mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    grey = torch.zeros(1, 3, 2, 2)
    assert torch.allclose(view.inputs(grey)[0, :, 0, 0], torch.tensor([0.4, 0.15, 0.05]))
    assert torch.equal(View(view.dataset, view.frame).inputs(grey + 0.5), grey + 0.5)


def test_what_is_looked_at_is_part_of_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES) + "\n\n")
    base = toy_spec(folder)
    others = [base.replace("size=24", "size=16"), base.replace("mean=0,0,0", "mean=0,0,1")]
    specs = [*(base + each for each in ("", "&crop=1", "&split=red", "&dtype=bfloat16")), *others]
    prints = [opened(spec).fingerprint for spec in specs]
    assert len(set(prints)) == len(prints)
    assert opened(f"{base}&classes={tmp_path / 'classes.txt'}").fingerprint == prints[0]
    assert opened(f"{base}&layers=see").layers.keys() == {"see"}


def test_scores_that_do_not_fit_the_classes_are_to_be_named(folder: Path) -> None:
    net = Toy()
    net.head = nn.Linear(6, 5)
    view = View(open_images(str(folder)), CropSpec(SIDE))
    five = as_classifier(net, view)
    with mistake("bad-value", "5 scores", "3 classes", "classes"):
        five.truth(five.latents(range(2), 0))
    named = as_classifier(net, view, classes=["a", "red", "b", "green", "blue"])
    z = named.latents(range(12), 0)
    own = view.dataset.class_ids(view.shown(z).indices)
    assert [named.classes[i] for i in named.truth(z)] == [CLASSES[i] for i in own]
    with mistake("unknown-name", "Toy", "green"):
        as_classifier(net, view, classes=["a", "red", "b", "c", "blue"])


@pytest.mark.parametrize(("text", "fact"), [("a\nb\na\n", "'a'"), ("\n\n", "no classes")])
def test_class_files_that_cannot_be_meant(tmp_path: Path, text: str, fact: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with mistake("bad-file", fact):
        read_classes(tmp_path / "classes.txt")
    with mistake("bad-file", tmp_path / "nowhere.txt"):
        read_classes(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    "output",
    [
        torch.ones(4, 2),
        torch.ones(4, 2, 1, 1),
        (torch.ones(4, 2), torch.zeros(4, 7)),
        {"loss": torch.zeros(4), "logits": torch.ones(4, 2)},
        SimpleNamespace(loss=torch.zeros(4), logits=torch.ones(4, 2)),
        torch.ones(4, 2, dtype=torch.bfloat16),
    ],
)
def test_scores_are_found_in_what_networks_return(output: Any) -> None:
    scores = scores_in(output, 4)
    assert scores is not None
    assert scores.dtype == torch.float32
    assert scores.tolist() == [[1.0, 1.0]] * 4


def test_a_single_score_is_one_column() -> None:
    scores = scores_in(torch.arange(4.0), 4)
    assert scores is not None
    assert scores.shape == (4, 1)


@pytest.mark.parametrize("output", [torch.ones(4, 2, 3, 3), torch.ones(3, 2), torch.ones(4, 2).long(), None, "scores"])
def test_what_holds_no_scores(output: Any) -> None:
    assert scores_in(output, 4) is None


class Moody(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(len(x), 1)


class Herd(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean((0, 2, 3), keepdim=True))


class Map(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return self.see(x)


class Blind(Toy):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no light\nat all")


def flat() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 3))


@pytest.mark.parametrize(
    ("name", "code", "fact"),
    [
        ("Moody", "bad-model", "dropout"),
        ("Herd", "bad-model", "see.0"),
        ("Map", "bad-model", "[3, 6, 24, 24]"),
        ("Blind", "bad-model", "RuntimeError: no light"),
        ("flat", "bad-model", "[b, u, h, w]"),
        ("nothing", "unknown-name", "'nothing'"),
    ],
)
def test_what_is_no_classifier_is_refused_in_one_line(folder: Path, name: str, code: str, fact: str) -> None:
    spec = toy_spec(folder).replace("toy_classifier:Toy", f"{__name__}:{name}")
    with mistake(code, fact):
        open_subject(spec)


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ("&std=0,1,1", "bad-value", "std=(0.0, 1.0, 1.0)"),
        ("&mean=1", "bad-value", "mean=(1.0,)"),
        ("&mean=a,b,c", "bad-value", "mean='a,b,c'"),
        ("&size=0", "bad-value", "size=0"),
        ("&size=tall", "bad-value", "size='tall'"),
        ("&layers=sea", "unknown-name", "see"),
        ("&layers=head", "bad-model", "[b, 3]"),
        ("&split=test", "unknown-name", "blue, green, red"),
        ("&weights=nowhere.pt", "bad-file", "nowhere.pt"),
        ("&dtype=int8", "unknown-name", "int8"),
        ("&width=3", "unknown-name", "width"),
    ],
)
def test_options_that_cannot_be_meant(folder: Path, options: str, code: str, fact: str) -> None:
    with mistake(code, fact):
        open_subject(toy_spec(folder, options))


def test_one_image_is_too_few(tmp_path: Path) -> None:
    with mistake("bad-value", "2 images", tmp_path, 1):
        open_subject(toy_spec(write_images(tmp_path, 1)))


def test_the_network_is_frozen_and_keeps_no_hook(folder: Path) -> None:
    net = Toy().train()
    toy = as_classifier(net, View(open_images(str(folder)), CropSpec(SIDE)))
    toy.rest(toy.latents(range(2), 0), "see")
    toy.observe(toy.latents(range(2), 0), ["see"])
    assert not net.training
    assert not any(weight.requires_grad for weight in net.parameters())
    assert not any(part._forward_hooks or "forward" in vars(part) for part in net.modules())


class InParts(Toy):
    """Takes its images two at a time, its activation once before and once after the head's mean."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super(InParts, self).forward(part) for part in x.split(2)])


class OneByOne(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super(OneByOne, self).forward(x[i : i + 1]) for i in range(len(x))])


@pytest.mark.parametrize("kind", [InParts, OneByOne])
def test_images_that_are_taken_in_parts_are_joined(folder: Path, kind: type[Toy]) -> None:
    view = View(open_images(str(folder)), CropSpec(SIDE))
    parts, whole = as_classifier(kind(), view), as_classifier(Toy(), view)
    assert parts.layers == whole.layers
    z = whole.latents(range(7), 0)
    assert torch.equal(parts.observe(z, ["see"]).features["see"], whole.observe(z, ["see"]).features["see"])
    for _ in range(2):
        rest, expected = parts.rest(z, "see"), whole.rest(z, "see")
        assert torch.equal(rest.features, expected.features)
        assert torch.equal(rest.output, expected.output)
        r = torch.rand(expected.features.shape, generator=torch.Generator().manual_seed(0))
        assert torch.equal(rest(r), expected(r))
        assert rest.short


class Stretched(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x / x.amax(0, keepdim=True).clamp(min=0.1))


class Competing(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(0)


class Labelled(Toy):
    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return super().forward(x)


@pytest.mark.parametrize(
    ("net", "fact"),
    [
        (Stretched(), "see.0"),
        (Competing(), "Competing"),
        (Labelled(), "labels"),
        (nn.DataParallel(Competing()), "Competing"),
        (Toy().to("meta"), "see.0.weight"),
    ],
)
def test_networks_that_are_no_classifiers(folder: Path, net: nn.Module, fact: str) -> None:
    with mistake("bad-model", fact):
        as_classifier(net, View(open_images(str(folder)), CropSpec(SIDE)))


def test_small_images_are_shown_and_labelled_at_their_own_size(folder: Path) -> None:
    images = open_images(str(folder))
    for size, crop, given, expected in (
        *((12, 0.0, 0, 24), (12, 0.5, 0, 12), (12, 0.75, 0, 18), (24, 0.0, 0, 24), (30, 0.0, 0, 30), (12, 0.0, 48, 48)),
        *((12, 0.0, 6, 6), (200, 0.0, 0, 200)),
    ):
        view = View(images, CropSpec(size, crop), label_size=given)
        assert view.labelled == CropSpec(expected, crop)
    assert View(images, CropSpec((6, 12)), label_size=12).labelled == CropSpec((12, 24))
    net = as_classifier(Toy(), View(images, CropSpec(12)))
    seen = net.observe(net.latents(range(3), 0), ["see"])
    assert net.label_size == (24, 24)
    assert seen.images.shape == (3, 3, 24, 24)
    assert seen.features["see"].shape == (3, 6, 12, 12)
    assert seen.shown is not None
    assert seen.shown.crop == CropSpec(24)
    assert torch.equal(seen.images, images.images(seen.shown.indices, CropSpec(24)))
    specs = [toy_spec(folder, f"size=12{more}") for more in ("", "&label_size=12", "&label_size=24")]
    prints = [opened(spec).fingerprint for spec in specs]
    assert prints[0] == prints[2] != prints[1]
