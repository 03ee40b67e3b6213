"""When is a concept decided? The same units, edited in one window of steps after the other, beside random units."""

from collections.abc import Sequence

import pandas as pd

from ganatomy.core.errors import BadValue
from ganatomy.core.layer_steps import is_window, split_layer
from ganatomy.experiments.causal.effect_tally import EffectTally
from ganatomy.experiments.causal.trials import Edits
from ganatomy.interventions import Intervention


def check_windows(windows: int, layers: Sequence[str], concept: str | None) -> None:
    """Refuse windows that steps cannot be cut into, or that nothing is read in.

    Raises:
        BadValue: see above.
    """
    if windows < 1:
        raise BadValue(f"windows={windows}: give 1 for the whole, or how many windows the steps are cut into")
    if windows == 1:
        return
    if not is_window(layers):
        raise BadValue(f"windows={windows} cut several steps of one block; give them, such as at_steps=1..8")
    if windows > len(layers):
        raise BadValue(f"windows={windows}: at_steps has {len(layers)} steps; give at most as many windows")
    if concept is None:
        raise BadValue(f"windows={windows}: the effect in each window is read on a concept; give it")


def cut(layers: Sequence[str], windows: int) -> list[list[str]]:
    """Return layers in consecutive windows, as even as can be, the longer ones first.

    >>> cut(["up2@1", "up2@2", "up2@3", "up2@4", "up2@5"], 2)
    [['up2@1', 'up2@2', 'up2@3'], ['up2@4', 'up2@5']]
    """
    short, longer = divmod(len(layers), windows)
    ends = [(i + 1) * short + min(i + 1, longer) for i in range(windows)]
    return [list(layers[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def in_windows(trials: Sequence[Edits], layers: Sequence[str], windows: int) -> list[list[Intervention]]:
    """Return trials at all steps, then the same in each window; of one window those at all steps alone."""
    own = [set(layers), *(map(set, cut(layers, windows)) if windows > 1 else ())]
    return [[edit for edit in trial if edit.layer in window] for window in own for trial in trials]


def window_table(tally: EffectTally, concept: int, layers: Sequence[str], windows: int) -> pd.DataFrame:
    """Return the effect on a concept in each window, and at all steps in the last row, where the images are edited."""
    found = tally.read()
    trials = tally.edited.shape[1] - 1
    own = trials // (1 + windows)
    last = len(found.change) - trials  # the way to read that is confined to what is edited
    rows = []
    for i, steps in [*enumerate(cut(layers, windows), 1), (0, list(layers))]:
        first = last + i * own
        values = {name: float(getattr(found, name)[first, concept]) for name in ("before", "after", "change")}
        sets = pd.Series(found.change[first + 1 : first + own, concept].tolist(), dtype=float)
        numbers = [split_layer(layer).step for layer in steps]
        rows.append(
            {
                "steps": f"{numbers[0]}..{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}",
                **values,
                "change_error": float(found.change_error[first, concept]),
                "random_change": sets.mean(),
                "random_spread": sets.std(),
            }
        )
    return pd.DataFrame(rows)
