"""What a classifier said of each image, before and after each of several edits: accuracy per class, with errors."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, join


class ClassAccuracy(NamedTuple):
    """How well each class is told, float64; NaN for a class without images.

    Attributes:
        pictures: int64 [classes].
        recall: [trials, classes], the share of a class's images that are said to be of it.
        recall_change, recall_error: against the first trial, and its standard error over the same images.
        balanced: [trials, classes], one class against all others: the mean of recall and of the share of other
            images that are not said to be of it. 1/2 is chance.
        balanced_change, balanced_error: the same of that.
        likelihood_change: [trials, classes], mean change of the log-probability of their class over a class's images;
            it moves before any image is told otherwise.
    """

    pictures: Int64[Tensor, " c"]
    recall: Tensor
    recall_change: Tensor
    recall_error: Tensor
    balanced: Tensor
    balanced_change: Tensor
    balanced_error: Tensor
    likelihood_change: Tensor


class Overall(NamedTuple):
    """How well all classes are told, each float64 [trials].

    Attributes:
        accuracy: the share of all images that are told right; its change against the first trial, and the error.
        balanced: the mean of the classes' recalls; its change and error.
    """

    accuracy: Tensor
    accuracy_change: Tensor
    accuracy_error: Tensor
    balanced: Tensor
    balanced_change: Tensor
    balanced_error: Tensor


class Verdicts(Accumulator):
    """The class that each image has, and what is said of it in each trial; the first trial is no edit.

    Attributes:
        truth: int64 [images].
        said: int32 [images, trials], the class of the greatest score.
        likelihood: float32 [images, trials], the log-probability (softmax) of the class that it has.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"truth": join, "said": join, "likelihood": join}

    def __init__(self, trials: int, device: torch.device | str = "cpu") -> None:
        self.truth = torch.zeros(0, dtype=torch.long, device=device)
        self.said = torch.zeros(0, trials, dtype=torch.int32, device=device)
        self.likelihood = torch.zeros(0, trials, dtype=torch.float32, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (truth [b], said [b, trials], likelihood [b, trials])."""
        truth, said, likelihood = batch
        self.truth, self.said = torch.cat([self.truth, truth]), torch.cat([self.said, said.to(torch.int32)])
        self.likelihood = torch.cat([self.likelihood, likelihood.float()])

    def rows(self, start: int, stop: int) -> "Verdicts":
        """Return what was said of some of the images, in their order."""
        return self.from_state({name: table[start:stop] for name, table in self.state_dict().items()})

    def read(self, classes: int) -> ClassAccuracy:
        """Return how well each of so many classes is told.

        Errors are of paired differences (as McNemar's test has them): of the images that both trials tell alike, no
        matter how many, nothing is to be learnt.
        """
        said, truth = self.said.long(), self.truth[:, None]
        right, kept = said == truth, said == said[:, :1]
        own = torch.bincount(self.truth, minlength=classes)
        others = len(self.truth) - own
        hits = _counted(said, right, classes)
        alarms = _counted(said, ~right, classes)
        change, variance = _paired(hits, _counted(said, right & kept, classes), own)
        wrong, wrong_variance = _paired(alarms, _counted(said, ~right & kept, classes), others)
        return ClassAccuracy(
            pictures=own,
            recall=hits / own,
            recall_change=change,
            recall_error=variance.sqrt(),
            balanced=(hits / own + 1 - alarms / others) / 2,
            balanced_change=(change - wrong) / 2,
            balanced_error=(variance + wrong_variance).sqrt() / 2,
            likelihood_change=self._mean(self.likelihood.double() - self.likelihood[:, :1], classes),
        )

    def overall(self, classes: int) -> Overall:
        """Return how well all classes are told; those without images do not count."""
        right = (self.said.long() == self.truth[:, None]).double()
        step = right - right[:, :1]
        each = self.read(classes)
        shown = each.pictures > 0
        return Overall(
            accuracy=right.mean(0),
            accuracy_change=step.mean(0),
            accuracy_error=step.std(0) / len(step) ** 0.5,
            balanced=each.recall[:, shown].mean(1),
            balanced_change=each.recall_change[:, shown].mean(1),
            balanced_error=each.recall_error[:, shown].square().sum(1).sqrt() / shown.sum(),
        )

    def _mean(self, each: Float64[Tensor, "n t"], classes: int) -> Float64[Tensor, "t c"]:
        """Return the mean over the images of each class."""
        total = each.new_zeros(classes, each.shape[1]).index_add(0, self.truth, each)
        return (total / torch.bincount(self.truth, minlength=classes)[:, None]).T


def _counted(said: Int64[Tensor, "n t"], which: Tensor, classes: int) -> Float64[Tensor, "t c"]:
    """Return how often each trial says each class, of the images for which it says so and `which` holds."""
    trials = said.shape[1]
    keys = said + classes * torch.arange(trials, device=said.device)
    return torch.bincount(keys[which], minlength=trials * classes).view(trials, classes).double()


def _paired(counts: Float64[Tensor, "t c"], both: Float64[Tensor, "t c"], n: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean change of a share of n images against the first trial, and the variance of that mean.

    Args:
        counts: for how many it holds in each trial.
        both: for how many it holds in the first trial too.
        n: of how many.
    """
    change = (counts - counts[:1]) / n
    square = (counts + counts[:1] - 2 * both) / n
    return change, (square - change.square()).clamp(min=0) / (n - 1)  # below 0 by rounding alone
