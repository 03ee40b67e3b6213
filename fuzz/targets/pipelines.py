"""The JSON of whole pipelines of diffusers: of the index, the scheduler, and each network; and what they then draw."""

import functools
import tempfile
from pathlib import Path

from mutations import Tree
from seed_files import tree_of

SECONDS = 20
MEMORY = 3 << 30
BRIEF = 8
KINDS = ("StableDiffusionPipeline", "LDMPipeline")


@functools.cache
def _pipelines() -> dict[str, Tree]:
    """Return every file of a pipeline of words, and of one without."""

    return {kind: tree_of(functools.partial(_save, kind)) for kind in KINDS}


def _save(kind: str, root: Path) -> None:
    from diffusers_pipelines import pipeline

    with tempfile.TemporaryDirectory() as words:
        pipeline(kind, Path(words)).save_pretrained(root)


def seeds() -> list[Tree]:
    """Return the JSON of each."""
    return [
        {f"{kind}/{name}": content for name, content in files.items() if name.endswith(".json")}
        for kind, files in _pipelines().items()
    ]


def read(root: Path) -> None:
    """Lay the weights beside it, open it, and draw an image."""
    from ganatomy.models.generators import open_generator

    kind = next((kind for kind in KINDS if (root / kind).exists()), KINDS[0])
    for name, content in _pipelines()[kind].items():
        place = root / kind / name
        if not name.endswith(".json") and not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    options = "prompts=a tree;a door" if kind == KINDS[0] else "part=pipeline"
    generator = open_generator(f"diffusers:{root / kind}?{options}&steps=2")
    generator.observe(generator.latents(range(1), 0), [])
