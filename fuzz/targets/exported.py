"""Programs of torch.export: a graph in JSON, and tensors."""

import warnings
from pathlib import Path

import torch
from mutations import Tree
from seed_files import small_net, tree_of

BRIEF = 30


def seeds() -> list[Tree]:
    """Return a program."""
    with warnings.catch_warnings(action="ignore"):
        batch = torch.export.Dim("batch")
        program = torch.export.export(small_net(), (torch.zeros(2, 6),), dynamic_shapes=({0: batch},))
        return [tree_of(lambda root: torch.export.save(program, root / "net.pt2"))]


def read(root: Path) -> None:
    """Open it and draw."""
    from ganatomy.models.generators import open_generator

    generator = open_generator(f"exported:{root / 'net.pt2'}")
    generator.observe(generator.latents(range(2), 0), list(generator.layers)[:1])
