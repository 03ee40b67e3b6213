"""Checkpoints as named tensors: read, verify, load. The only `torch.load`; no checkpoint ever runs code."""

import hashlib
import pickle
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ganatomy.errors import BadFile
from ganatomy.files import check_unfolding

State = dict[str, Tensor]

DAMAGE = (
    *(LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RuntimeError, EOFError, OSError),
    *(MemoryError, struct.error),
)
"""What readers raise for files that are damaged, or made to ask for what nobody has."""
HEADS = SyntaxError, tokenize.TokenError
"""What numpy raises for heads of arrays, which are literals of Python."""
AS_TORCHSCRIPT = "a network that torch.jit.trace recorded opens as torchscript:FILE"


def read_state(path: Path, prefix: str = "") -> State:
    """Read the tensors of a ``.safetensors``, ``.pt``/``.pth``/``.ckpt``/``.bin`` or ``.npz`` file, by name.

    A ``.npy`` file holds one without a name; it takes that of the file.

    A dictionary that wraps the tensors under ``state_dict`` is unwrapped. Where the file holds more than one network,
    `prefix` picks the tensors whose names begin with it, such as ``decoder.``, and takes it off their names.

    Raises:
        BadFile: missing, cut off, of another format, holding something other than tensors, or with NaN or Inf; names
            the file and the tensor.
    """
    if not path.is_file():
        raise BadFile(f"{path}: no such file")
    readers = {".safetensors": _read_safetensors, ".npz": _read_npz, ".npy": _read_npy}
    state = readers.get(path.suffix, _read_torch)(path)
    if not state:
        raise BadFile(f"{path}: holds no tensors")
    check_finite(state, str(path))
    picked = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not picked:
        raise BadFile(f"{path}: no tensor's name begins with {prefix!r}; the first is {next(iter(state))}")
    return picked


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that hold NaN or Inf.

    Raises:
        BadFile: names the source and the first such tensor.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BadFile(f"{source}: tensor {name} holds NaN or Inf")


def _read_safetensors(path: Path) -> State:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, MemoryError) as error:
        raise BadFile(f"{path}: not a whole safetensors file ({error})") from error


def _read_npz(path: Path) -> State:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            check_unfolding(arrays.zip, path.stat().st_size)
            return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
    except (*DAMAGE, *HEADS, zipfile.BadZipFile, zlib.error) as error:
        raise BadFile(f"{path}: not a whole npz file of plain arrays ({error})") from error


def _read_npy(path: Path) -> State:
    try:
        with path.open("rb") as file:
            return {path.stem: torch.from_numpy(np.load(file, allow_pickle=False))}
    except (*DAMAGE, *HEADS) as error:
        raise BadFile(f"{path}: not a whole npy file of plain numbers ({error})") from error


def _read_torch(path: Path) -> State:
    _refuse_programs(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # about what is refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it holds a {found[1]}" if found else str(error).split("\n")[0]
        raise BadFile(
            f"{path}: not a state dict of plain tensors ({what}); where you trust the file, load it in Python, "
            "save net.state_dict(), and give that to torch:package.module:callable?weights=FILE"
        ) from error
    except (*DAMAGE, AssertionError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise BadFile(f"{path}: not a whole PyTorch checkpoint ({reason})") from error
    return _tensors(content, path)


def _refuse_programs(path: Path) -> None:
    """Refuse whole networks, as torch.export and TorchScript keep them, and say what to do with them."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_unfolding(archive, path.stat().st_size)
            kinds = {name.partition("/")[2].partition("/")[0] for name in archive.namelist()}
    except (zipfile.BadZipFile, NotImplementedError):
        return
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: not a whole PyTorch checkpoint ({error})") from error
    if "models" in kinds:
        raise BadFile(f"{path}: not a state dict but a program of torch.export; open it as exported:{path}")
    if {"code", "constants.pkl"} <= kinds:
        raise BadFile(f"{path}: not a state dict but a TorchScript program; {AS_TORCHSCRIPT}")


def _tensors(content: Any, path: Path) -> State:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise BadFile(f"{path}: holds a {type(content).__name__}, not a state dict")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise BadFile(f"{path}: entry {name!r} is a {type(value).__name__}, not a tensor")
    return {str(name): value for name, value in content.items()}


def fit_state(module: torch.nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict into a module, all of it and nothing else.

    Raises:
        BadFile: missing, extra or misshaped tensors; names the source and the first of them.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in own]
    if missing:
        raise BadFile(f"{source}: lacks tensor {missing[0]}" + _more(missing) + _hint(missing, extra))
    if extra:
        raise BadFile(f"{source}: has a tensor that the model lacks, {extra[0]}" + _more(extra))
    for name in own:
        if name in state and state[name].shape != own[name].shape:
            given, expected = list(state[name].shape), list(own[name].shape)
            raise BadFile(f"{source}: tensor {name} has shape {given}, the model needs {expected}")
    module.load_state_dict(dict(state), strict=False)


def _hint(missing: list[str], extra: list[str]) -> str:
    """Say so if all that is missing is there under a prefix."""
    prefixes = (name.removesuffix(missing[0]) for name in extra if name.endswith(f".{missing[0]}"))
    fits = next((prefix for prefix in prefixes if {prefix + name for name in missing} <= set(extra)), None)
    return f"; it has {fits}{missing[0]}, so give prefix={fits}" if fits else ""


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def fingerprint(state: Mapping[str, Tensor], *facts: object) -> str:
    """Return a sha256 over the names, types, shapes and bytes of tensors, and over any other facts that matter."""
    digest = hashlib.sha256(repr(facts).encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
