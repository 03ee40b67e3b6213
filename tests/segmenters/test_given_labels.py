from pathlib import Path

import pytest
import torch
from toy_classifier import SIDE, write_pictures

from ganatomy.errors import BadFile, BadModel, BadValue
from ganatomy.experiments.models import Models
from ganatomy.generators import Observation
from ganatomy.pictures import Frame, Shown
from ganatomy.segmenters import Segmenter, open_segmenter
from ganatomy.segmenters.labels import GivenLabels


def labels_of(directory: Path) -> GivenLabels:
    opened = open_segmenter(f"labels:{directory}")
    assert isinstance(opened, GivenLabels)
    assert isinstance(opened, Segmenter)
    return opened


def test_labels_are_those_of_the_set(tmp_path: Path) -> None:
    labels = labels_of(write_pictures(tmp_path, 6))
    frame = Frame(SIDE)
    shown = Shown(labels.pictures.fingerprint, (4, 0), frame)
    assert torch.equal(labels.of(shown), labels.pictures.labels([4, 0], frame))
    seen = Observation(torch.zeros(2, 3, SIDE, SIDE), {}, shown)
    assert torch.equal(Models("planted", labels, "cpu").labels(seen), labels.of(shown))
    assert Models("planted", "colors", "cpu").labels(seen).shape == (2, 1, SIDE, SIDE)


def test_other_pictures_have_no_labels(tmp_path: Path) -> None:
    labels = labels_of(write_pictures(tmp_path, 6))
    with pytest.raises(BadModel, match="are of the pictures of that set alone"):
        labels(torch.zeros(1, 3, SIDE, SIDE))
    with pytest.raises(BadModel, match="are of the pictures of that set alone"):
        labels.of(None)
    with pytest.raises(BadValue, match="are of other pictures than the classifier looks at"):
        labels.of(Shown("0" * 64, (0,), Frame(SIDE)))


def test_pictures_without_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="has no label maps; they lie in labels/PLANE"):
        labels_of(write_pictures(tmp_path, 6, labels=False))
