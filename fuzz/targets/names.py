"""What a config of the Hugging Face hub calls its classes: ``id2label``, with gaps, from 1, twice, of other numbers."""

import json
from pathlib import Path
from typing import Any

from mutations import Tree

BRIEF = 120
WORDS = ["wall", "door, double door", "building;edifice", "background", "door"]


def seeds() -> list[Tree]:
    """Return configs of a segmenter."""
    names: list[dict[str, Any]] = [
        {str(i): word for i, word in enumerate(WORDS)},
        {str(i + 1): word for i, word in enumerate(WORDS)},
        {"0": "wall", "2": "door", "255": "background"},
        {"0": "wall", "01": "door", "1": ""},
    ]
    configs: list[dict[str, Any]] = [
        {"id2label": names[0], "label2id": {word: i for i, word in enumerate(WORDS)}},
        {"id2label": names[0], "num_labels": 5},
        {"id2label": names[0], "num_labels": 4},
        *({"id2label": each} for each in names[1:]),
        {"num_labels": 3},
        {"id2label": WORDS},
    ]
    return [{"config.json": json.dumps({"model_type": "segformer", **each}).encode()} for each in configs]


def read(root: Path) -> None:
    """Read the config, and return what each class stands for."""
    from ganatomy.models.segmenters.huggingface import check_ids, class_concepts
    from ganatomy.models.weights.pretrained import build_config, read_config

    settings = read_config(root)
    check_ids(settings, str(root / "config.json"))
    if settings["model_type"] != "segformer":
        return  # of which there may be none, as `targets/hub.py` tries
    concepts = class_concepts(build_config(root, settings), "object")
    labels = settings.get("id2label")
    assert labels is None or len(concepts) == len(labels)
