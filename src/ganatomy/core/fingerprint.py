"""Fingerprints: what a model, a set of images or a file is, as a sha256."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def fingerprint(state: Mapping[str, Any], *facts: object) -> str:
    """Return a sha256 over the names, types, shapes and bytes of tensors, and over other facts."""
    digest = hashlib.sha256(repr(facts).encode())
    for name in sorted(state):
        if not isinstance(state[name], Tensor):
            digest.update(f"{name} {_as_text(state[name])}\n".encode())
            continue
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _as_text(value: Any) -> str:
    """Return an entry that is no tensor as text, the same in every process."""
    if isinstance(value, Tensor):
        return fingerprint({"": value})
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{key!r}: {_as_text(each)}" for key, each in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_text, value)) + "]"
    return repr(value) if isinstance(value, str | bytes | int | float | complex | None) else type(value).__qualname__


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
