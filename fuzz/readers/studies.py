"""The directory of a study, as it is sent by somebody else: opened, and its report written."""

from pathlib import Path

from grown import tree_of
from mutations import Tree

BRIEF = 40


def seeds() -> list[Tree]:
    """Return a small dissection, and the directory of a training that was looked at."""
    import json

    from made_dissections import made_dissection

    import ganatomy

    look = {"step": 5, "name": "a.pth", "study": "studies/000000005-aa", "images": 8, "segmenter": "s" * 64}
    look["numbers"] = [{"layer": "all", "category": "all", "units": 2, "matched": 1}]

    def looks(root: Path) -> None:
        made_dissection(root / "looks-of/studies/000000005-aa", {"a": ["tree", None]})
        (root / "looks-of/looks").mkdir()
        (root / "looks-of/looks/000000005.json").write_text(json.dumps(look))

    return [
        tree_of(lambda root: ganatomy.dissect("planted:", segmenter="planted:", images=16, out=root / "study")),
        tree_of(looks),
    ]


def read(root: Path) -> None:
    """Open it, look at everything, and write the report."""
    import ganatomy
    from ganatomy.experiments.monitor.training_history import TrainingHistory
    from ganatomy.report.html import write_report

    if "looks-of" in {path.name for path in root.glob("*")}:
        TrainingHistory.open(root / "looks-of").follow()
        return
    dissection = ganatomy.open_dissection(root / "study")
    layer = next(iter(dissection.layers), "")
    if layer:
        dissection.top(layer, 0)
        dissection.candidates(layer, 0)
    write_report(dissection, root / "report.html")
