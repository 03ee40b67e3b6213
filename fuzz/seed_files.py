"""Whole files to begin with, made here in a moment."""

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

MOST = 1 << 20
"""Bytes of a description."""


def tree_of(write: Callable[[Path], object]) -> dict[str, bytes]:
    """Return the tree that `write` makes in a directory."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        found = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def described(path: Path) -> Any:
    """Return what a description in JSON says, from which a reader writes its file.

    Raises:
        ValueError: it is damaged, no file at all, or too long.
    """
    if not path.is_file() or path.stat().st_size > MOST:
        raise ValueError(path)
    return json.loads(path.read_bytes())


def image_file(kind: str = "PNG", side: int = 24, seed: int = 0) -> bytes:
    """Return an image's file."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def index_map(side: int = 24) -> bytes:
    """Return a label map of the labels 0 and 1."""
    file = io.BytesIO()
    Image.fromarray(np.eye(side, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def small_net() -> nn.Module:
    """Return a generator of a few units: latents of 6 numbers, images of 16 x 16."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dense, shape = nn.Linear(6, 64), nn.Unflatten(1, (4, 4, 4))
        rest = nn.Upsample(scale_factor=4), nn.Conv2d(4, 3, 3, padding=1), nn.Tanh()
        return nn.Sequential(dense, shape, nn.BatchNorm2d(4), nn.ReLU(), *rest).eval()
