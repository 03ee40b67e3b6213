"""Does a dab of the brush show what it should, and only where it should?

    python benchmarks/paint_effect.py STUDY --out DIR
    python benchmarks/paint_effect.py STUDY --out DIR --concepts cloud tree --places 200

For each concept one dab in each of many images, at a free place where the renderer could put the concept, and one
where it never would (SPEC 6), through the code that the studio runs. Beside it stand the control and the paper's
setting. Writes effect.json, effect.md, and a grid of images for each concept: the first eight places of each kind,
before and after.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.stats import binomtest

from ganatomy.core.cache import cache_directory
from ganatomy.experiments.causal.dissected_model import open_source
from ganatomy.experiments.causal.insertion import control_edits
from ganatomy.experiments.causal.place_truth import LEAST, scene_boxes, scene_labels, truth_category, typical_area
from ganatomy.experiments.causal.places import cell_counts, corners, draw_place, masks, read_at
from ganatomy.experiments.causal.pool import PoolSpec
from ganatomy.experiments.causal.trials import baselines
from ganatomy.models.generators.protocol import Edit
from ganatomy.scenes.places import POSSIBLE, open_bank, place_probabilities
from ganatomy.web import Painter
from ganatomy.web.readers import pixels
from ganatomy.web.schemas import Stroke

FIRST = 7_000_000
"""Id of the first image: no study of ours uses these."""
SHOWN, SCALE = 8, 2
KINDS = ("allowed", "forbidden")
WAYS = ("measured", "control", "paper")


@dataclass
class Place:
    """A free place of an image, its probability, and whether the concept appeared there, by way."""

    id: int
    row: int
    column: int
    possible: float
    appears: dict[str, bool] = field(default_factory=dict)


class Effect:
    """The dabs of one concept."""

    def __init__(self, painter: Painter, concept: str, images: int) -> None:
        values, source = painter.values, painter.source
        self.painter, self.concept, self.images = painter, concept, images
        self.layer = values.default_layers[-1]
        self.found = values.required(self.layer, concept)
        best = self.found.setting.best
        self.c, self.grid, self.cell = source.concept(concept), source.grid(best.places), best.cell
        category = truth_category(source, concept, None)
        if category is None:
            raise SystemExit(f"no renderer says where a {concept} may be")
        self.bank = open_bank(category, cache_directory())
        share = self.cell**2 / (self.grid[0] * self.grid[1])
        self.least = min(LEAST, 0.5 * typical_area(self.bank, source.named(self.c)) / share) - 1e-6

    def places(self, count: int) -> dict[str, list[Place]]:
        """Return places of each kind, one an image and kind."""
        found: dict[str, list[Place]] = {kind: [] for kind in KINDS}
        source = self.painter.source
        boxes = scene_boxes(corners(self.grid, self.cell), self.cell, self.grid)
        spec = PoolSpec(**source.names(), layer=self.layer, images=self.images, first=FIRST)
        for given in baselines(source, spec, spec.ids()):
            free = cell_counts(given.labels, [self.c], self.grid, self.cell)[:, 1] == 0
            labels = scene_labels(source.dissection.vocabulary, given.labels)
            own = source.named(self.c)
            possible = torch.from_numpy(place_probabilities(self.bank, own, labels, boxes)).reshape(free.shape)
            for kind, fits in zip(KINDS, (possible >= POSSIBLE, possible == 0), strict=True):
                for i, (row, column) in enumerate(draw_place(free & fits, given.ids, 1).tolist()):
                    if row >= 0 and len(found[kind]) < count:
                        found[kind].append(Place(given.ids[i], row, column, float(possible[i, row, column])))
            if all(len(own) == count for own in found.values()):
                break
        return found

    def dab(self, place: Place, **given: Any) -> Stroke:
        """Return a dab of the brush that covers a place."""
        height, width = self.grid
        at = ((place.column + self.cell / 2) / width, (place.row + self.cell / 2) / height)
        radius = self.cell / 2 / width
        return Stroke(action="draw", layer=self.layer, concept=self.concept, points=[at], radius=radius, **given)

    def edits(self, place: Place) -> dict[str, Sequence[Edit]]:
        """Return what is done at a place, by way."""
        own = self.painter.edits([self.dab(place, by="best")])
        first = self.painter.values.default_layers[0]
        paper = self.dab(place, by="iou", top=20).model_copy(update={"layer": first})
        image, ids = torch.zeros(1, dtype=torch.long), range(place.id, place.id + 1)
        strength = self.found.setting.best.strength
        control = control_edits(self.found.parts, self.where(place), image, ids, 0, strength)
        return {"measured": own, "control": control, "paper": self.painter.edits([paper])}

    def where(self, place: Place) -> torch.Tensor:
        """Return the map of a place."""
        return masks(self.grid, torch.tensor([[place.row, place.column]]), self.cell)

    def measure(self, place: Place) -> None:
        """Dab, and see whether the concept appears."""
        for way, edits in self.edits(place).items():
            labels = self.painter.source.models.segmenter(self.painter._edited(place.id, 0, edits))
            shown = read_at(labels, self.c, self.where(place))
            place.appears[way] = float(shown.at / shown.area) >= self.least

    def show(self, places: dict[str, list[Place]]) -> Image.Image:
        """Draw the first places of each kind, before and after."""
        rows = []
        for kind in KINDS:
            first = places[kind][:SHOWN]
            before = [self._framed(self.painter.image(place.id, 0), place) for place in first]
            after = [pixels(self.painter._edited(place.id, 0, self.edits(place)["measured"])) for place in first]
            rows += [before, [np.asarray(_large(image)) for image in after]]
        high, wide = rows[0][0].shape[:2]
        sheet = Image.new("RGB", ((wide + 4) * SHOWN, (high + 4) * len(rows)), "white")
        for i, row in enumerate(rows):
            for j, image in enumerate(row):
                sheet.paste(Image.fromarray(image), (j * (wide + 4), i * (high + 4) + 4 * (i % 2 == 0)))
        return sheet.quantize(128)

    def _framed(self, image: Any, place: Place) -> Any:
        large = _large(image)
        step_y, step_x = (n / cells for n, cells in zip((large.height, large.width), self.grid, strict=True))
        corner = (place.column * step_x, place.row * step_y)
        box = (*corner, corner[0] + self.cell * step_x - 1, corner[1] + self.cell * step_y - 1)
        ImageDraw.Draw(large).rectangle(box, outline=(255, 225, 0))
        return np.asarray(large)


def _large(image: Any) -> Image.Image:
    return Image.fromarray(image).resize((image.shape[1] * SCALE, image.shape[0] * SCALE), Image.Resampling.NEAREST)


def summary(effect: Effect, places: dict[str, list[Place]]) -> dict[str, Any]:
    """Return the shares of places where the concept appears, with Wilson intervals of 95 %."""
    best = effect.found.setting.best
    row: dict[str, Any] = {"concept": effect.concept, "setting": best.name, "layers": best.layers(), "cell": best.cell}
    for way in WAYS:
        for kind in KINDS:
            seen = [place.appears[way] for place in places[kind] if way in place.appears]
            low, high = binomtest(sum(seen), len(seen)).proportion_ci(method="wilson") if seen else (None, None)
            row[f"{way}_{kind}"] = {
                "places": len(seen), "share": sum(seen) / len(seen) if seen else None, "low": low, "high": high
            }  # fmt: skip
    return row


def markdown(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    heads = [f"{way}: {kind}" for way in WAYS for kind in KINDS]
    yield "| concept | setting | " + " | ".join(heads) + " |"
    yield "| --- | --- |" + " --: |" * len(heads)
    for row in rows:
        described = f"{row['setting']}; {', '.join(row['layers'])}; {row['cell']} × {row['cell']}"
        yield (
            f"| {row['concept']} | {described} | "
            + " | ".join(_cell(row[f"{w}_{k}"]) for w in WAYS for k in KINDS)
            + " |"
        )


def _cell(shown: dict[str, Any]) -> str:
    if shown["share"] is None:
        return "–"
    return f"{100 * shown['share']:.0f} % of {shown['places']} ({100 * shown['low']:.0f}–{100 * shown['high']:.0f})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a finished dissection whose settings are measured")
    parser.add_argument("--out", type=Path, required=True, help="directory of the table and the images")
    parser.add_argument("--concepts", nargs="+", default=["cloud", "tree", "door", "window"])
    parser.add_argument("--places", type=int, default=120, help="of each kind (120)")
    parser.add_argument("--images", type=int, default=3000, help="among which places are looked for, at most (3000)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    painter, rows = Painter(open_source(args.study)), []
    for concept in args.concepts:
        began = process_time()
        effect = Effect(painter, concept, args.images)
        places = effect.places(args.places)
        for place in (place for kind in KINDS for place in places[kind]):
            effect.measure(place)
        rows.append({**summary(effect, places), "processor_seconds": round(process_time() - began)})
        effect.show(places).save(args.out / f"paint-{concept}.png", optimize=True)
        sys.stderr.write(f"{concept}: {rows[-1]['processor_seconds']} s of a processor\n")
    (args.out / "effect.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (args.out / "effect.md").write_text("\n".join(markdown(rows)) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(markdown(rows)) + "\n")


if __name__ == "__main__":
    main()
