"""The database of annotations."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

BRIEF = 60


def seeds() -> list[Tree]:
    """Return one with an answer of each kind."""
    from ganatomy.annotations import open_annotations

    def write(root: Path) -> None:
        kept = open_annotations(root / "a.sqlite")
        kept.label("d" * 64, "layer2", 3, "ann", "blue sky")
        kept.flag("d" * 64, "layer2", 3, "ann", True)
        kept.prefer("d" * 64, "without layer2/3", 0, "ann", "edited")
        kept.close()

    return [tree_of(write)]


def read(root: Path) -> None:
    """Open it, read all, add to it."""
    from ganatomy.annotations import open_annotations
    from ganatomy.annotations.store import exported

    kept = open_annotations(root / "a.sqlite")
    try:
        for table in ("labels", "flags", "preferences"):
            exported(kept.read(table), ".csv")
        kept.label("d" * 64, "layer2", 4, "bob", "tree")
    finally:
        kept.close()
