"""How thresholds of segmenters for words are chosen on images."""

import math
from collections.abc import Callable

import pytest
import torch
from open_words import ScoredWords

from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.segmenters.module import as_segmenter
from ganatomy.models.segmenters.thresholds import calibrate, separation


def ramp(count: int = 12) -> Images:
    """Images whose first channel takes every value from 0 to 1 about as often."""
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_thresholds_of_the_best_iou() -> None:
    """Above 0.62 the reference shows the tree; a fifth of the pixels below are taken for it with scores to 0.7."""
    noise = torch.rand(12, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.7
    segmenter = ScoredWords({"tree": lambda x: torch.where(x > 0.8, noise[: len(x)], x)}, [0.3])
    reference = as_segmenter(lambda x: (x[:, 0] > 0.62).long(), [NOTHING, Concept("tree", "object")])
    images = ramp(8)  # one piece, or the noise would be another
    (found,) = calibrate(segmenter, images, reference)
    scores, truth = segmenter.scores(images)[:, 0], images[:, 0] > 0.62
    iou = {
        t / 1000: float(((scores >= t / 1000) & truth).sum() / ((scores >= t / 1000) | truth).sum())
        for t in range(1001)
    }
    assert found.how == "reference"
    assert found.quality == pytest.approx(max(iou.values()))
    assert iou[found.threshold] == pytest.approx(max(iou.values()))
    assert found.shown == pytest.approx(float((scores >= found.threshold).float().mean()))


def test_the_threshold_lies_in_the_middle_of_those_that_are_as_good() -> None:
    segmenter = ScoredWords({"tree": lambda x: torch.where(x > 0.5, 0.9, 0.1)}, [0.3])
    reference = as_segmenter(lambda x: (x[:, 0] > 0.5).long(), [NOTHING, Concept("tree", "object")])
    for found in (calibrate(segmenter, ramp(), reference)[0], calibrate(segmenter, ramp())[0]):
        assert found.threshold == pytest.approx(0.5, abs=0.002)
        assert found.quality == pytest.approx(1)


def test_without_a_reference_two_groups_of_scores_are_told_apart() -> None:
    """A reference that does not know the concept, or never sees it, is none."""
    modes = {"tree": lambda x: torch.where(x > 0.7, 0.5 + x / 4, 0.1 + x / 5)}  # 0.1 to 0.24, and 0.675 to 0.75
    other = as_segmenter(lambda x: (x[:, 0] > 0.5).long(), [NOTHING, Concept("door", "object")])
    blind = as_segmenter(lambda x: (x[:, 0] > 2).long(), [NOTHING, Concept("tree", "object")])
    for reference in (None, other, blind):
        (found,) = calibrate(ScoredWords(modes, [0.3]), ramp(), reference)
        assert found.how == "split"
        assert 0.24 < found.threshold < 0.675
        assert found.quality > 0.9
        assert found.shown == pytest.approx(0.3, abs=0.01)


def test_what_is_nowhere_keeps_its_threshold() -> None:
    """Scores of an absent concept fall into two groups as well, both low."""
    low = {"boat": lambda x: torch.where(x > 0.7, 0.04, 0.001)}
    (found,) = calibrate(ScoredWords(low, [0.35]), ramp())
    assert found[:3] == ("boat", 0.35, "kept")
    assert math.isnan(found.quality)
    assert found.shown == 0


def test_separation_is_the_share_of_variance_between_the_groups() -> None:
    values = torch.tensor([0, 0, 1, 2, 4, 4, 4, 5])
    shares = separation(torch.bincount(values, minlength=7).double())
    numbers_ = values.double()
    for cut in range(7):
        low, high = numbers_[values < cut], numbers_[values >= cut]
        between = sum(len(g) * float(g.mean() - numbers_.mean()) ** 2 for g in (low, high) if len(g))
        expected = between / float(((numbers_ - numbers_.mean()) ** 2).sum())
        assert float(shares[cut]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [(["bundled:scenes"], "bundled:scenes"), (["colors", "--images", "0"], "--images 0")],
)
def test_what_cannot_be_calibrated(arguments: list[str], fact: str, refused: Callable[..., None]) -> None:
    refused(["calibrate", *arguments], fact)
