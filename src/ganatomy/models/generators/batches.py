"""An image must be a function of its latent alone: not of chance, nor of what else is in its batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Features
from ganatomy.models.generators.protocol import Edit
from ganatomy.models.wrapped import dtype_of

Hook = Callable[[str, Any, Any], Any]
"""Is called with the name, output and inputs of a submodule."""
Hooked = Callable[[Hook], AbstractContextManager[None]]
Run = Callable[[Tensor], Tensor]

MIXED = ([0, 1, 1], [0, 0], [1, 1])
"""The batches that are compared: which of two inputs are in them."""
NEAR = 1e-4
"""How far outputs may differ between batches: the root mean square, as a share of their contrast."""
FAR = 0.2
"""From here on no rounding explains a difference."""
PEAK = 100
"""How many times farther a single value may be off."""
GROWTH = 4
"""How many times the effect of rounding the inputs a rounding difference may be: each layer rounds again."""


class _Row(NamedTuple):
    """The output of one row of a batch."""

    batch: Tensor
    row: int
    value: Tensor


def check_alone(run: Run, z: Tensor, module: nn.Module, hooked: Hooked, names: tuple[str, str]) -> Tensor:
    """Return the outputs of two inputs, after a check that each is a function of its own input.

    Three forward passes compare them in a batch of both, the second twice, with each alone, twice.

    Args:
        run: returns the outputs [b, …] of inputs [b, …].
        z: two inputs.
        module: what `run` runs.
        hooked: has a function called with the name, output and inputs of every submodule.
        names: of the module, and of its output, such as "image of a latent".

    Raises:
        BadModel: outputs differ from run to run, or between batches; names the first submodule whose output does.
    """
    batches = [z[rows] for rows in MIXED]
    mixed, *alone = [run(batch) for batch in batches]
    contrast = _contrast(torch.cat([mixed, *alone]))
    for row, which in enumerate(MIXED[0]):
        for i in range(2):
            one, other = _Row(batches[0], row, mixed[row]), _Row(batches[1 + which], i, alone[which][i])
            if _near(one.value, other.value, contrast) or _is_rounding(
                _distance(one.value, other.value), contrast, run, z, dtype_of(module)
            ):
                continue
            raise BadModel(_reason(run, (one, other), module, hooked, names))
    return mixed[:2]


def _near(one: Tensor, other: Tensor, contrast: float) -> bool:
    peak = float((one - other).nan_to_num().abs().max())
    return _distance(one, other) <= NEAR * contrast and peak <= PEAK * NEAR * contrast


@torch.no_grad()
def _is_rounding(off: float, contrast: float, run: Run, z: Tensor, dtype: torch.dtype) -> bool:
    """Return whether a difference is no greater than the effect of rounding the inputs."""
    if off > FAR * contrast:
        return False
    unit = max(torch.finfo(dtype).eps, 2**-20 if z.device.type == "cpu" else 2**-10)  # GPUs may convolve in 10 bits
    signs = torch.randint(0, 2, z.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    once, again, rounded = run(z), run(z), run(z * (1 + unit * signs.to(z)))
    return _distance(once, again) <= off / 4 and off <= GROWTH * _distance(once, rounded)  # noise would pass for it


def _reason(run: Run, pair: tuple[_Row, _Row], module: nn.Module, hooked: Hooked, names: tuple[str, str]) -> str:
    """Return why two outputs of the same input differ, with the first submodule whose output differs."""
    (name, what), (one, other) = names, pair
    inside = _outputs(run, one, hooked)
    if (path := _first_difference(inside, _outputs(run, one, hooked))) is not None:
        return (
            f"{name}: the {what} is another one every time{_described(module, path)}; turn off its dropout and its own "
            "noise, or make the noise a part of the latent"
        )
    path = _first_difference(inside, _outputs(run, other, hooked)) or ""
    return (
        f"{name}: the {what} depends on what else is in its batch, or on its place there{_described(module, path)}; "
        "it must depend on its own input alone: use running statistics, and take nothing over the batch"
    )


def _outputs(run: Run, of: _Row, hooked: Hooked) -> dict[str, Tensor]:
    """Return the row of what every submodule returns for a batch, in their order, and of the output under no name."""
    kept: dict[str, Tensor] = {}

    def keep(name: str, output: Any, _inputs: Any) -> None:
        if isinstance(output, Tensor) and output.ndim and len(output) == len(of.batch) and output.is_floating_point():
            kept[name] = output[of.row].float().clone()

    with torch.no_grad(), hooked(keep):
        kept[""] = run(of.batch)[of.row]
    return kept


def _first_difference(ones: dict[str, Tensor], others: dict[str, Tensor]) -> str | None:
    """Return the name of the first output that differs."""
    for name, one in ones.items():
        other = others.get(name)
        if other is None or other.shape != one.shape:
            continue
        if not _near(one, other, float(one.nan_to_num().double().square().mean().sqrt())):
            return name
    return None


def _described(module: nn.Module, path: str) -> str:
    if not path:
        return ""
    part = module.get_submodule(path.partition("#")[0])
    untracked = isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is None
    return f", first in {path} ({type(part).__name__}{' without running statistics' if untracked else ''})"


def _distance(one: Tensor, other: Tensor) -> float:
    """Return the root mean square of a difference."""
    return float((one - other).nan_to_num().double().square().mean().sqrt())


def _contrast(outputs: Tensor) -> float:
    """Return the standard deviation of outputs, of images that within a colour."""
    numbers = outputs.nan_to_num().double()
    if numbers.ndim == 4:
        numbers = numbers - numbers.mean((0, 2, 3), keepdim=True)
    return max(float(numbers.std()), 1e-6 * float(outputs.nan_to_num().abs().max()))


class ChunkedEdit:
    """An edit of a whole batch that gets its rows in chunks, in order; each time it is applied to all rows so far."""

    def __init__(self, edit: Edit, count: int) -> None:
        self.layer, self._edit, self._count = edit.layer, edit, count
        self._rows: list[Tensor] = []

    def __call__(self, r: Features) -> Features:
        """Return the edited features of the next rows."""
        start = sum(map(len, self._rows))
        self._rows.append(r)
        missing = r.new_zeros(self._count - start - len(r), *r.shape[1:])
        return self._edit(torch.cat([*self._rows, missing]))[start : start + len(r)]
