import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_classifier import CLASSES, SIDE, Toy, toy_spec, write_pictures

from ganatomy.errors import BadFile, BadModel, BadValue, GanatomyError, UnknownName
from ganatomy.generators import open_subject
from ganatomy.generators.classifier import Classifier, View, as_classifier, read_classes, scores_in
from ganatomy.pictures import Frame, open_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "toys", 12)


def opened(spec: str) -> Classifier:
    found = open_subject(spec)
    assert isinstance(found, Classifier)
    return found


def test_the_toy_tells_every_class(folder: Path) -> None:
    toy = opened(toy_spec(folder))
    z = toy.latents(range(12), 0)
    assert (toy.classes, toy.scores) == (tuple(CLASSES), 3)
    assert torch.equal(toy.rest(z, "see").output.argmax(1), toy.truth(z))


def test_pictures_are_given_as_the_network_takes_them(folder: Path) -> None:
    view = View(open_pictures(str(folder)), Frame(SIDE), mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    grey = torch.zeros(1, 3, 2, 2)
    assert torch.allclose(view.given(grey)[0, :, 0, 0], torch.tensor([0.4, 0.15, 0.05]))
    assert torch.equal(View(view.pictures, view.frame).given(grey + 0.5), grey + 0.5)


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
    view = View(open_pictures(str(folder)), Frame(SIDE))
    five = as_classifier(net, view)
    with pytest.raises(BadValue, match="gives 5 scores and there are 3 classes; say what each score stands for: cla"):
        five.truth(five.latents(range(2), 0))
    named = as_classifier(net, view, classes=["a", "red", "b", "green", "blue"])
    z = named.latents(range(12), 0)
    own = view.pictures.truth(view.shown(z).numbers)
    assert [named.classes[i] for i in named.truth(z)] == [CLASSES[i] for i in own]
    with pytest.raises(UnknownName, match="class among those of the scores of Toy 'green'"):
        as_classifier(net, view, classes=["a", "red", "b", "c", "blue"])


@pytest.mark.parametrize(("text", "said"), [("a\nb\na\n", "has the class 'a' twice"), ("\n\n", "names no classes")])
def test_class_files_that_cannot_be_meant(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(BadFile, match=said):
        read_classes(tmp_path / "classes.txt")
    with pytest.raises(BadFile, match="cannot be read"):
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
    ("name", "said"),
    [
        ("Moody", "scores a picture differently every time"),
        ("Herd", "by what else is in its batch"),
        ("Map", r"returns \[2, 6, 24, 24\] for 2 pictures; it must return scores"),
        ("Blind", "raised RuntimeError: no light$"),
        ("flat", "has no layer"),
        ("nothing", "unknown callable"),
    ],
)
def test_what_is_no_classifier_is_refused_in_one_line(folder: Path, name: str, said: str) -> None:
    spec = toy_spec(folder).replace("toy_classifier:Toy", f"{__name__}:{name}")
    with pytest.raises(GanatomyError, match=said) as caught:
        open_subject(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ("&std=0,1,1", BadValue, "give three numbers each"),
        ("&mean=1", BadValue, "give three numbers each"),
        ("&mean=a,b,c", BadValue, "no series of numbers"),
        ("&size=0", BadValue, "give the height and width"),
        ("&size=tall", BadValue, "is not of type int"),
        ("&layers=sea", UnknownName, "did you mean see"),
        ("&layers=head", BadModel, r"layer head of .* is not spatial: its output is \[b, 3\]"),
        ("&split=test", UnknownName, "unknown split"),
        ("&weights=nowhere.pt", BadFile, "no such file"),
        ("&dtype=int8", UnknownName, "unknown dtype"),
        ("&width=3", UnknownName, "unknown option"),
    ],
)
def test_options_that_cannot_be_meant(folder: Path, options: str, kind: type[GanatomyError], said: str) -> None:
    key = options.partition("=")[0]
    spec = re.sub(rf"{key}=[^&]*", "", toy_spec(folder))
    with pytest.raises(kind, match=said) as caught:
        open_subject(spec + options)
    assert "\n" not in str(caught.value)


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match=r"takes 2 pictures and .* has 1"):
        open_subject(toy_spec(write_pictures(tmp_path, 1)))


def test_the_network_is_frozen_and_keeps_no_hook(folder: Path) -> None:
    net = Toy().train()
    toy = as_classifier(net, View(open_pictures(str(folder)), Frame(SIDE)))
    toy.rest(toy.latents(range(2), 0), "see")
    toy.observe(toy.latents(range(2), 0), ["see"])
    assert not net.training
    assert not any(weight.requires_grad for weight in net.parameters())
    assert not any(part._forward_hooks or "forward" in vars(part) for part in net.modules())
