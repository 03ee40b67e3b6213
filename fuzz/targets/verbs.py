"""Studies that somebody else sent, as every command reads them: each answers, or refuses in one line.

Those that draw the pages of a dissection take longer, and are in `pages`.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mutations import Tree
from seed_files import tree_of

if TYPE_CHECKING:
    from ganatomy.cli.parser import Parser

BRIEF = 8
SECONDS = 20


def seeds() -> list[Tree]:
    """Return a dissection with an ablation, a search by ACE and a best setting of it."""
    import ganatomy

    def studies(root: Path) -> None:
        study, beside = root / "study", root / "study-causal"
        ganatomy.dissect("planted:", segmenter="planted:", images=16, layers=["layer2"], out=study)
        ganatomy.ablate(study, layer="layer2", units=[3], images=4, random=1, out=beside / "ablated")
        few = {"pool": 8, "top": 4, "images": 4, "steps": 2, "train": 4, "held": 2, "candidates": 4, "pairs": 1}
        options = {"schedule": "quick", "sizes": (1, 2), "random": 1, **few}
        ganatomy.ace(study, layer="layer2", concept="ball", out=beside / "ace", **options)

    return [tree_of(studies)]


def read(root: Path) -> None:
    """Run the commands that read a study."""
    study, beside = str(root / "study"), root / "study-causal"
    results = [str(beside / name) for name in ("ablated", "ace")]
    run_all(
        root,
        ["list", str(root)],
        ["show", study],
        *([verb, place] for place in results for verb in ("show", "report")),
        ["show", study, "--layer", "layer2"],
        ["ablate", study, "--layer", "layer2", "--concept", "ball", "--top", "3", "--dry-run"],
        ["trust", study],
    )


@functools.cache
def _parser() -> "Parser":
    from ganatomy.cli.arguments import build

    return build()


def run_all(root: Path, *commands: Sequence[str]) -> None:
    """Run commands; raises the refusal of the first that refuses."""
    from ganatomy.cli.engine import run_with_engine
    from ganatomy.core.errors import GanatomyError

    os.environ["GANATOMY_CACHE"], refused = str(root / "cache"), []
    for argv in commands:
        try:
            run_with_engine(_parser().parse_args(list(argv)))
        except GanatomyError as error:
            refused.append(error)
    if refused:
        raise refused[0]
