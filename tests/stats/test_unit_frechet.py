"""The distances of all units at once beside one distance after the other."""

import pytest
import torch
from mistakes import mistake
from torch import Tensor

from ganatomy.core.progress import listening
from ganatomy.stats import unit_frechet as module
from ganatomy.stats.frechet import FeatureMoments, frechet_distance
from ganatomy.stats.unit_frechet import unit_frechet

IMAGES, WIDTH, UNITS = 500, 20, 7
SOURCE = torch.Generator().manual_seed(0)
MIX = torch.randn(WIDTH, WIDTH, generator=SOURCE) * torch.logspace(0, -2, WIDTH)


def drawn(images: int) -> Tensor:
    return (torch.randn(images, WIDTH, generator=SOURCE) @ MIX.T).relu() + 5


FEATURES = drawn(IMAGES)


def moments(x: Tensor) -> FeatureMoments:
    found = FeatureMoments(WIDTH)
    found.update(x)
    return found


REAL = moments(drawn(400))


def tops(m: int) -> Tensor:
    """Unit u likes what is strong in feature u, so that its images are like no other's."""
    return FEATURES[:, :UNITS].topk(m, 0).indices.T.contiguous()


@pytest.mark.parametrize("m", [2, WIDTH - 1, WIDTH, WIDTH + 1, 300])
@pytest.mark.parametrize("workspace", [1, 20_000, 1 << 25])
def test_each_is_the_distance_of_its_images(m: int, workspace: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORKSPACE", workspace)
    monkeypatch.setattr(module, "_block", lambda _: 8)  # so that WIDTH takes several
    found = unit_frechet(FEATURES, tops(m), REAL)
    one_by_one = [frechet_distance(REAL, moments(FEATURES[own])) for own in tops(m)]
    for name in ("distance", "means", "covariances"):
        expected = torch.stack([getattr(each, name) for each in one_by_one])
        torch.testing.assert_close(getattr(found, name), expected, rtol=1e-5, atol=0)


def test_features_far_from_zero_and_from_the_real_ones_keep_their_distance() -> None:
    far = FEATURES + 1000
    real = moments(drawn(400) + 900)
    expected = [float(frechet_distance(real, moments(far[own])).covariances) for own in tops(100)]
    assert unit_frechet(far, tops(100), real).covariances.tolist() == pytest.approx(expected, rel=1e-4)


def test_single_precision_costs_no_digits_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 64)
    exact = torch.stack([frechet_distance(REAL, moments(FEATURES[own])).distance for own in tops(400)])
    torch.testing.assert_close(unit_frechet(FEATURES, tops(400), REAL).distance, exact, rtol=5e-6, atol=0)


def test_it_is_in_double_precision_where_single_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []
    monkeypatch.setattr(module, "_add_lower", lambda _, y: seen.append(y.dtype))
    unit_frechet(FEATURES, tops(300), REAL)
    unit_frechet(FEATURES, tops(2 * WIDTH - 1), REAL)
    for precision in ("high", "medium"):
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda precision=precision: precision)
        unit_frechet(FEATURES, tops(300), REAL)
    assert seen == [torch.float32] + 3 * [torch.float64]


def test_a_unit_whose_images_are_spoilt_comes_first() -> None:
    spoilt = FEATURES.clone()
    spoilt[tops(20)[3]] *= 1.5
    assert unit_frechet(spoilt, tops(20), REAL).distance.argmax() == 3


@pytest.mark.parametrize("workspace", [1, module.WORKSPACE])
def test_features_may_be_written_over(workspace: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, without another table of their size; those of another precision get one, as their digits count."""
    monkeypatch.setattr(module, "WORKSPACE", workspace)
    samples = tops(50)
    expected = unit_frechet(FEATURES, samples, REAL)
    given = FEATURES.clone()
    found = unit_frechet(given, samples, REAL, overwrite=True)
    assert all(torch.equal(*pair) for pair in zip(found[:3], expected[:3], strict=True))
    changed = (given != FEATURES).any(1)
    assert changed[samples.unique()].all()
    assert int(changed.sum()) == len(samples.unique())
    double = FEATURES.double()
    unit_frechet(double, samples, REAL, overwrite=True)
    assert torch.equal(double, FEATURES.double())


def test_its_progress_is_told_in_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORKSPACE", 1)
    heard: list[int] = []
    with listening(heard.append):
        unit_frechet(FEATURES, tops(50), REAL)
    assert heard == [1] * UNITS


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (torch.tensor([[0, 1, -1]]), "images -1 to 1"),
        (torch.tensor([[0, 1, IMAGES]]), "images 0 to 500"),
        (torch.tensor([[0, 1, 2], [3, 4, 3]]), "same image twice"),
        (torch.tensor([[0], [1]]), "[2, 1]"),
        (torch.zeros(0, 5, dtype=torch.long), "[0, 5]"),
    ],
)
def test_images_that_make_no_sample_are_refused(given: Tensor, fact: str) -> None:
    with mistake("bad-value", fact):
        unit_frechet(FEATURES, given, REAL)


def test_features_that_cannot_be_compared_are_refused() -> None:
    with mistake("bad-value", "19 numbers", 20):
        unit_frechet(FEATURES[:, 1:], tops(5), REAL)
    broken = FEATURES.clone()
    broken[tops(5)[2, 4]] = torch.nan
    with mistake("bad-value", "NaN"):
        unit_frechet(broken, tops(5), REAL)
