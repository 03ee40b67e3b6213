"""Samples of the text-to-image model as one image: a row a prompt, nothing chosen."""

from pathlib import Path

import torch
from PIL import Image

import ganatomy
from ganatomy.core.files import atomic_write
from ganatomy.web.readers import pixels

PROMPTS = (
    "a green church by day",
    "a winter church by night",
    "an autumn church by day with a tree, without a cloud",
    "a church by dusk with a dome and water",
)
EACH, COLOURS = 20, 64
IMAGE = "images/words-samples.png"


def save_samples(generator: str, path: Path) -> None:
    """Write the first samples of each prompt, in their order, from top to bottom and left to right."""
    model = ganatomy.open_generator(f"{generator.partition('?')[0]}?prompts={';'.join(PROMPTS)}")
    with torch.no_grad():
        images = model.observe(model.latents(range(EACH * len(PROMPTS)), 0), ()).images
    rows = images.unflatten(0, (EACH, len(PROMPTS))).transpose(0, 1)  # image i has prompt i modulo their number
    sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels(sheet[None])).quantize(COLOURS).save(temporary, "PNG", optimize=True)
