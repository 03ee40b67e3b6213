"""How exactly photographs are drawn, one by one and by concept."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ganatomy.core.tensor_types import Labels
from ganatomy.core.vocabulary import Vocabulary
from ganatomy.experiments.inversion.found import FoundLatents, ModelImages, place_among
from ganatomy.experiments.inversion.photographs import stems


def photographs_table(
    files: Sequence[Path], drawn: ModelImages, found: FoundLatents, labels: Labels, again: Labels
) -> pd.DataFrame:
    """Return how exactly each photograph is drawn, and where it is among the images of the model."""
    difference = ((found.images.clamp(-1, 1) - found.photographs) / 2).double()
    farther = (drawn.nearest[None] < found.distance[:, None]).double().mean(1)
    return pd.DataFrame(
        {
            "photograph": stems(files),
            "error": difference.abs().mean((1, 2, 3)).tolist(),
            "psnr": (-10 * difference.square().mean((1, 2, 3)).clamp(min=1e-12).log10()).tolist(),
            "kept": (labels == again).double().mean((1, 2, 3)).tolist(),
            "distance": (found.distance / drawn.nearest.median()).tolist(),
            "farther": farther.tolist(),
            "place": [place_among(float(each), drawn.nearest) for each in found.distance],
        }
    )


def concepts_table(vocabulary: Vocabulary, labels: Labels, again: Labels) -> pd.DataFrame:
    """Return how many pixels of each concept keep their label, over the photographs that show it."""
    rows = []
    for c, concept in enumerate(vocabulary):
        there = (labels == c).any(1)
        both = (there & (again == c).any(1)).double().sum((1, 2))
        seen = there.double().sum((1, 2))
        if c and bool(seen.sum() > 0):
            own = seen > 0
            kept, count = both.sum() / seen.sum(), int(own.sum())
            spread = ((both - kept * seen)[own].square().sum() * count / max(count - 1, 1)).sqrt() / seen.sum()
            rows.append(
                {
                    "concept": concept.name,
                    "category": concept.category,
                    "photographs": count,
                    "share": float(seen.sum() / there.numel()),
                    "kept": float(kept),
                    "kept_error": float(spread) if count > 1 else float("nan"),
                }
            )
    columns = ["concept", "category", "photographs", "share", "kept", "kept_error"]
    return pd.DataFrame(rows, columns=columns).sort_values("share", ascending=False, ignore_index=True)
