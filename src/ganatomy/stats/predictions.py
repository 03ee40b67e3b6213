"""Predicted classes of images before and after each of several edits: accuracy per class, with errors."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ganatomy.stats.base import Accumulator, Merge, concat


class ClassAccuracy(NamedTuple):
    """Accuracy of each class, float64 [trials, classes]; NaN for a class without images.

    Changes are against the first trial, errors the standard errors of changes over the same images. `balanced` is of
    one class against all others, the mean of sensitivity and specificity; `likelihood_change` is the mean change of the
    log-probability of the true class.
    """

    images: Int64[Tensor, " c"]
    recall: Tensor
    recall_change: Tensor
    recall_error: Tensor
    balanced: Tensor
    balanced_change: Tensor
    balanced_error: Tensor
    likelihood_change: Tensor


class Overall(NamedTuple):
    """Accuracy over all images, and `balanced`, the mean of the classes' recalls; each float64 [trials]."""

    accuracy: Tensor
    accuracy_change: Tensor
    accuracy_error: Tensor
    balanced: Tensor
    balanced_change: Tensor
    balanced_error: Tensor


class Predictions(Accumulator):
    """True and predicted class of each image in each trial; the first trial is no edit.

    Attributes:
        truth: int64 [images].
        predicted: int32 [images, trials], the class of the greatest score.
        likelihood: float32 [images, trials], the log-probability (softmax) of the class that it has.
    """

    FIELDS: ClassVar[Mapping[str, Merge]] = {"truth": concat, "predicted": concat, "likelihood": concat}

    def __init__(self, trials: int, device: torch.device | str = "cpu") -> None:
        self.truth = torch.zeros(0, dtype=torch.long, device=device)
        self.predicted = torch.zeros(0, trials, dtype=torch.int32, device=device)
        self.likelihood = torch.zeros(0, trials, dtype=torch.float32, device=device)

    def update(self, *batch: Tensor) -> None:
        """Take in (truth [b], predicted [b, trials], likelihood [b, trials])."""
        truth, predicted, likelihood = batch
        self.truth = torch.cat([self.truth, truth])
        self.predicted = torch.cat([self.predicted, predicted.to(torch.int32)])
        self.likelihood = torch.cat([self.likelihood, likelihood.float()])

    def rows(self, start: int, stop: int) -> "Predictions":
        """Return some of the images, in their order."""
        return self.from_state({name: table[start:stop] for name, table in self.state_dict().items()})

    def read(self, classes: int) -> ClassAccuracy:
        """Return the accuracy of each class, with errors of paired differences (as in McNemar's test)."""
        predicted, truth = self.predicted.long(), self.truth[:, None]
        right, kept = predicted == truth, predicted == predicted[:, :1]
        own = torch.bincount(self.truth, minlength=classes)
        others = len(self.truth) - own
        hits = _counted(predicted, right, classes)
        alarms = _counted(predicted, ~right, classes)
        change, variance = _paired(hits, _counted(predicted, right & kept, classes), own)
        wrong, wrong_variance = _paired(alarms, _counted(predicted, ~right & kept, classes), others)
        return ClassAccuracy(
            images=own,
            recall=hits / own,
            recall_change=change,
            recall_error=variance.sqrt(),
            balanced=(hits / own + 1 - alarms / others) / 2,
            balanced_change=(change - wrong) / 2,
            balanced_error=(variance + wrong_variance).sqrt() / 2,
            likelihood_change=self._mean(self.likelihood.double() - self.likelihood[:, :1], classes),
        )

    def overall(self, classes: int) -> Overall:
        """Return the accuracy over all classes that have images."""
        right = (self.predicted.long() == self.truth[:, None]).double()
        step = right - right[:, :1]
        each = self.read(classes)
        shown = each.images > 0
        return Overall(
            accuracy=right.mean(0),
            accuracy_change=step.mean(0),
            accuracy_error=step.std(0) / len(step) ** 0.5,
            balanced=each.recall[:, shown].mean(1),
            balanced_change=each.recall_change[:, shown].mean(1),
            balanced_error=each.recall_error[:, shown].square().sum(1).sqrt() / shown.sum(),
        )

    def _mean(self, each: Float64[Tensor, "n t"], classes: int) -> Float64[Tensor, "t c"]:
        total = each.new_zeros(classes, each.shape[1]).index_add(0, self.truth, each)
        return (total / torch.bincount(self.truth, minlength=classes)[:, None]).T


def _counted(predicted: Int64[Tensor, "n t"], which: Tensor, classes: int) -> Float64[Tensor, "t c"]:
    """Return how often each trial predicts each class, over the images for which `which` holds."""
    trials = predicted.shape[1]
    keys = predicted + classes * torch.arange(trials, device=predicted.device)
    return torch.bincount(keys[which], minlength=trials * classes).view(trials, classes).double()


def _paired(counts: Float64[Tensor, "t c"], both: Float64[Tensor, "t c"], n: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean change of counts / n against the first trial, and its variance; `both`: in that trial, too."""
    change = (counts - counts[:1]) / n
    square = (counts + counts[:1] - 2 * both) / n
    return change, (square - change.square()).clamp(min=0) / (n - 1)  # below 0 by rounding alone
