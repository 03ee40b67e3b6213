"""Segmenters for any words: CLIPSeg, SAM 3, and Grounding DINO with SAM 2; weights, configs and tokenizers."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

SECONDS = 20
MEMORY = 3 << 30

BRIEF = 6


def seeds() -> list[Tree]:
    """Return a model of each family, of a few channels."""
    from tiny_transformers import save

    prepared = {"size": {"height": 64, "width": 64}, "image_mean": [0.5] * 3}

    def write_pair(root: Path) -> None:
        save(root / "grounding-dino", "grounding-dino", size={"shortest_edge": 64, "longest_edge": 80})
        save(root / "sam2", "sam2", **prepared)

    return [
        tree_of(lambda root: save(root / "clipseg", "clipseg", **prepared)),
        tree_of(lambda root: save(root / "sam3", "sam3", **prepared)),
        tree_of(write_pair),
    ]


def read(root: Path) -> None:
    """Open it, and look at an image."""
    import torch

    from ganatomy.models.segmenters import open_segmenter

    name = next(name for name in ("clipseg", "sam3", "grounding-dino") if (root / name).exists())
    sam = f"&sam={root / 'sam2'}" if name == "grounding-dino" else ""
    family = name if not sam else "grounded-sam"
    open_segmenter(f"{family}:{root / name}?concepts=tree,door{sam}")(torch.zeros(1, 3, 32, 32))
