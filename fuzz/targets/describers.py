"""Models that describe images and words, as CLIP and SigLIP do, and files of words; models that write captions."""

import json
import os
import pickle
from pathlib import Path

from mutations import Tree
from seed_files import described, tree_of

SECONDS = 20
MEMORY = 3 << 30

BRIEF = 8

ABORTS = b"import os\nos.abort()\n"
"""Code that nobody may run: it ends the process."""
CODE = ("own.py", "custom_generate/generate.py")
OWN = {"AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own", "AutoTokenizer": ["own.Own", "own.Own"]}
"""What has the code run, where it is trusted."""


class Aborting:
    """What ends the process when its pickle is read."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return os.abort, ()


def seeds() -> list[Tree]:
    """Return a model of each family, of a few channels, with a file of words or options."""
    from tiny_captioners import CAPTIONERS
    from tiny_transformers import save

    def written(name: str) -> Tree:
        def write(root: Path) -> None:
            save(root / "model", name, size={"height": 32, "width": 32}, image_mean=[0.5] * 3)
            (root / "words.txt").write_text("# things\ntree\nstained glass window\n", encoding="utf-8")

        return tree_of(write)

    return [*map(written, ("clip", "siglip")), *map(captioner, CAPTIONERS)]


def captioner(name: str) -> Tree:
    """Return a captioner with code and a pickle of its own."""
    from tiny_captioners import save

    def write(root: Path) -> None:
        place = root / "captioner"
        save(place, name)
        config = json.loads((place / "config.json").read_bytes())
        size = {"size": {"height": 32, "width": 32}, "size_divisor": 8}
        images = {**size, "image_mean": [0.5] * 3, "image_std": 0.5, "rescale_factor": 0.004, "resample": 3}
        whole = name == "git"  # newer files are those of the whole processor
        added = {
            "config.json": {**config, "auto_map": OWN, "custom_generate": "own", "num_beams": 2, "max_time": 60.0},
            "processor_config.json": {"image_processor": {**images, "auto_map": OWN}} if whole else {"auto_map": OWN},
            **({} if whole else {"preprocessor_config.json": {**images, "auto_map": OWN}}),
            "tokenizer_config.json": {"do_lower_case": True, "auto_map": OWN, "extra_special_tokens": {}},
            "generation_config.json": {"bos_token_id": 101, "eos_token_id": [102], "pad_token_id": 0, "num_beams": 2},
        }
        for file, content in added.items():
            (place / file).write_text(json.dumps(content))
        (place / "custom_generate").mkdir()
        for file in CODE:
            (place / file).write_bytes(ABORTS)
        (place / "pytorch_model.bin").write_bytes(pickle.dumps(Aborting()))
        (root / "options.json").write_text(json.dumps({"length": 4, "size": 32}))

    return tree_of(write)


def read(root: Path) -> None:
    """Open it; compare an image with the words, or write its caption."""
    import torch

    from ganatomy.experiments.causal.describe_spec import checked_words, read_words
    from ganatomy.models.features import CaptionNetwork, WordNetwork, open_features

    image = torch.zeros(1, 3, 32, 32)
    if (root / "captioner").exists():
        network = open_features(f"caption:{root / 'captioner'}{_options(root / 'options.json')}")
        assert isinstance(network, CaptionNetwork)
        network.captions(image)
        return
    words = read_words(str(root / "words.txt"))
    checked_words(words)
    network = open_features(f"clip:{root / 'model'}")
    assert isinstance(network, WordNetwork)
    network.features(image)
    network.words(words)


def _options(file: Path) -> str:
    """Return the options as they would be written; none where their file is damaged."""
    try:
        return "?" + "&".join(f"{name}={value}" for name, value in described(file).items())
    except (ValueError, AttributeError, RecursionError):
        return ""
