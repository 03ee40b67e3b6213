"""Studies that somebody else sent, on pages: the report of a dissection, and its comparison with another one."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

from targets.verbs import run_all

BRIEF = 6
SECONDS = 20


def seeds() -> list[Tree]:
    """Return two dissections."""
    import ganatomy

    def studies(root: Path) -> None:
        for seed, name in enumerate(("study", "other")):
            ganatomy.dissect("planted:", segmenter="planted:", images=16, layers=["layer2"], seed=seed, out=root / name)

    return [tree_of(studies)]


def read(root: Path) -> None:
    """Draw them."""
    study, other = str(root / "study"), str(root / "other")
    compare = ["compare", study, other, "--names", "a,b", "--draws", "2", "--out", str(root / "compared")]
    run_all(root, ["report", study], compare)
