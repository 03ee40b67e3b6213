"""What studies have counted, and whether it is the same."""

from pathlib import Path

import torch

from ganatomy.core.tensor_files import Archive


def steps(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of every step of every study, by its path; those that keep times are left out."""
    found = {}
    for path in sorted(set(out.glob("**/steps/*.npz")) - set(out.glob("**/alpha-*"))):
        found[str(path.relative_to(out))] = dict(Archive(path))
    return found


def assert_same_steps(found: Path, expected: Path) -> None:
    """Studies below two directories have counted the same."""
    own, others = steps(found), steps(expected)
    assert own.keys() == others.keys() != set()
    for name, tensors in others.items():
        assert_same(own[name], tensors, name)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], of: str) -> None:
    """Counts are the same to the bit, sums of floats up to rounding."""
    assert found.keys() == expected.keys(), of
    for name, tensor in expected.items():
        how = {"rtol": 1e-12, "atol": 1e-12} if tensor.dtype == torch.float64 else {"rtol": 0.0, "atol": 0.0}
        assert torch.allclose(found[name], tensor, **how, equal_nan=True), f"{of}: {name}"
