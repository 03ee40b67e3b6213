"""The content of checkpoint files, by their format, whatever they are called; no file ever runs code."""

import pickle
import re
import threading
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from ganatomy.core.errors import BadFile
from ganatomy.core.files import DAMAGE, MOST, UNFOLDS, check_zip_ratio, read_json, require_regular_file
from ganatomy.models.weights.costs import copied_bytes
from ganatomy.models.weights.pickles import StubObject, read_pickle
from ganatomy.models.weights.sibling_files import inert_globals

HEADS = SyntaxError, tokenize.TokenError
"""Raised by numpy for headers of arrays, which are literals of Python."""
AS_TORCHSCRIPT = "a network that torch.jit.trace recorded opens as torchscript:FILE"
SAVE_PLAIN = (
    "where you trust the file, load it in Python, save net.state_dict(), and give that to "
    "torch:package.module:callable?weights=FILE"
)

KINDS = ("safetensors", "torch", "npz", "npy", "pickle", "json")
"""Kinds of files with tensors or networks that are no programs."""
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The first bytes of files of torch.save before 1.6."""
OTHERS: Mapping[bytes, str] = {
    b"version https://git-lfs": "a pointer of Git LFS and not the file itself; fetch that with: git lfs pull",
    b"<": "a web page or XML; download the file itself",
    b"\x89HDF": "an HDF5 file, as Keras saves it; save its weights as safetensors or npz",
    b"GGUF": "a GGUF file, whose weights are quantised; save those that are not as safetensors",
    b"\x1f\x8b": "packed by gzip; unpack it first",
}
"""Files that are no checkpoints, by their first bytes."""

LONGEST = 255
"""Most bytes of a file's name."""
_LOCK = threading.Lock()
"""Held while the process's list of safe globals has our stand-ins."""


def kind_of(path: Path) -> str:
    """Return the format of a file by its first bytes, one of `KINDS`, ``script`` or ``program``; else its ending."""
    try:
        size = require_regular_file(path).st_size
        with path.open("rb") as file:
            head = file.read(256)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadFile(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: cannot be read ({error})") from error
    if not size:
        raise BadFile(f"{path}: not a file of weights: it is empty")
    for beginning, what in OTHERS.items():
        if head.startswith(beginning):
            raise BadFile(f"{path}: not weights but {what}")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path, size)
    if head.startswith(LEGACY):
        return "torch"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "pickle"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return "json"
    return path.suffix.removeprefix(".")


def _kind_of_zip(path: Path, size: int) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            check_zip_ratio(archive, size)
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError):
        return path.suffix.removeprefix(".")  # its reader raises
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: not a whole PyTorch checkpoint ({error})") from error
    kinds = {name.partition("/")[2].partition("/")[0] for name in names}
    if "models" in kinds:
        return "program"
    if {"code", "constants.pkl"} <= kinds:
        return "script"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "torch"


def what_opens(path: Path, kind: str) -> str:
    """Return what opens a file of that kind, for messages."""
    if kind == "program":
        return f"it is a program of torch.export; open it as exported:{path}"
    if kind == "script":
        return f"it is a TorchScript program; {AS_TORCHSCRIPT}"
    if kind == "pickle":
        return f"it is a pickle; networks of an official StyleGAN file open as stylegan:{path}"
    return f"its tensors open with the class of their network: torch:package.module:callable?weights={path}"


def hint(path: Path) -> str:
    """Return what opens a file that is no program, to end another message; empty where that is not known."""
    try:
        kind = kind_of(path)
    except BadFile:
        return ""
    return f"; {what_opens(path, kind)}" if kind in KINDS else ""


def read_content(path: Path) -> Any:
    """Return the content of a file of weights: tensors by name, in dictionaries that may be nested.

    Reads safetensors, files of torch.save, npz and npy, plain pickles of tensors or arrays, and the JSON index of
    weights in several files.
    """
    kind = kind_of(path)
    if kind in ("program", "script"):
        raise BadFile(f"{path}: not a state dict but {what_opens(path, kind).removeprefix('it is ')}")
    other: Mapping[str, Callable[[Path], Any]] = {"pickle": _read_pickled, "json": _read_index}
    if kind not in ARRAYS:
        return other.get(kind, _read_torch)(path)
    read, what = ARRAYS[kind]
    try:
        return read(path)
    except (*DAMAGE, *HEADS, safetensors.SafetensorError, zipfile.BadZipFile, zlib.error) as error:
        raise BadFile(f"{path}: not a whole {what} ({error})") from error


def _read_npz(path: Path) -> Any:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        check_zip_ratio(arrays.zip, path.stat().st_size)
        return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}


def _read_npy(path: Path) -> Any:
    with path.open("rb") as file:
        return {path.stem: torch.from_numpy(np.load(file, allow_pickle=False))}


ARRAYS: Mapping[str, tuple[Callable[[Path], Any], str]] = {
    "safetensors": (safetensors.torch.load_file, "safetensors file"),
    "npz": (_read_npz, "npz file of plain arrays"),
    "npy": (_read_npy, "npy file of plain numbers"),
}


def _read_pickled(path: Path) -> Any:
    try:
        content = read_pickle(path)
    except BadFile as error:
        reason = str(error).removeprefix(f"{path}: ")
        if reason.startswith(("holds", "cannot")):
            raise
        raise BadFile(f"{path}: not a state dict of plain tensors ({reason}); {SAVE_PLAIN}") from error
    networks = content.values() if isinstance(content, dict) else [content]
    if any(isinstance(each, StubObject) for each in networks):
        raise BadFile(
            f"{path}: not a state dict but whole networks, as StyleGAN keeps them; open it as stylegan:{path}"
        )
    return content


def _read_torch(path: Path) -> Any:
    if copied_bytes(path) > UNFOLDS * path.stat().st_size + MOST:
        raise BadFile(f"{path}: a pickle that would unfold to many times its size")
    try:
        with _LOCK, warnings.catch_warnings(action="ignore"), inert_globals(), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)  # warns about what is refused anyway
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        protocol = re.search(r"Unsupported operand \d+", str(error))
        what = f"it holds a {found[1]}" if found else str(error).split("\n")[0]
        what = "it is a pickle of a protocol other than 2, which torch.save writes" if protocol else what
        raise BadFile(f"{path}: not a state dict of plain tensors ({what}); {SAVE_PLAIN}") from error
    except (*DAMAGE, AssertionError) as error:
        reason = type(error).__name__ if isinstance(error, LookupError) else str(error).split("\n")[0]
        reason = reason or type(error).__name__
        raise BadFile(f"{path}: not a whole PyTorch checkpoint ({reason})") from error


def _read_index(path: Path) -> Any:
    """Read the files that an index lists, ``model.safetensors.index.json``."""
    try:
        index = read_json(path)
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: not a JSON file ({error})") from error
    files = index.get("weight_map") if isinstance(index, dict) else None
    files = files if isinstance(files, dict) else {}
    if not files or not all(isinstance(name, str) and Path(name).name == name for name in files.values()):
        raise BadFile(f"{path}: not an index of weights (it needs a weight_map from tensors to files beside it)")
    state: dict[str, Any] = {}
    for name in sorted(set(files.values())):
        if len(name.encode(errors="replace")) > LONGEST or not (path.parent / name).is_file():
            raise BadFile(f"{path}: lists the file {name[:LONGEST]}, which is not there")
        if kind_of(path.parent / name) == "json":
            raise BadFile(f"{path}: lists the file {name}, which holds no tensors")
        state |= read_content(path.parent / name)
    for tensor, name in files.items():
        if tensor not in state:
            raise BadFile(f"{path}: tensor {tensor} is not in {name}, where it should be")
    return state
