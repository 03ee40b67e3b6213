"""Changes and their errors, against lists of images."""

import numpy as np
import pytest
import torch

from ganatomy.stats.paired import PairedChange

GENERATOR = torch.Generator().manual_seed(0)
PIXELS, IMAGES, TRIALS, CONCEPTS = 50, 40, 2, 3
BEFORE = torch.randint(1, PIXELS, (TRIALS, IMAGES, CONCEPTS), generator=GENERATOR)
AFTER = (BEFORE // 2 + torch.randint(20, BEFORE.shape, generator=GENERATOR)).clamp(max=PIXELS)
BEFORE[:, :, 0] = AFTER[:, :, 0] = PIXELS
BEFORE[1, :, 2] = 0


def counted() -> PairedChange:
    change = PairedChange(TRIALS, CONCEPTS)
    change.update(BEFORE, AFTER)
    return change


def test_means_changes_and_their_errors_are_those_of_the_lists() -> None:
    found = counted().read()
    before, after = BEFORE.numpy() / PIXELS, AFTER.numpy() / PIXELS
    np.testing.assert_allclose(found.before.numpy(), before.mean(1))
    np.testing.assert_allclose(found.after.numpy(), after.mean(1))
    np.testing.assert_allclose(found.change.numpy(), (after - before).mean(1), atol=1e-15)
    error = (after - before).std(1, ddof=1) / np.sqrt(IMAGES)
    np.testing.assert_allclose(found.change_error.numpy(), error, atol=1e-12)


def test_the_error_of_a_ratio_is_that_of_its_residuals() -> None:
    found = counted().read()
    before, after = BEFORE[0, :, 1].numpy() / PIXELS, AFTER[0, :, 1].numpy() / PIXELS
    ratio = after.mean() / before.mean()
    error = (after - ratio * before).std(ddof=1) / np.sqrt(IMAGES) / before.mean()
    assert float(found.relative[0, 1]) == pytest.approx(ratio - 1)
    assert float(found.relative_error[0, 1]) == pytest.approx(error)


def test_the_error_of_a_ratio_is_the_spread_of_ratios_over_samples() -> None:
    """Drawn again and again, the ratio varies as much as its error says."""
    source = np.random.default_rng(0)
    ratios, errors = [], []
    for _ in range(300):
        before = source.integers(1, PIXELS, (1, 80, 1))
        after = np.minimum(source.binomial(before, 0.4), PIXELS)
        full = np.full_like(before, PIXELS)
        change = PairedChange(1, 2)
        change.update(*(torch.from_numpy(np.concatenate([full, each], 2)) for each in (before, after)))
        read = change.read()
        ratios.append(float(read.relative[0, 1]))
        errors.append(float(read.relative_error[0, 1]))
    assert np.std(ratios) == pytest.approx(np.mean(errors), rel=0.12)


def test_what_was_never_there_has_no_relative_change() -> None:
    found = counted().read()
    assert found.change[1, 2] > 0
    assert found.relative[1, 2].isnan()
    assert found.relative_error[1, 2].isnan()


def test_a_single_image_has_no_error() -> None:
    change = PairedChange(TRIALS, CONCEPTS)
    change.update(BEFORE[:, :1], AFTER[:, :1])
    found = change.read()
    assert found.change_error.isnan().all()
    assert found.change[0, 1].isfinite()
