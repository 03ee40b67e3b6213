"""Checkpoints as tensors by name: safetensors, PyTorch's zip and what it wrote before, npz, npy."""

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from mutations import Tree
from seed_files import small_net, tree_of

BRIEF = 60


def seeds() -> list[Tree]:
    """Return one file of each kind."""
    state = {name: value for name, value in small_net().state_dict().items() if value.ndim}
    arrays = {name: value.numpy() for name, value in state.items()}
    return [
        tree_of(lambda root: safetensors.torch.save_file(state, root / "net.safetensors")),
        tree_of(lambda root: torch.save({"state_dict": state}, root / "net.pth")),
        tree_of(lambda root: torch.save(state, root / "old.pth", _use_new_zipfile_serialization=False)),
        tree_of(lambda root: np.savez(root / "net.npz", **arrays)),
        tree_of(lambda root: np.savez_compressed(root / "net.npz", **arrays)),
        tree_of(lambda root: np.save(root / "one.npy", arrays["0.weight"])),
    ]


def read(root: Path) -> None:
    """Read it."""
    from ganatomy.models.weights import read_state

    for name in ("net.safetensors", "net.pth", "old.pth", "net.npz", "one.npy"):
        if name in {path.name for path in root.glob("*")}:
            read_state(root / name)
