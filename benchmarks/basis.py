"""Units against other directions of the same layers: does the generator's own basis matter, and how far?

    python benchmarks/basis.py OUT [--generator bundled:church] [--layers layer4,layer6] [--images 1000] [--json]

Network Dissection's control for axis alignment: random rotations, rotations of less than their full angle, and
principal directions, dissected on the images on which the units are. The last row knows nothing: the features are
those of another image, so what it matches is false, and `expected` says how much of that was foreseen. OUT keeps
every dissection; a run that is stopped goes on where it was.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

import ganatomy
from ganatomy.core.fingerprint import fingerprint
from ganatomy.models.generators import Edit, Generator, LayerShape, Observation, Subject, open_generator
from ganatomy.models.generators.basis import in_basis
from ganatomy.models.generators.directions import principal, rotation

SEEDS = (0, 1, 2)
AMOUNTS = (0.25, 0.5, 0.75)


class Mismatched:
    """A subject whose features are those of other images of the batch, by two places.

    The dissection's own control swaps neighbours; by two, no image of it meets its own features again.
    """

    def __init__(self, inner: Generator) -> None:
        self.layers: dict[str, LayerShape] = dict(inner.layers)
        self.device, self.latents, self._inner = inner.device, inner.latents, inner
        self.fingerprint = fingerprint({}, "mismatched", inner.fingerprint)

    def observe(self, z: torch.Tensor, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        seen = self._inner.observe(z, layers, edits)
        return replace(seen, features={layer: r.roll(2, 0) for layer, r in seen.features.items()})


def subjects(generator: Generator, layers: Sequence[str]) -> dict[str, Subject]:
    """Return what is dissected, by name."""

    def rotated(seed: int, amount: float = 1.0) -> Subject:
        model: Subject = generator
        for layer in layers:
            model = in_basis(model, layer, rotation("", subject=generator, layer=layer, seed=seed, amount=amount))
        return model

    main: Subject = generator
    for layer in layers:
        main = in_basis(main, layer, principal("", subject=generator, layer=layer))
    return {
        "units": generator,
        **{f"rotation, seed {seed}": rotated(seed) for seed in SEEDS},
        "principal": main,
        **{f"rotation, seed 0, {amount:g} of it": rotated(0, amount) for amount in AMOUNTS},
        "mismatched": Mismatched(generator),
    }


def measure(given: argparse.Namespace) -> pd.DataFrame:
    """Dissect every subject; return a row for each of them and layer."""
    from ganatomy.experiments.fdr import false_discovery

    layers, rows = given.layers.split(","), []
    for name, subject in subjects(open_generator(given.generator), layers).items():
        out = given.out / name.replace(", ", "-").replace(" ", "-")
        result = ganatomy.dissect(subject, segmenter=given.segmenter, layers=layers, images=given.images, out=out)
        print(f"{name}: {int(result.units.matched.sum())} matched", flush=True)
        found, expected = result.by_layer.set_index("layer"), false_discovery(result).set_index("layer")
        for layer in layers:
            own = result.units[(result.units.layer == layer) & result.units.matched]
            numbers = {"interpretable": found.interpretable[layer], "matched": found.matched[layer]}
            numbers |= {"concepts": found.concepts[layer], "mean_iou": own.iou.mean()}
            rows.append({"layer": layer, "basis": name, **numbers, "expected": expected.expected[layer]})
    return pd.DataFrame(rows).sort_values("layer", kind="stable")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where dissections are kept")
    parser.add_argument("--generator", default="bundled:church")
    parser.add_argument("--segmenter", default="bundled:scenes")
    parser.add_argument("--layers", default="layer4,layer6")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    table = measure(given)
    print(json.dumps(table.to_dict("records")) if given.json else table.to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
