"""Edits, as people share them."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

LAYERS = {"layer1": (4, 3, 3), "layer2": (2, 5, 5)}


def seeds() -> list[Tree]:
    """Return a file with two layers."""
    import torch

    from ganatomy.interventions import Intervention, place, write_edits

    off = Intervention.ablate("layer1", LAYERS["layer1"], [0, 3])
    on = Intervention.insert("layer2", LAYERS["layer2"], [1], torch.ones(2), place((5, 5), 1, 1, 2), 0.5)
    return [tree_of(lambda root: write_edits(root / "edits.json", [off, on.then(on)], "f" * 64))]


def read(root: Path) -> None:
    """Read it."""
    from ganatomy.interventions import read_edits

    read_edits(root / "edits.json", LAYERS, "f" * 64)
