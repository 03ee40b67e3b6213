"""A finished dissection of any size, of random smooth numbers: to measure what is made of large studies.

No model is asked: the tables, the strips and the top images are drawn at random, with about as many labels, pairs and
regions as a real study has. The images are rendered scenes, which take about as many bytes as photographs of places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ganatomy.core.vocabulary import CATEGORIES, NOTHING, Concept
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.top_images import Strip, Strips
from ganatomy.scenes import render
from ganatomy.stats.topk import TopImages
from ganatomy.study import Study

Floats = npt.NDArray[np.float64]
SEED = 20


@dataclass(frozen=True)
class Size:
    """How large a study is; by default that of a ProGAN of 256 pixels, and the words of a large segmenter.

    Attributes:
        layers: how many, of which each second one has twice the resolution of the one before.
        units: of each layer.
        concepts, common: in the vocabulary, and of these such as are on enough pixels to be scored.
        images, side: how many, and their height and width in pixels.
        top: top images of a unit.
    """

    layers: int = 14
    units: int = 288
    concepts: int = 1729
    common: int = 400
    images: int = 1000
    side: int = 256
    top: int = 10

    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Return units, height and width of each layer by name, in forward order."""
        sides = [min(self.side, 4 << i // 2) for i in range(self.layers)]
        return {f"layer{i + 1}": (self.units, side, side) for i, side in enumerate(sides)}


class LargeDissection(Dissection):
    """A dissection whose top images lie in a step of their own, and whose curves follow from its tables."""

    @cached_property
    def _best(self) -> TopImages:
        return self.study.step("best", TopImages, _missing)

    def top(self, layer: str, unit: int) -> Strip:
        """Return the top images of a unit."""
        row = self._row(layer, unit)
        return self._strips.strip(layer, unit, self._best.ids[row], self._best.values[row])

    def curves(self, layer: str, units: Sequence[int], concepts: Sequence[int]) -> tuple[Floats, Floats, Floats]:
        """Return smooth curves, each with one hill at the level and of the height that the table of pairs has."""
        known = self._peaks.loc[[(layer, u, *self.vocabulary[c]) for u, c in zip(units, concepts, strict=True)]]
        levels = np.arange(len(self.spec.tops()))
        width = 8 + 20 * ((np.asarray(units) * 37 + np.asarray(concepts) * 11) % 97) / 97
        hill = np.exp(-(((levels - known["level"].to_numpy()[:, None]) / width[:, None]) ** 2))
        on = np.broadcast_to(self.spec.tops(), hill.shape)
        return known["iou"].to_numpy()[:, None] * hill, known["iqr"].to_numpy()[:, None] * hill**2, on

    def levels(self, layer: str) -> tuple[Floats, Tensor]:
        """Return levels that fall off evenly with the logarithm of the fraction, up to the greatest activation."""
        tops = self.spec.tops()
        greatest = self.units.loc[self.units["layer"] == layer, "greatest"].to_numpy()
        return tops, torch.from_numpy(greatest[:, None] * np.log(tops) / (2 * np.log(tops[-1])))

    @cached_property
    def _peaks(self) -> pd.DataFrame:
        return self.pairs.set_index(["layer", "unit", "concept", "category"])[["level", "iou", "iqr"]]


def _missing() -> TopImages:
    raise FileNotFoundError("no study of this benchmark")


def large_study(directory: Path, size: Size) -> Dissection:
    """Write a study of that size into an empty directory, and open it."""
    rng = np.random.default_rng(SEED)
    vocabulary = (NOTHING, *(Concept(f"word {i:04}", CATEGORIES[i % 4]) for i in range(1, size.concepts + 1)))
    spec = DissectSpec("synthetic:", "synthetic:", images=size.images, top=size.top)
    facts = {
        "inputs": {"generator": "0" * 64, "segmenter": "0" * 64},
        "layers": {name: list(shape) for name, shape in size.shapes().items()},
        "vocabulary": [list(concept) for concept in vocabulary],
        "versions": {"ganatomy": "0"},
    }
    tables = _tables(rng, size, spec, vocabulary)
    best = _top_images(rng, size)
    with Study.create(directory, spec, facts) as study:
        study.step("best", TopImages, lambda: best)
        study.step("strips", Strips, lambda: _strips(rng, size, best.ids))
        for name, table in tables.items():
            study.write_table(name, table)
        study.finish(matched_rule="drawn at random", false_labels=0.005)
    return LargeDissection.open(directory)


def _tables(
    rng: np.random.Generator, size: Size, spec: DissectSpec, vocabulary: Sequence[Concept]
) -> dict[str, pd.DataFrame]:
    share = np.zeros(size.concepts)
    share[: size.common] = np.geomspace(0.25, 0.001, size.common)
    concepts = pd.DataFrame(vocabulary[1:], columns=["concept", "category"]).assign(share=share, rare=share == 0)
    pairs = _pairs(rng, size, spec, concepts)
    units = _units(rng, size, spec, pairs)
    matched = pairs[pairs["matched"]].groupby(["concept", "category"]).size()
    labelled = units.groupby(["label", "category"]).size()
    keys = pd.MultiIndex.from_frame(concepts[["concept", "category"]])
    concepts["images"] = (size.images * np.minimum(1, 20 * share)).astype(int)
    concepts["units_matched"] = matched.reindex(keys, fill_value=0).to_numpy()
    concepts["units_labelled"] = labelled.reindex(keys, fill_value=0).to_numpy()
    return {"units": units, "concepts": concepts, "pairs": pairs, "by_layer": _layers(size, units)}


def _pairs(rng: np.random.Generator, size: Size, spec: DissectSpec, concepts: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that beat chance and control, about a third of all; a few of them by much."""
    chance = concepts["share"].to_numpy()[: size.common]
    names = [(layer, unit) for layer, shape in size.shapes().items() for unit in range(shape[0])]
    control = chance * rng.lognormal(0, 0.2, (len(names), size.common))
    iou = np.minimum(0.9, chance * rng.lognormal(-0.3, 0.4, control.shape))
    units, columns = np.nonzero(iou > np.maximum(control, chance))
    order = np.argsort(np.argsort(-iou, axis=1, kind="stable"), axis=1, kind="stable")
    own, accuracy = iou[units, columns], rng.uniform(0.6, 1, len(units))
    fits = (own > spec.interpretable_iou) & (accuracy > spec.interpretable_accuracy)
    clear = own > np.maximum(spec.over_chance * chance[columns], spec.over_control * control[units, columns])
    level = rng.integers(20, 95, len(units))
    return (
        pd.DataFrame(names, columns=["layer", "unit"])
        .iloc[units]
        .assign(
            concept=concepts["concept"].to_numpy()[columns],
            category=concepts["category"].to_numpy()[columns],
            iou=own,
            chance=chance[columns],
            lift=own / chance[columns],
            control=control[units, columns],
            iqr=own * rng.uniform(0.2, 0.9, len(units)),
            level=level,
            threshold=level * rng.uniform(0.01, 0.1, len(units)),
            accuracy=accuracy,
            interpretable=fits,
            matched=fits & clear,
            rank=order[units, columns] + 1,
        )
        .reset_index(drop=True)
    )


def _units(rng: np.random.Generator, size: Size, spec: DissectSpec, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the table of units: the label is the matched concept of greatest IoU."""
    names = [(layer, unit) for layer, shape in size.shapes().items() for unit in range(shape[0])]
    best = pairs[pairs["matched"]].sort_values("iou", ascending=False).drop_duplicates(["layer", "unit"])
    table = pd.DataFrame(names, columns=["layer", "unit"]).merge(best, how="left", on=["layer", "unit"])
    table = table.rename(columns={"concept": "label"}).drop(columns=["rank", "interpretable"])
    table["level"] = table["level"].fillna(50).astype(int)
    some = pairs.groupby(["layer", "unit"])["interpretable"].any()
    return table.assign(
        fraction=spec.tops()[table["level"]],
        threshold=table["threshold"].fillna(1.0),
        interpretable=some.reindex(pd.MultiIndex.from_frame(table[["layer", "unit"]]), fill_value=False).to_numpy(),
        matched=table["label"].notna(),
        on=np.where(table["label"].isna(), np.nan, rng.uniform(0.001, 0.2, len(table))),
        greatest=rng.uniform(2, 20, len(table)),
    )


def _layers(size: Size, units: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for layer, (count, height, width) in size.shapes().items():
        own = units[(units["layer"] == layer) & units["matched"]]
        kinds = {category: int((own["category"] == category).sum()) for category in CATEGORIES}
        facts: dict[str, Any] = {"layer": layer, "units": count, "height": height, "width": width, "matched": len(own)}
        facts |= {"concepts": own["label"].nunique(), **kinds, "mean_iou": own["iou"].mean()}
        rows.append(facts)
    return pd.DataFrame(rows)


def _top_images(rng: np.random.Generator, size: Size) -> TopImages:
    """Return images of each unit drawn at random, through all layers."""
    best = TopImages(size.layers * size.units, size.top)
    best.ids = torch.from_numpy(rng.random((size.layers * size.units, size.images)).argsort(1)[:, : size.top].copy())
    best.values = torch.from_numpy(rng.uniform(1, 9, best.ids.shape).astype(np.float32)).sort(1, descending=True).values
    return best


def _strips(rng: np.random.Generator, size: Size, ids: Tensor) -> Strips:
    """Return every image, and regions that follow a smooth field of each layer's grain and the lights of the image."""
    images = torch.from_numpy(render("church", range(size.images), size.side).images)
    masks = {
        layer: torch.from_numpy(np.stack(list(_regions(rng, images, own, shape[1]))))
        for (layer, shape), own in zip(size.shapes().items(), ids.split(size.units), strict=True)
    }
    return Strips(torch.arange(size.images), masks, images, torch.tensor([size.side, size.side, 0, 0]))


def _regions(rng: np.random.Generator, images: Tensor, ids: Tensor, side: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the packed regions of each unit of a layer of that side, uint8 [k, bytes]."""
    bright = F.adaptive_avg_pool2d(images.float().mean(1) / 255, side)
    for own in ids:
        coarse = torch.from_numpy(rng.normal(size=(1, len(own), min(side, 12), min(side, 12)))).float()
        field = F.interpolate(coarse, (side, side), mode="bilinear")
        field = field + rng.normal() * 1.5 * bright[own][None]
        whole = F.interpolate(field, images.shape[2:], mode="bilinear")[0].flatten(1)
        on = whole > whole[:, ::16].quantile(1 - rng.uniform(0.02, 0.25))
        yield np.packbits(on.numpy(), axis=1)
