"""Scenes as a folder of files that any tool can read."""

import secrets
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from ganatomy.core.errors import BadValue
from ganatomy.core.files import write_text
from ganatomy.core.progress import NullProgress, Progress
from ganatomy.core.vocabulary import vocabulary_json
from ganatomy.scenes.grammar import PLANES, VOCABULARY
from ganatomy.scenes.render import Rendered, render

CHUNK = 256


def write_scenes(
    directory: Path, category: str, ids: range, size: int = 64, seed: int = 0, progress: Progress | None = None
) -> None:
    """Draw scenes into a new or empty directory; it is there whole or not at all.

    ::

        DIR/vocabulary.json          a list of [name, category]; its positions are the label values
        DIR/images/000000.png        RGB
        DIR/labels/PLANE/000000.png  8-bit label values, for PLANE object, part and material; 0 is nothing

    Raises:
        UnknownName: no such category.
        BadValue: no scenes are asked for, the size is none that is drawn, or the directory holds something.
    """
    if not ids:
        raise BadValue("no scenes are asked for; give a count of 1 or more")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BadValue(f"{directory} exists and is no empty directory; give another one")
    progress = progress or NullProgress()
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    made.mkdir()
    progress.begin(f"{category} scenes", len(ids))
    try:
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            _write(made, chunk, render(category, chunk, size, seed))
            progress.advance(len(chunk))
        write_text(made / "vocabulary.json", vocabulary_json(VOCABULARY) + "\n")
        made.replace(directory)
    finally:
        progress.end()
        shutil.rmtree(made, ignore_errors=True)


def _write(directory: Path, ids: range, scenes: Rendered) -> None:
    folders = [directory / "images", *(directory / "labels" / plane for plane in PLANES)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for i, image, labels in zip(ids, scenes.images.transpose(0, 2, 3, 1), scenes.labels, strict=True):
        for folder, pixels in zip(folders, [image, *labels], strict=True):
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{i:06d}.png", compress_level=1)
