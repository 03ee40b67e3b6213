"""Programs of strangers call no operator that ends the process when it is handed nonsense."""

import re
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from mistakes import mistake
from torch import nn

from ganatomy.models.generators import open_generator
from ganatomy.models.generators.exported import is_sound

UNSOUND = ["_stack", "_fft_r2c", "_scaled_mm", "_sobol_engine_draw", "promote_types", "relu_backward", "set_"]


def net() -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(4, 3, 16), nn.ReLU(), nn.Tanh()).eval()


def rewritten(path: Path, pattern: str, change: str) -> Path:
    """Change the text files of a zip."""
    target = path.with_name(f"changed{path.suffix}")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            text = name.endswith((".json", ".py"))
            new.writestr(name, re.sub(pattern, change, content.decode()).encode() if text else content)
    return target


@pytest.mark.parametrize("operator", UNSOUND)
def test_unsound_operators_are_refused(tmp_path: Path, operator: str) -> None:
    z = torch.zeros(2, 4, 1, 1)
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(net(), z), tmp_path / "net.pt")
        torch.export.save(torch.export.export(net(), (z,)), tmp_path / "net.pt2")
    trace = rewritten(tmp_path / "net.pt", r"torch\.relu\(", f"torch.{operator}(")
    with mistake("bad-file", f"torch.{operator}"):
        open_generator(f"torchscript:{trace}")
    program = rewritten(tmp_path / "net.pt2", r"aten\.relu\.default", f"aten.{operator}.default")
    with mistake("bad-file", f"torch.ops.aten.{operator}.default"):
        open_generator(f"exported:{program}")


def test_what_networks_call_is_sound() -> None:
    usual = ["conv2d", "conv_transpose2d", "batch_norm", "upsample_bilinear2d", "_convolution", "_to_copy"]
    assert all(map(is_sound, [*usual, "_unsafe_view", "linalg_vector_norm", "sym_size", "add_"]))
