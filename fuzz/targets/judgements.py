"""A judgement of an autoencoder in a directory that somebody else sent, finished or half finished: gone on with."""

import contextlib
import os
from pathlib import Path
from typing import Any

from mutations import Tree
from seed_files import described, tree_of

SECONDS = 25
MEMORY = 2 << 30
BRIEF = 8
MOST = 12
"""Images, resamples and pairs that are asked for at most, as many more are only slow."""
OPTIONS: dict[str, Any] = {
    "autoencoder": "sae:planted:?layer=layer2&file=roles.safetensors",
    "segmenter": "planted:",
    "images": 8,
    "concepts": ["ball"],
    "edited": 2,
    "pairs": 2,
    "draws": 2,
    "seed": 0,
    "grammar": "",
}


def seeds() -> list[Tree]:
    """Return a finished judgement, twice as one that lacks the last dissection, all edits and the page is slower."""
    import json

    import torch
    from safetensors.torch import save_file

    import ganatomy

    def judged(root: Path) -> None:
        save_file({"W_enc": torch.eye(12), "W_dec": torch.eye(12), "k": torch.tensor(4)}, root / "roles.safetensors")
        (root / "options.json").write_text(json.dumps(OPTIONS))
        with contextlib.chdir(root):
            ganatomy.judge(**OPTIONS, out="out")

    whole = tree_of(judged)
    late = ("out/judge", "out/tables/", "out/figures/", "out/studies/untrained")
    half = {path: file for path, file in whole.items() if not path.startswith(late) and "-causal/" not in path}
    return [whole, whole, half]


def read(root: Path) -> None:
    """Go on with it, and list it; what was found is whole and lies there. What is refused is left as it was."""
    from ganatomy.core.errors import GanatomyError

    given, names = _given(root), _names(root)
    try:
        _read(root)
    except GanatomyError:
        lost = names - _names(root)
        assert not lost, f"lost: {sorted(lost)}"
        raise
    finally:
        assert _given(root) == given, "what was given has changed"


def _names(root: Path) -> set[str]:
    """Return the files, but for locks."""
    return {f"{folder}/{name}" for folder, _, files in os.walk(root) for name in files if not name.startswith(".")}


def _given(root: Path) -> dict[str, bytes]:
    """Return what is read and never written."""
    paths = (root / "roles.safetensors", root / "options.json")
    return {path.name: path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}


def _read(root: Path) -> None:
    import pandas as pd

    import ganatomy
    from ganatomy.experiments.catalogue import entries_below

    try:
        options = described(root / "options.json")
    except (ValueError, RecursionError):
        options = OPTIONS
    if not isinstance(options, dict):
        options = OPTIONS
    options = {
        name: min(given, MOST) if isinstance(given, int | float) and name != "seed" else given
        for name, given in options.items()
        if name in OPTIONS
    }
    with contextlib.chdir(root):
        list(entries_below(Path("out")))
        found = ganatomy.judge(**OPTIONS | options, out="out")
        (entry,) = entries_below(Path("out"))
        assert (entry.kind, entry.state) == ("judge", "finished")
        assert entry.summary is not None
        pd.testing.assert_frame_equal(pd.read_parquet("out/tables/measures.parquet"), found.table)
