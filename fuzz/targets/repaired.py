"""Repaired generators, and directions of a layer."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

BRIEF = 60


def seeds() -> list[Tree]:
    """Return a repair that keeps edits, and directions."""
    import torch

    from ganatomy.interventions import Intervention
    from ganatomy.models.generators import open_generator
    from ganatomy.models.generators.repaired import write_repaired

    generator = open_generator("planted:")
    layer = next(iter(generator.layers))
    off = Intervention.ablate(layer, generator.layers[layer], [0])
    matrix = {"directions": torch.eye(generator.layers[layer].units)}
    return [
        tree_of(lambda root: write_repaired(root / "fixed", "planted:", generator, [off])),
        tree_of(lambda root: torch.save(matrix, root / "directions.pth")),
    ]


def read(root: Path) -> None:
    """Open it and draw."""
    from ganatomy.models.generators import open_generator

    name = f"repaired:{root / 'fixed'}"
    if any(root.glob("directions*")):
        layer = next(iter(open_generator("planted:").layers))
        name = f"basis:planted:?layer={layer}&directions={root / 'directions.pth'}"
    generator = open_generator(name)
    generator.observe(generator.latents(range(2), 0), list(generator.layers)[:1])
