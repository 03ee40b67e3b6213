"""What makes a result no finding: images that show nothing, edits that do nothing, repairs that do harm.

One place decides; pages, tables, notebooks and ``--json`` say it first. Thresholds leave the bundled models room:
``tests/experiments/test_warnings.py`` holds them to that.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ganatomy.study import as_bad_file

if TYPE_CHECKING:
    import pandas as pd

    from ganatomy.experiments.causal.accuracy import Accuracy
    from ganatomy.experiments.causal.ace import Ace
    from ganatomy.experiments.causal.capacity import Capacity
    from ganatomy.experiments.causal.context import Context
    from ganatomy.experiments.causal.effects import Effect
    from ganatomy.experiments.causal.trace import Trace
    from ganatomy.experiments.compare.comparison import Comparison
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.monitor.monitoring import Monitoring
    from ganatomy.experiments.repair import Repair

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
SURE = 2.0
"""Standard errors that a change must exceed."""


def warnings_of(result: Any) -> list[str]:
    """Return why a result is no finding, one sentence each; nothing for a sound one.

    Args:
        result: a `Dissection`, a `Comparison`, a `Monitoring`, or what a causal study, a repair or a study of quality
            found.
    """
    given = result.facts.get("warnings") if hasattr(result, "facts") else None
    inherited = list(map(str, given)) if isinstance(given, list) else []
    own = _WARNINGS.get(type(result).__name__)
    return inherited + (own(result) if own else [])


def _dissection(result: "Dissection") -> list[str]:
    facts = result.facts.get("sample")
    with as_bad_file(result.study.directory):
        found = _of_images(facts) if facts else []
    concepts = result.concepts
    if not len(concepts):
        return found
    share = float(concepts.share.sum())
    if share < SEEN:
        what = "nothing" if share == 0 else f"something in only {_percent(share)} of the pixels"
        found.append(f"The segmenter finds {what} of these images, so what units are matched to says nothing.")
    elif bool(concepts.rare.all()):
        found.append("No concept covers enough of the images to be scored, so no unit can have a label.")
    for concept, covered in zip(concepts.concept, concepts.share, strict=True):
        if covered >= EVERYTHING:
            found.append(f"{concept} covers {_percent(covered)} of the pixels: any unit that is on goes with it.")
    return found


def _of_images(facts: Mapping[str, float]) -> list[str]:
    """Say what is wrong with the images, the first thing only: the others follow from it."""
    plain, alike, black, white = (facts[name] for name in ("plain", "alike", "black", "white"))
    if plain >= FEW:
        colour = "black" if facts["mean"] < BLACK else "white" if facts["mean"] > WHITE else "of one colour"
        return [f"{_share_of(facts, plain)} are {colour}: there is nothing in them to find."]
    if alike >= FEW:
        return [f"{_share_of(facts, alike)} are all but the same as another: the sample lacks variety."]
    if black + white >= SATURATED and min(black, white) >= ENDS:
        ends = f"{_percent(black)} of the values are black and {_percent(white)} white"
        return [f"The images are saturated: {ends}. Are the bounds of the generator's output right?"]
    return []


def _share_of(facts: Mapping[str, float], share: float) -> str:
    return f"{'All' if share == 1 else f'{_percent(share)} of the'} {facts['images']:,} images"


def _effect(result: "Effect") -> list[str]:
    spec = result.spec
    if spec.concept is None or spec.kind not in ("insert", "ablate"):
        return []
    sign = 1 if spec.kind == "insert" else -1
    name = spec.concept.rpartition(":")[2]
    own = result.table[result.table.concept == name] if len(result.table) else result.table
    if any(_sure(sign * change, error) for change, error in zip(own.change, own.change_error, strict=True)):
        return []
    measured = "; ".join(
        f"{100 * row.change:+.2f} ± {100 * row.change_error:.2f} % of the pixels" for row in _rows(own)
    )
    said = "The insertion shows nowhere" if sign > 0 else "The ablation takes nothing away"
    return [f"{said}: {name} changes by {measured or '0 % of the pixels'}."]


def _context(result: "Context") -> list[str]:
    return _at_places(result.spec.concept, result.places, result.places.gain >= result.spec.responsive)


def _trace(result: "Trace") -> list[str]:
    drawn = result.places[result.places.drawn.astype(bool)]
    return _at_places(result.spec.concept, drawn, drawn.visible)


def _at_places(concept: str, places: "pd.DataFrame", shown: "pd.Series[bool]") -> list[str]:
    """Say that an insertion shows nowhere, if it shows at hardly a place and gains nothing on average, either."""
    share = float(shown.mean()) if len(places) else 0.0
    gain = places.groupby("id").gain.mean().to_numpy(np.float64)
    if share >= RESPONSIVE or (len(gain) > 1 and _sure(gain.mean(), gain.std(ddof=1) / math.sqrt(len(gain)))):
        return []
    where = "at none of the places" if share == 0 else f"at only {_percent(share)} of the places"
    return [f"The insertion shows nowhere: {concept} appears {where}."]


def _capacity(result: "Capacity") -> list[str]:
    picked = result.table[result.table.picked.astype(bool)]
    if any(_sure(row.appears, row.appears_error) for row in _rows(picked)):
        return []
    return [f"No setting that was tried makes {result.spec.concept} appear: even the best shows nowhere for sure."]


def _ace(result: "Ace") -> list[str]:
    table = result.effects
    kept = table[(table.n == result.spec.top) & (table["by"] == "ace") & (table.term == "ace")]
    if any(_sure(row.normalised, row.normalised_error) for row in _rows(kept)):
        return []
    return [f"The units that were found do nothing for sure: {result.spec.concept} neither goes nor comes with them."]


def _repair(result: "Repair") -> list[str]:
    name = result.spec.sets[-1][0]
    own = result.table[result.table["set"] == name]
    worse = [row for row in _rows(own) if _sure(row.change, row.change_error)]
    where = {"plain": "plain images", "artifacts": "images in which the units are greatest"}
    return [
        f"The repaired model is worse: the distance of {where.get(str(row.sample), 'images')} from real ones grows by "
        f"{row.change:.3g} ± {row.change_error:.2g}, to {row.fid:.3g}."
        for row in worse
    ]


def _accuracy(result: "Accuracy") -> list[str]:
    classes = len(result.classes)
    overall = result.overall.set_index("measure").before
    told, chance = float(overall.get("balanced accuracy", math.nan)), 1 / max(classes, 1)
    error = math.sqrt(chance * (1 - chance) / result.spec.images)
    if classes < 2 or not told <= chance + SURE * error:
        return []
    return [f"The classifier is no better than chance: {_percent(told)} right, {_percent(chance)} by luck."]


def _comparison(result: "Comparison") -> list[str]:
    return [f"{each.name}: {said}" for each in result.studies for said in warnings_of(each.dissection)]


def _rows(table: "pd.DataFrame") -> list[Any]:
    return list(table.itertuples(index=False))


def _monitoring(result: "Monitoring") -> list[str]:
    """Say what is wrong with the last look; early ones show little in any training."""
    step = result.steps[-1]
    return [f"Step {step:,}: {said}" for said in warnings_of(result.dissection(step))]


def _sure(value: float, error: float) -> bool:
    return bool(value > SURE * (error if math.isfinite(error) else 0.0))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


_WARNINGS: dict[str, Callable[[Any], list[str]]] = {
    "Dissection": _dissection,
    "Effect": _effect,
    "Context": _context,
    "Trace": _trace,
    "Capacity": _capacity,
    "Ace": _ace,
    "Repair": _repair,
    "Accuracy": _accuracy,
    "Comparison": _comparison,
    "Monitoring": _monitoring,
}
