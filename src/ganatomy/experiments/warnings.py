"""What makes a result no finding: images that show nothing, edits that do nothing. Results say it first, see `Result`.

Thresholds leave the bundled models room: ``tests/experiments/test_warnings.py`` holds them to that.
"""

import math
import shlex
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

FEW = 0.1
"""From this share of the images on, what is wrong with them is said of the sample."""
SATURATED, ENDS = 0.5, 0.1
"""A sample is saturated if so many of its values are black or white, and at least so many are each."""
BLACK, WHITE = 0.05, 0.95
SEEN = 0.005
"""Share of the pixels that all concepts together must reach for the segmenter to have found something."""
EVERYTHING = 0.98
"""Share of the pixels from which on one concept covers everything."""
RESPONSIVE = 0.01
"""Share of the places at which an insertion must show."""
SPOILT = 0.25
"""Share of their pixels that the concepts which are not inserted may lose together."""
SURE = 2.0
"""Standard errors that a change must exceed."""


def sample_warnings(facts: Mapping[str, float]) -> list[str]:
    """Say what is wrong with the images, the first thing only: the others follow from it."""
    plain, alike, black, white = (facts[name] for name in ("plain", "alike", "black", "white"))
    if plain >= FEW:
        colour = "black" if facts["mean"] < BLACK else "white" if facts["mean"] > WHITE else "of one colour"
        return [f"{_share_of(facts, plain)} are {colour}: there is nothing in them to find."]
    if alike >= FEW:
        found = f"{_share_of(facts, alike)} are nearly the same as another"
        return [f"{found}: are the weights loaded, and is the model trained? Look at some images."]
    if black + white >= SATURATED and min(black, white) >= ENDS:
        ends = f"{percent(black)} of the values are black and {percent(white)} white"
        return [f"The images are saturated: {ends}. Are the bounds of the generator's output right?"]
    return []


def _share_of(facts: Mapping[str, float], share: float) -> str:
    return f"{'All' if share == 1 else f'{percent(share)} of the'} {facts['images']:,} dissected images"


def concept_warnings(concepts: pd.DataFrame) -> list[str]:
    """Say what is wrong with what the segmenter finds: nothing, too little, or one concept everywhere."""
    if not len(concepts):
        return []
    found, share = [], float(concepts.share.sum())
    if share < SEEN:
        what = "nothing" if share == 0 else f"something in only {percent(share)} of the pixels"
        found.append(f"The segmenter finds {what} of these images, so what units are matched to says nothing.")
    elif bool(concepts.rare.all()):
        found.append("No concept covers enough of the images to be scored, so no unit can have a label.")
    for concept, covered in zip(concepts.concept, concepts.share, strict=True):
        if covered >= EVERYTHING:
            found.append(f"{concept} covers {percent(covered)} of the pixels: any unit that is on goes with it.")
    return found


def crowded_warnings(layer: str, units: Sequence[int], random: int, layers: Mapping[str, Sequence[int]]) -> list[str]:
    """Say that random sets are no control where there are too few other units, so that they share the edited ones."""
    own, count = len(units), layers[layer][0] if layer in layers else 0
    if not random or not count / 2 < own < count:
        return []
    return [
        f"{own} of the {count} units of {layer} are edited, and random sets of as many share them: hardly a control. "
        "Edit fewer (--top)."
    ]


def insertion_warnings(concept: str, places: pd.DataFrame, shown: "pd.Series[bool]") -> list[str]:
    """Say that an insertion shows nowhere, if it shows at hardly a place and gains nothing on average, either."""
    share = float(shown.mean()) if len(places) else 0.0
    gain = places.groupby("id").gain.mean().to_numpy(np.float64)
    if share >= RESPONSIVE or (len(gain) > 1 and exceeds(gain.mean(), gain.std(ddof=1) / math.sqrt(len(gain)))):
        return []
    where = "at none of the places" if share == 0 else f"at only {percent(share)} of the places"
    return [f"The insertion failed: {concept} appears {where}. {try_setting(concept)}"]


def everywhere_warnings(concept: str, others: pd.DataFrame) -> list[str]:
    """Say that an insertion at every place at once cost the image much of what else it showed; `others` is that."""
    lost, had = float(-others.change.clip(upper=0).sum()), float(others.before.sum())
    if not had or lost < SPOILT * had:
        return []
    place = f"ganatomy insert STUDY --concept {shlex.quote(concept)} --at ROW,COLUMN"
    return [
        f"{concept} is inserted at every place of the image at once, and the other concepts lose "
        f"{percent(lost / had, 2)} of their pixels. Insert it at one place: {place}; --at each finds where it appears."
    ]


def try_setting(concept: str) -> str:
    """Say what to try where an insertion failed."""
    return f"Try another setting: ganatomy setting STUDY --concept {shlex.quote(concept)} finds the best of several."


def try_place(concept: str) -> str:
    """Say what to try where an insertion at one place failed, although its setting is the best that was measured."""
    own = shlex.quote(concept)
    return f"The place may refuse it: ganatomy insert STUDY --concept {own} --at each finds where it appears."


def exceeds(value: float, error: float) -> bool:
    """Whether a change is above zero by more than `SURE` standard errors."""
    return bool(value > SURE * (error if math.isfinite(error) else 0.0))


def percent(share: float, digits: int = 3) -> str:
    """Return a share in words."""
    return f"{100 * share:.{digits}g} %"
