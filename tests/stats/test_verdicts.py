import math

import numpy as np
import pytest
import torch

from ganatomy.stats.predictions import Predictions

CLASSES, IMAGES, TRIALS = 5, 60, 4
NUMBERS = np.random.default_rng(0)
TRUTH = NUMBERS.integers(0, CLASSES - 1, IMAGES)  # the last class has no images
SAID = np.where(NUMBERS.random((IMAGES, TRIALS)) < 0.5, TRUTH[:, None], NUMBERS.integers(0, CLASSES, (IMAGES, TRIALS)))
LIKELIHOOD = NUMBERS.normal(size=(IMAGES, TRIALS))


@pytest.fixture
def verdicts() -> Predictions:
    filled = Predictions(TRIALS)
    filled.update(torch.from_numpy(TRUTH), torch.from_numpy(SAID), torch.from_numpy(LIKELIHOOD))
    return filled


def mean_and_error(steps: np.ndarray) -> tuple[float, float]:
    return steps.mean(), steps.std(ddof=1) / math.sqrt(len(steps))


def test_each_class_is_read_as_by_hand(verdicts: Predictions) -> None:
    read = verdicts.read(CLASSES)
    for c in range(CLASSES - 1):
        own = c == TRUTH
        assert int(read.images[c]) == own.sum()
        for t in range(TRIALS):
            right, spared = SAID[own, t] == c, SAID[~own, t] != c
            assert float(read.recall[t, c]) == pytest.approx(right.mean())
            assert float(read.balanced[t, c]) == pytest.approx((right.mean() + spared.mean()) / 2)
            change, error = mean_and_error(right * 1.0 - (SAID[own, 0] == c))
            kept, kept_error = mean_and_error(spared * 1.0 - (SAID[~own, 0] != c))
            assert float(read.recall_change[t, c]) == pytest.approx(change)
            assert float(read.recall_error[t, c]) == pytest.approx(error, abs=1e-12)
            assert float(read.balanced_change[t, c]) == pytest.approx((change + kept) / 2)
            assert float(read.balanced_error[t, c]) == pytest.approx(math.hypot(error, kept_error) / 2, abs=1e-12)
            step = LIKELIHOOD[own, t] - LIKELIHOOD[own, 0]
            assert float(read.likelihood_change[t, c]) == pytest.approx(step.mean(), abs=1e-6)


def test_a_class_without_images_tells_nothing(verdicts: Predictions) -> None:
    read, overall = verdicts.read(CLASSES), verdicts.overall(CLASSES)
    assert int(read.images[-1]) == 0
    for table in read[1:]:
        assert bool(table[:, -1].isnan().all())
        assert not bool(table[:, :-1].isnan().any())
    assert not any(bool(column.isnan().any()) for column in overall)


def test_all_classes_together(verdicts: Predictions) -> None:
    overall, read = verdicts.overall(CLASSES), verdicts.read(CLASSES)
    for t in range(TRIALS):
        right = (SAID[:, t] == TRUTH) * 1.0
        change, error = mean_and_error(right - (SAID[:, 0] == TRUTH))
        assert float(overall.accuracy[t]) == pytest.approx(right.mean())
        assert float(overall.accuracy_change[t]) == pytest.approx(change)
        assert float(overall.accuracy_error[t]) == pytest.approx(error, abs=1e-12)
        assert float(overall.balanced[t]) == pytest.approx(float(read.recall[t, :-1].mean()))
        errors = read.recall_error[t, :-1].numpy()
        assert float(overall.balanced_error[t]) == pytest.approx(np.sqrt((errors**2).sum()) / (CLASSES - 1), abs=1e-12)


def test_errors_are_those_that_many_samples_show() -> None:
    """Images drawn again and again: the spread of the change is the error that one sample states."""
    source = torch.Generator().manual_seed(0)
    changes, errors = [], []
    for _ in range(300):
        truth = torch.randint(3, (200,), generator=source)
        said = torch.stack([truth, truth], 1)
        for t, wrong in ((0, 0.2), (1, 0.4)):
            off = torch.rand(200, generator=source) < wrong
            said[off, t] = torch.randint(3, (int(off.sum()),), generator=source)
        verdicts = Predictions(2)
        verdicts.update(truth, said, torch.zeros(200, 2))
        read = verdicts.read(3)
        changes.append(float(read.balanced_change[1, 0]))
        errors.append(float(read.balanced_error[1, 0]))
    assert np.mean(errors) == pytest.approx(np.std(changes), rel=0.12)


def test_rows_are_images(verdicts: Predictions) -> None:
    part = verdicts.rows(10, 30)
    assert part.truth.tolist() == TRUTH[10:30].tolist()
    assert part.predicted.tolist() == SAID[10:30].tolist()
