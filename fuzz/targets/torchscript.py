"""Traces: a program, its tensors, and pickles that tie them."""

import warnings
from pathlib import Path

import torch
from mutations import Tree
from seed_files import small_net, tree_of

BRIEF = 30


def seeds() -> list[Tree]:
    """Return a trace."""
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(small_net(), torch.zeros(2, 6))
        return [tree_of(lambda root: torch.jit.save(traced, root / "net.pt"))]


def read(root: Path) -> None:
    """Open it and draw."""
    from ganatomy.models.generators import open_generator

    generator = open_generator(f"torchscript:{root / 'net.pt'}")
    generator.observe(generator.latents(range(2), 0), list(generator.layers)[:1])
