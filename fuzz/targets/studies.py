"""The directory of a study, as it is sent by somebody else: opened, and its report written."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

BRIEF = 20


def seeds() -> list[Tree]:
    """Return a small dissection, and the directory of a monitored training."""
    import json

    from made_dissections import made_dissection

    import ganatomy

    snapshot = {"step": 5, "name": "a.pth", "study": "studies/000000005-aa", "images": 8, "segmenter": "s" * 64}
    snapshot["numbers"] = [{"layer": "all", "category": "all", "units": 2, "matched": 1}]

    def training(root: Path) -> None:
        made_dissection(root / "training/studies/000000005-aa", {"a": ["tree", None]})
        (root / "training/snapshots").mkdir()
        (root / "training/snapshots/000000005.json").write_text(json.dumps(snapshot))

    return [
        tree_of(lambda root: ganatomy.dissect("planted:", segmenter="planted:", images=16, out=root / "study")),
        tree_of(training),
    ]


def read(root: Path) -> None:
    """Open it, read everything, and write the report."""
    import ganatomy
    from ganatomy.experiments.monitor.training_history import TrainingHistory
    from ganatomy.report.html import write_report

    if "training" in {path.name for path in root.glob("*")}:
        TrainingHistory.open(root / "training").follow()
        return
    dissection = ganatomy.open_dissection(root / "study")
    layer = next(iter(dissection.layers), "")
    if layer:
        dissection.top(layer, 0)
        dissection.candidates(layer, 0)
    write_report(dissection, root / "report.html")
