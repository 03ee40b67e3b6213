"""Lists of names: vocabularies, labels of parsers, classes, what was fetched."""

from pathlib import Path

from mutations import Tree

LABELS = b'{"object": ["-", "door"], "material": ["-", "wood"], "object_part": {"door": ["-", "knob"]}}'


def seeds() -> list[Tree]:
    """Return one of each."""
    return [
        {"vocabulary.json": b'[["nothing", "nothing"], ["sky", "object"], ["red light, warm", "colour"]]'},
        {"labels.json": LABELS},
        {"names/labels.json": b'["sky", "door"]'},
        {"names/object150_info.csv": b"Idx,Ratio,Name\n1,0.1,wall;bricks\n2,0.2,door\n"},
        {"classes.txt": b"church\nbarn\nhouse\n"},
        {"fetched.json": b'{"a.pth": {"sha256": "00", "address": "https://example.org/a.pth", "fetched": "2024"}}'},
        {"dataset.json": b'{"labels": [["a.png", 5], ["b.png", 10]]}'},
    ]


def read(root: Path) -> None:
    """Read it."""
    from ganatomy.core.vocabulary import read_vocabulary
    from ganatomy.models.generators.classifier import read_classes
    from ganatomy.models.segmenters.ade20k import read_names
    from ganatomy.models.segmenters.unified import label_space, read_lists
    from ganatomy.models.weights import model_zoo

    readers = {
        "vocabulary.json": read_vocabulary,
        "labels.json": lambda path: label_space(read_lists(path), str(path), halves=True),
        "names": lambda path: read_names(path, 2),
        "classes.txt": read_classes,
        model_zoo.RECORDS: lambda path: model_zoo.records(path.parent),
    }
    for name, reader in readers.items():
        if name in {path.name for path in root.glob("*")}:
            reader(root / name)
