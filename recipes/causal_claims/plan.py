"""How much is measured: everything, a rehearsal in minutes, or one on the planted generator in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SKETCH: Mapping[str, Any] = {
    "schedule": "quick", "images": 48, "sizes": (20,), "controls": (20,), "random": 1,
}  # fmt: skip
"""A search that only has to name the top units; what they do is measured apart."""
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
"""Sizes of the sets whose ablation Figure 4 shows."""
HURRY: Mapping[str, Any] = {
    **SKETCH, "images": 8, "train": 32, "held": 16, "candidates": 48, "steps": 6,
}  # fmt: skip
"""The same for a rehearsal."""
HINT: Mapping[str, Any] = {
    "controls": (2,), "top": 2, "train": 8, "held": 6, "candidates": 24, "steps": 2,
}  # fmt: skip
"""The same in a layer of a dozen units."""


@dataclass(frozen=True)
class Plan:
    """What is asked, and of how many images.

    Attributes:
        generator, segmenter: what is dissected, where no study is given.
        dissected: images of that dissection.
        layer: where units are looked for, unless several layers are compared.
        curves, at_least: concepts for Figure 4; the first so many that the model draws often enough.
        curve, sketch: options of the search for these, and for units that are only needed by name.
        common: an object of Figure 9 covers at least this share of the pixels.
        crossing: the concept of Figure 10.
        top: units that are ablated.
        effects: images for each ablation.
        inserted: concepts of Figures 11 and 17.
        accepted: concepts of which the best setting is measured, and inserted at every place, for Figure 11.
        choosing: images for that setting.
        layers, cells, multiples, sizes: settings of insertions that are tried, and on how many images.
        tried: images for these.
        context, trace, each: images for Figure 11 (half with the best setting), 17, and for each unit alone.
        places: of each image, for Figure 17.
        pool: images on which class constants are measured, and in which places are looked for.
    """

    generator: str = "bundled:church"
    segmenter: str = "bundled:scenes"
    dissected: int = 1000
    layer: str = "layer4"
    curves: tuple[str, ...] = ("tree", "window", "door", "dome", "tower", "grass")
    at_least: int = 4
    curve: Mapping[str, Any] = field(default_factory=lambda: {"sizes": STEPS})
    sketch: Mapping[str, Any] = field(default_factory=lambda: SKETCH)
    common: float = 0.01
    crossing: str = "window"
    top: int = 20
    effects: int = 100
    inserted: tuple[str, ...] = ("door", "window", "tree")
    accepted: tuple[str, ...] = ("tree", "cloud", "bush", "window", "door")
    choosing: int = 64
    layers: tuple[str, ...] = ("layer4", "layer5", "layer6", "layer7")
    cells: tuple[int, ...] = (1, 2, 3)
    multiples: tuple[float, ...] = (1.0, 2.0, 3.0)
    sizes: tuple[int, ...] = (20, 40)
    tried: int = 64
    context: int = 48
    trace: int = 48
    each: int = 40
    places: int = 16
    pool: int = 1000


PLANS: Mapping[str, Plan] = {
    "full": Plan(),
    "quick": Plan(
        dissected=300, curve={**HURRY, "images": 24, "steps": 10, "sizes": (1, 5, 10, 20)}, sketch=HURRY,
        common=0.05, effects=24, layers=("layer4", "layer6"), cells=(1, 2), multiples=(2.0,), tried=12,
        context=6, trace=6, each=8, places=8, pool=400, choosing=16, accepted=("tree", "door"),
    ),
    "tiny": Plan(
        generator="planted", segmenter="planted", dissected=60, layer="layer1", curves=("ball", "tree", "box", "sky"),
        curve={**HINT, "sizes": (1, 2, 4), "images": 8, "steps": 4}, sketch={**HINT, "sizes": (2,), "images": 4},
        crossing="ball", top=2, effects=12, inserted=("ball",),
        accepted=("ball",), choosing=8, layers=("layer1", "layer2"), cells=(1, 2),
        multiples=(1.0,), sizes=(2,), tried=12, context=6, trace=6, each=6, places=4, pool=60,
    ),
}  # fmt: skip
"""The plans by name."""
