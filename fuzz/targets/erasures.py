"""Edits of a text-to-image model that are to run without this package: read, and written as weights or a program."""

import functools
import tempfile
from pathlib import Path
from typing import Any

from mutations import Tree
from seed_files import tree_of

SECONDS = 20
MEMORY = 3 << 30
BRIEF = 30
LAYERS = ("transformer_blocks.0", "transformer_blocks.0.attn.to_q")
"""A block, of which a program is written, and a linear layer, whose weights are."""


@functools.cache
def _generator() -> Any:
    """Open a transformer of random weights."""
    from diffusers_transformers import opened_transformer, save_transformer

    with tempfile.TemporaryDirectory() as folder:
        directory = save_transformer("StableDiffusion3Pipeline", Path(folder))
        return opened_transformer(directory, layers=",".join(LAYERS), half="both", step="1,2")


def seeds() -> list[Tree]:
    """Return edits of each at both steps, and of one at the first alone."""
    from ganatomy.interventions import Intervention, write_edits

    generator = _generator()
    off = {
        f"{layer}@{step}": Intervention.ablate(f"{layer}@{step}", generator.layers[f"{layer}@{step}"], [0, 3])
        for layer in LAYERS
        for step in (1, 2)
    }
    chosen = [list(off.values())[:2], list(off.values())[2:], [off[f"{LAYERS[0]}@1"]]]

    def write(root: Path, edits: list[Intervention]) -> None:
        write_edits(root / "edits.json", edits, generator.fingerprint)

    return [tree_of(functools.partial(write, edits=edits)) for edits in chosen]


def read(root: Path) -> None:
    """Read them, and write what runs elsewhere."""
    from ganatomy.interventions import read_edits
    from ganatomy.models.generators.diffusers.erasure import export_erasure

    generator = _generator()
    edits = read_edits(root / "edits.json", generator.layers, generator.fingerprint)
    written = export_erasure(root / "written", generator, edits)
    assert written.file is not None or written.how
