"""Directories of the Hugging Face hub: models of transformers and diffusers."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

SECONDS = 20
MEMORY = 3 << 30

BRIEF = 6


def seeds() -> list[Tree]:
    """Return a segmenter, a decoder and a pipeline of a few channels."""
    from diffusers_models import save_autoencoder, save_pipeline
    from tiny_transformers import save

    return [
        tree_of(
            lambda root: save(root / "segformer", "segformer", image_mean=[0.5] * 3, size={"height": 32, "width": 32})
        ),
        tree_of(lambda root: save_autoencoder(root / "vae", "kl")),
        tree_of(lambda root: save_pipeline(root / "vae")),
    ]


def read(root: Path) -> None:
    """Open it."""
    from ganatomy.models.generators import open_generator
    from ganatomy.models.segmenters import open_segmenter

    if (root / "segformer").exists():
        open_segmenter(f"hf:{root / 'segformer'}")
    else:
        open_generator(f"diffusers:{root / 'vae'}")
