"""A made-up dissection of rendered scenes: units that look at one concept through a coarse, noisy grid."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ganatomy.generators.protocol import LayerShape
from ganatomy.scenes import PLANES, VOCABULARY, render

FRACTIONS = np.logspace(-3, 0, 100)


@dataclass(frozen=True)
class Spec:
    generator: str = "bundled:church"
    segmenter: str = "bundled:scenes"
    layers: tuple[str, ...] = ()
    images: int = 1000
    seed: int = 0
    threshold: str = "pair"
    top: int = 10


class Strip(NamedTuple):
    ids: Any
    values: Any
    pictures: Any
    masks: Any


class Fake:
    def __init__(self, units=24, layers=4, images=64, size=64, seed=0):
        rng = np.random.default_rng(seed)
        self.rng, self.spec = rng, Spec(images=images)
        self.vocabulary = VOCABULARY
        grids = [4, 4, 8, 8, 16, 16, 32, 32, 64, 64][:layers]
        self.layers = {f"layer{i + 1}": LayerShape(units, g, g) for i, g in enumerate(grids)}
        scenes = render("church", range(images), size)
        self.pictures = np.ascontiguousarray(scenes.images.transpose(0, 2, 3, 1))
        on = np.zeros((len(VOCABULARY), images), np.int64)
        self.labels = scenes.labels
        for plane in range(len(PLANES)):
            for c in range(1, len(VOCABULARY)):
                on[c] += (scenes.labels[:, plane] == c).sum((1, 2))
        share = on.sum(1) / (images * size * size)
        self.present = [np.flatnonzero(row) for row in on]
        self.concepts_on = on
        rare = share < 0.001
        usable = np.flatnonzero(~rare)[1:] if not rare[0] else np.flatnonzero(~rare)
        self.facts = {"versions": {"ganatomy": "0.1.0", "torch": "2.13.0"}, "inputs": {"generator": "ab" * 32, "segmenter": "cd" * 32},
                      "matched_rule": "interpretable, and IoU above control by more than 3 standard errors; false-positive rate below 0.1 %"}
        rows, pairs, self.target = [], [], {}
        for number, (layer, shape) in enumerate(self.layers.items()):
            quality = np.clip(rng.beta(1.3, 2.2, units) * (0.45 + 0.12 * min(number, 5)), 0, 1)
            for u in range(units):
                order = rng.permutation(usable)[:12]
                best = np.minimum(0.92, share[order] * 0.9 + quality[u] * rng.random(12))
                order, best = order[np.argsort(-best)], np.sort(best)[::-1]
                if u == 0:
                    best = best * 0.02
                for rank, (c, iou) in enumerate(zip(order, best, strict=True)):
                    pairs.append((layer, u, VOCABULARY[c].name, VOCABULARY[c].category, iou, share[c], iou / share[c], share[c] * rng.uniform(0.7, 1.05),
                                  iou * 0.7, int(rng.integers(30, 90)), 1.0, rng.uniform(0.7, 1), rank + 1))
                p = pairs[-12]
                interp = p[4] > 0.05 and p[11] > 0.75
                rows.append((layer, u, p[2], p[3], *p[4:9], p[9], FRACTIONS[p[9]], 1.0, p[11], interp, interp and p[4] > p[7] * 1.3, 0.1, 4.2))
                self.target[layer, u] = order[0]
        names = "layer unit concept category iou chance lift control iqr level threshold accuracy rank".split()
        self.pairs = pd.DataFrame(pairs, columns=names)
        self.units = pd.DataFrame(rows, columns="layer unit label category iou chance lift control iqr level fraction threshold accuracy interpretable matched on greatest".split())
        dead = self.units.index[3]
        self.units.loc[dead, ["iou", "chance", "lift", "control", "iqr"]] = np.nan
        self.units.loc[dead, ["label", "category"]] = None
        self.units.loc[dead, ["interpretable", "matched"]] = False
        self.units.loc[dead, "level"] = -1
        self.pairs = self.pairs[~((self.pairs.layer == self.units.layer[dead]) & (self.pairs.unit == self.units.unit[dead]))].reset_index(drop=True)
        self.concepts, self.by_layer = self._concepts(share, rare), self._by_layer()

    def _concepts(self, share, rare):
        rows = []
        for i, c in enumerate(self.vocabulary):
            if i == 0:
                continue
            mine = self.units[(self.units.label == c.name) & (self.units.category == c.category)]
            best = mine.loc[mine.iou.idxmax()] if len(mine) else None
            rows.append((c.name, c.category, share[i], int((self.concepts_on[i] > 0).sum()), bool(rare[i]), int(mine.interpretable.sum()), int(mine.matched.sum()),
                         None if best is None else best.layer, -1 if best is None else best.unit, np.nan if best is None else best.iou))
        return pd.DataFrame(rows, columns="concept category share images rare units_interpretable units_matched best_layer best_unit best_iou".split())

    def _by_layer(self):
        rows = []
        for layer, shape in self.layers.items():
            mine = self.units[self.units.layer == layer]
            good = mine[mine.matched.astype(bool)]
            rows.append((layer, shape.units, shape.height, shape.width, int(mine.interpretable.sum()), len(good), len(good[["label", "category"]].drop_duplicates()),
                         *((good.category == c).sum() for c in ("object", "part", "material", "colour")), mine.iou.mean()))
        return pd.DataFrame(rows, columns="layer units height width interpretable matched concepts object part material colour mean_iou".split())

    def top(self, layer, unit):
        rng = np.random.default_rng(hash((layer, unit)) % 2**32)
        c = self.target[layer, unit]
        k = min(self.spec.top, len(self.pictures))
        ids = np.argsort(-self.concepts_on[c] * rng.uniform(0.5, 1, len(self.pictures)))[:k]
        seen = (self.labels[ids] == c).any(1).astype(np.float32)
        size, grid = seen.shape[-1], self.layers[layer].height
        f = size // min(grid, size)
        low = seen.reshape(k, size // f, f, size // f, f).mean((2, 4)) + rng.normal(0, 0.12, (k, size // f, size // f))
        x = (np.arange(size) + 0.5) / f - 0.5
        i = np.clip(np.floor(x).astype(int), 0, size // f - 1)
        j, w = np.minimum(i + 1, size // f - 1), np.clip(x - i, 0, 1)
        high = low[:, i] * (1 - w)[None, :, None] + low[:, j] * w[None, :, None]
        high = high[:, :, i] * (1 - w) + high[:, :, j] * w
        return Strip(ids, np.sort(rng.gamma(3, 1, k))[::-1], self.pictures[ids], high > 0.42)

    def curve(self, layer, unit, concept):
        rows = self.pairs[(self.pairs.layer == layer) & (self.pairs.unit == unit) & (self.pairs.concept == concept)]
        row = rows.iloc[0]
        x = np.log10(FRACTIONS)
        peak = x[int(row.level)]
        iou = row.iou * np.exp(-((x - peak) ** 2) / 0.3)
        frame = pd.DataFrame({"level": range(100), "fraction": FRACTIONS, "threshold": np.linspace(4, 0, 100), "iou": iou, "iqr": iou**1.5 * 0.6, "on": FRACTIONS})
        frame.attrs["chosen"] = int(row.level)
        return frame

    def candidates(self, layer, unit):
        return self.pairs[(self.pairs.layer == layer) & (self.pairs.unit == unit)]
