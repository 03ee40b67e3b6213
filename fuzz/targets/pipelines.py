"""The JSON of whole pipelines of diffusers: of the index, the scheduler, each network, and the tokens of words.

UNets and each family of transformers: it is opened, with maps of words where its attention has them, and draws.
"""

import functools
import tempfile
from pathlib import Path

from mutations import Tree
from seed_files import tree_of

SECONDS = 20
MEMORY = 3 << 30
BRIEF = 16
WORDS, CLASSES = "prompts=a tree;a door", "prompts=3;5&size=16"
OPTIONS = {
    "StableDiffusionPipeline": f"{WORDS}&words=yes",
    "LDMPipeline": "part=pipeline",
    "StableDiffusion3Pipeline": f"{WORDS}&size=16",
    "FluxPipeline": f"{WORDS}&size=16",
    "Flux2KleinPipeline": f"{WORDS}&size=16",
    "PixArtAlphaPipeline": f"{WORDS}&size=16",
    "PixArtSigmaPipeline": f"{WORDS}&size=16",
    "DiTPipeline": CLASSES,
}
"""Of the name that opens each."""


@functools.cache
def _pipeline(kind: str) -> Tree:
    """Return every file of a pipeline."""
    return tree_of(functools.partial(_save, kind))


def _save(kind: str, root: Path) -> None:
    from diffusers_pipelines import pipeline
    from diffusers_transformers import TRANSFORMERS, save_transformer

    with tempfile.TemporaryDirectory() as beside:
        if kind in TRANSFORMERS:
            save_transformer(kind, Path(beside)).rename(root / "model")
        else:
            pipeline(kind, Path(beside)).save_pretrained(root / "model")


def seeds() -> list[Tree]:
    """Return the JSON of each."""
    return [
        {f"{kind}/{name}": content for name, content in _pipeline(kind).items() if name.endswith(".json")}
        for kind in OPTIONS
    ]


def read(root: Path) -> None:
    """Lay the weights beside it, open it, and draw an image."""
    from ganatomy.models.generators import open_generator

    kind = next((kind for kind in OPTIONS if (root / kind).exists()), next(iter(OPTIONS)))
    for name, content in _pipeline(kind).items():
        place = root / kind / name
        if not name.endswith(".json") and not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    generator = open_generator(f"diffusers:{root / kind / 'model'}?{OPTIONS[kind]}&steps=2")
    generator.observe(generator.latents(range(1), 0), [])
