"""Models that describe images and words, as CLIP and SigLIP do, and files of words."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

SECONDS = 20
MEMORY = 3 << 30

BRIEF = 6


def seeds() -> list[Tree]:
    """Return a model of each family, of a few channels, with a file of words."""
    from tiny_transformers import save

    def written(name: str) -> Tree:
        def write(root: Path) -> None:
            save(root / "model", name, size={"height": 32, "width": 32}, image_mean=[0.5] * 3)
            (root / "words.txt").write_text("# things\ntree\nstained glass window\n", encoding="utf-8")

        return tree_of(write)

    return [written("clip"), written("siglip")]


def read(root: Path) -> None:
    """Open it, and compare an image with the words."""
    import torch

    from ganatomy.experiments.causal.describe_spec import checked_words, read_words
    from ganatomy.models.features import WordNetwork, open_features

    words = read_words(str(root / "words.txt"))
    checked_words(words)
    network = open_features(f"clip:{root / 'model'}")
    assert isinstance(network, WordNetwork)
    network.features(torch.zeros(1, 3, 32, 32))
    network.words(words)
