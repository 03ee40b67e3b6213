"""A painter whose brushes are measured as the tests say, so that no measuring has to be waited for."""

from typing import Any

from ganatomy.web import Painter
from ganatomy.web.brush_schemas import BrushSettings, Start

SOME, NONE = (
    {
        part: {"share": share, "error": error, "low": 0, "high": 1, "places": places}
        for part, share, error, places in rows
    }
    for rows in (
        [("likely", 0.74, 0.04, 120), ("unlikely", 0.02, 0.01, 96)],
        [("likely", 0, 0, 120), ("unlikely", 0, 0, 96)],
    )
)
RESULT: dict[str, Any] = {
    "name": "all units of layer4",
    "layers": ["layer4"],
    "units": [128],
    "constant": "place",
    "multiple": 1,
    "strength": 1,
    "cell": 2,
    "radius": 0.1,
    "likely_means": "allowed by the renderer",
    "unlikely_means": "forbidden by the renderer",
    "measured": SOME,
    "control": NONE,
    "control_means": "as many units by chance",
    "paper": NONE,
}
BRUSH: dict[str, Any] = {"category": "object", "reason": None, "progress": 1, "seconds_left": 180}


class MeasuredPainter(Painter):
    """A painter that starts with a known brush, whose setting is measured; that of the door is being measured."""

    progress = 0.25

    def start(self) -> Start:
        return Start(id=3, seed=0, layer="layer6", concept="tree", concepts=["tree"])

    def settings(self) -> BrushSettings:
        tree = {**BRUSH, "concept": "tree", "state": "measured", "result": RESULT}
        door = {**BRUSH, "concept": "door", "state": "running", "result": None, "progress": self.progress}
        if self.progress == 1:
            door |= {"state": "measured", "result": RESULT}
        note = "Nothing is kept: read-only."
        return BrushSettings.model_validate({"measuring": True, "kept": False, "note": note, "brushes": [tree, door]})
