"""Which labels say what units cause, and how many labels are false? The table of docs/dissection.md.

    python benchmarks/labels.py agreement bundled:church --images 200    # quicker: --layers layer4
    python benchmarks/labels.py false bundled:church --images 300

`agreement` ablates every unit of some layers alone and asks, for several rules that label units, of how many labelled
units the own concept shrinks by more than two standard errors, and of how many it is among the tenth that shrink most
(see `label_agreement`). `false` gives the segmenter's labels to other images of the batch, so that every label is
false, and counts the units that are matched to anything.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import ganatomy
from ganatomy.core.tensor_types import Images, Labels
from ganatomy.experiments.causal.unit_effects import LEAST, label_agreement
from ganatomy.experiments.dissection import Dissection
from ganatomy.models.segmenters import Segmenter

LAYERS = ["layer4", "layer5", "layer6", "layer7"]
Pairs = npt.NDArray[np.bool_]


def rules(found: Dissection) -> Iterator[tuple[str, Pairs, npt.NDArray[np.float64]]]:
    """Yield names of rules, the pairs that each admits, and what it chooses by, units × concepts."""
    scores, reading = found.scores, found.reading
    iou, iqr = np.nan_to_num(scores.iou), np.where(scores.rare, 0, reading.iqr.numpy())
    control, chance, fits = reading.control.numpy(), scores.share, scores.interpretable
    yield "greatest IoU of all", iou > 0, iou
    yield "greatest IQR of all", iqr > 0, iqr
    yield "greatest IoU of interpretable pairs", fits, iou
    for over_control, over_chance in ((1.2, 1.2), (1.5, 1.5), (2.0, 2.0), (1.5, 2.0)):
        admitted = fits & (iou > np.maximum(over_control * control, over_chance * chance))
        yield f"exceeds {over_control:g} × control, {over_chance:g} × chance: greatest IoU", admitted, iou
        yield f"exceeds {over_control:g} × control, {over_chance:g} × chance: greatest IQR", admitted, iqr
    null = np.where(scores.rare, 0, reading.null.numpy())
    own = np.maximum(np.quantile(null, 0.998, axis=0, method="higher"), 0.8)
    yield "exceeds the 99.8 % quantile of the concept's null", fits & (iou > own * required(found)), iou
    yield "matched (the default)", scores.matched, iou


def required(found: Dissection) -> npt.NDArray[np.float64]:
    """Return the IoU that a matched pair exceeds before margins are raised, units × concepts."""
    spec = found.spec
    return np.maximum(spec.over_control * found.reading.control.numpy(), spec.over_chance * found.scores.share)


def agreement(generator: str, images: int, layers: Sequence[str], out: Path) -> pd.DataFrame:
    """Return one row a rule, pooled over layers."""
    found = ganatomy.dissect(generator, images=images, out=out)
    names = [concept.name for concept in found.vocabulary]
    kinds = [concept.category for concept in found.vocabulary]
    effects = {layer: ganatomy.unit_effects(found, layer=layer, images=64, estimate=False).table for layer in layers}
    rows = []
    for rule, admitted, score in rules(found):
        chosen = np.where(admitted, score, 0)
        label = np.where(chosen.max(1) > 0, chosen.argmax(1), 0)
        table = found.units.assign(label=[names[i] if i else None for i in label], category=[kinds[i] for i in label])
        rows.append((rule, *pooled(found, table, effects)))
    rows.append(("random labels", *pooled(found, None, effects)))
    return pd.DataFrame(rows, columns=["rule", "labelled", "scored", "shrinks", "top tenth"])


def pooled(
    found: Dissection, units: pd.DataFrame | None, effects: dict[str, pd.DataFrame]
) -> tuple[float, int, float, float]:
    """Return the share of units with a label, how many are scored, and of these the two shares of `label_agreement`."""
    labelled, scored, hits, total = 0, 0, np.zeros(2), 0
    for layer, table in effects.items():
        given = found if units is None else relabelled(found, units)
        row = label_agreement(given, layer, table).iloc[2 if units is None else 0]
        labelled += row.labelled
        scored += row.scored
        hits += np.nan_to_num([row.shrinks, row.top_tenth]) * row.scored
        total += found.layers[layer].units
    return labelled / total, scored, *(hits / max(scored, 1))


def relabelled(found: Dissection, units: pd.DataFrame) -> Dissection:
    """Return the dissection with other labels."""
    other = object.__new__(Dissection)
    vars(other).update(vars(found) | {"units": units})
    return other


def false_labels(generator: str, images: int, layers: Sequence[str]) -> pd.DataFrame:
    """Return how many units are matched to anything by labels of other images, for several shifts and seeds."""
    true = ganatomy.open_segmenter("bundled:scenes")
    rows = []
    for seed, shift in ((0, 0), (11, 7), (12, 5), (13, 11)):
        segmenter = shifted(true, shift) if shift else true
        with tempfile.TemporaryDirectory() as place:
            found = ganatomy.dissect(
                generator, segmenter=segmenter, images=images, seed=seed, layers=layers, out=Path(place) / "s"
            )
            matched = int(found.units.matched.sum())
            raised = ", ".join(f"{name} {factor:.2g}" for name, factor in found.facts["raised"].items())
            rows.append((seed, shift, len(found.units), matched, matched / len(found.units), raised))
    return pd.DataFrame(rows, columns=["seed", "shift", "units", "matched", "share", "margins raised"])


def shifted(true: Segmenter, shift: int) -> Segmenter:
    """Return a segmenter that gives each image the labels of another one of its batch."""

    def labels(images: Images) -> Labels:
        return true(images).roll(min(shift, len(images) - 1), 0)

    return ganatomy.as_segmenter(labels, list(true.vocabulary), planes=list(true.planes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("agreement", "false"))
    parser.add_argument("generator")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--layers", nargs="+", default=LAYERS)
    parser.add_argument("--out", type=Path, help="keeps the studies of `agreement`")
    args = parser.parse_args()
    if args.what == "false":
        table = false_labels(args.generator, args.images, args.layers)
    else:
        out = args.out or Path(tempfile.mkdtemp()) / "study"
        table = agreement(args.generator, args.images, args.layers, out)
        print(f"concepts on at least {LEAST:.1%} of the pixels; 64 images an ablation")
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3f}"))


if __name__ == "__main__":
    main()
