"""Stand-ins for other objects in checkpoints, without code: numpy numbers, settings, paths."""

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ganatomy.models.weights.pickles import CODES


class Format:
    """A numpy dtype; text and objects are not read."""

    def __init__(self, code: Any = None, *_: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and state[1:2] in (("<",), (">",)):
            self.order = state[1]

    def _decode(self, raw: Any) -> npt.NDArray[Any] | None:
        known = self.code in CODES and isinstance(raw, bytes)
        return np.frombuffer(raw, f"{self.order}{self.code}") if known else None


class Numbers:
    """A numpy array; None where its values are no numbers."""

    values: npt.NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, form, fortran, raw = state
        found = form._decode(raw) if isinstance(form, Format) else None
        self.values = None if found is None else found.reshape(shape, order="F" if fortran is True else "C")


class Settings:
    """An object of which nothing is kept."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _scalar(form: Any, raw: Any = None) -> Any:
    found = form._decode(raw) if isinstance(form, Format) else None
    return None if found is None else found.item()


def _array(*_: object) -> Numbers:
    return Numbers()


LIGHTNING = "lightning.fabric", "lightning_fabric", "lightning.pytorch", "pytorch_lightning"
STAND_INS: Mapping[str, Any] = {
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},  # before numpy 2, and since
    **{f"numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
    "numpy.ndarray": Numbers,
    "numpy.dtype": Format,
    "argparse.Namespace": Settings,
    **{f"{package}.utilities.{where}.AttributeDict": dict for package in LIGHTNING for where in ("data", "parsing")},
    **{
        f"{package}.{system}Path": Settings
        for package in ("pathlib", "pathlib._local")
        for system in ("Posix", "Windows")
    },
}
"""Stand-ins by the name in the checkpoint."""


def inert_globals() -> contextlib.AbstractContextManager[Any]:
    """Let PyTorch's reader resolve these names to the stand-ins."""
    if torch.torch_version.TorchVersion(torch.__version__) < "2.6":  # which cannot rename
        return contextlib.nullcontext()
    return torch.serialization.safe_globals([(value, name) for name, value in STAND_INS.items()])
