"""Everything that a dissection says equals brute force on a tiny sample; and it opens again without any model."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.core.resample import Grid, labels_at, upsample
from ganatomy.experiments.dissection import Dissection
from ganatomy.models.generators.planted import UNITS, PlantedGenerator
from ganatomy.models.segmenters.planted import PlantedSegmenter
from ganatomy.models.toy_world import VOCABULARY

CPU = torch.device("cpu")
Mask = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float64]
MasksAt = Callable[[int, int, float], tuple[Mask, Mask]]
NAMES = [(layer, unit) for layer, roles in UNITS.items() for unit in range(len(roles))]
IMAGES, LEVELS, TOP, SEED, SIDE, RARE = 14, 15, 3, 5, 16, 0.06
OPTIONS: dict[str, Any] = {
    "segmenter": "planted",
    "images": IMAGES,
    "levels": LEVELS,
    "smallest": 0.01,
    "calibration": 6,
    "top": TOP,
    "seed": SEED,
    "resolution": SIDE,
    "rare": RARE,
    "batch": 4,
    "shard": 8,
}

RAW, UPSAMPLED = "quantile:0.05", "upsampled-quantile:0.05"
GRID = np.logspace(0, -2, LEVELS)
TOPS = dict.fromkeys(("pair", "unit", "max-iou"), GRID) | dict.fromkeys((RAW, UPSAMPLED), np.sort([*GRID, 0.05])[::-1])

# ---------------------------------------------------------------- the reference


@dataclass
class Half:
    """One half of the sample: activations of each unit, and where each concept is, own and of the partner's image."""

    values: npt.NDArray[np.float64]
    shown: Mask
    partners: Mask
    paired: int

    def masks(self, unit: int, concept: int, level: float) -> tuple[Mask, Mask]:
        return self.values[:, unit] > level, self.shown[concept]

    def mismatched(self, unit: int, concept: int, level: float) -> tuple[Mask, Mask]:
        return self.values[: self.paired, unit] > level, self.partners[concept]


def half(ids: range, rule: str = "pair") -> Half:
    generator = PlantedGenerator(CPU)
    seen = generator.observe(generator.latents(ids, SEED), list(UNITS))
    height, width = seen.images.shape[-2:]
    grid = Grid(SIDE, SIDE, None if rule == "unit" else (height, width))  # published: evenly spaced points
    values = torch.cat([upsample(seen.features[layer], grid) for layer in UNITS], 1).numpy()
    labels = labels_at(PlantedSegmenter(CPU)(seen.images), (SIDE, SIDE)).numpy()
    shown = np.stack([(labels == c).any(1) for c in range(len(VOCABULARY))])
    paired = len(ids) // 2 * 2
    partners = shown[:, :paired].reshape(len(shown), -1, 2, SIDE, SIDE)[:, :, ::-1].reshape(shown[:, :paired].shape)
    return Half(values, shown, partners, paired)


def quality(on: Mask, shown: Mask) -> float:
    p = np.array([(a & b).mean() for a in (on, ~on) for b in (shown, ~shown)])
    chance = np.array([a.mean() * b.mean() for a in (on, ~on) for b in (shown, ~shown)])
    p, chance = p[p > 0], chance[p > 0]
    entropy = -(p * np.log(p)).sum()
    return max((p * np.log(p / chance)).sum() / entropy, 0) if entropy > 0 else 0


def overlap(pairs: list[tuple[Mask, Mask]]) -> float:
    both, either = (sum(int(f(on, shown).sum()) for on, shown in pairs) for f in (np.logical_and, np.logical_or))
    return both / either if either else 0


def agreement(on: Mask, shown: Mask) -> float:
    return float((on == shown).mean())


def levels_of(ids: range, rule: str, row: int) -> Levels:
    """Return the candidate levels of a unit; that of `RAW` is a quantile of its raw activations."""
    tops = TOPS[rule]
    levels = np.quantile(half(ids, rule).values[:, row], 1 - tops)
    if rule == RAW:
        generator, (layer, unit) = PlantedGenerator(CPU), NAMES[row]
        raw = generator.observe(generator.latents(ids, SEED), [layer]).features[layer][:, unit].double()
        place, cut = list(tops).index(0.05), np.quantile(raw, 0.95)
        levels = np.concatenate([np.minimum(levels[:place], cut), [cut], np.maximum(levels[place + 1 :], cut)])
    return levels


def candidates(masks_at: MasksAt, unit: int, concept: int, levels: Levels) -> dict[int, tuple[Mask, Mask]]:
    """Return the masks at each level where unit and concept go together more often than by chance."""
    masks = {j: masks_at(unit, concept, level) for j, level in enumerate(levels)}
    return {j: (on, shown) for j, (on, shown) in masks.items() if (on & shown).mean() > on.mean() * shown.mean()}


def may_be_chosen(rule: str, masks: tuple[Mask, Mask], level: float) -> bool:
    """Return whether a rule may choose a level of positive association for a pair."""
    on, shown = masks
    return rule != "unit" or (agreement(on, shown) > 0.8 and level > 0 and shown.mean() >= RARE)


def choose(rule: str, masks_at: MasksAt, unit: int, concept: int, levels: Levels) -> int:
    """Return the level that a rule chooses, as SPEC 2 words it; -1 if there is none."""
    if rule in (RAW, UPSAMPLED):
        return int(np.abs(TOPS[rule] - 0.05).argmin())
    scores: dict[int, float] = {}
    for c in range(1, len(VOCABULARY)) if rule == "unit" else [concept]:
        for j, (on, shown) in candidates(masks_at, unit, c, levels).items():
            if may_be_chosen(rule, (on, shown), levels[j]):
                score = overlap([(on, shown)]) if rule == "max-iou" else quality(on, shown)
                scores[j] = max(scores.get(j, 0), score)
    return max(scores, key=lambda j: (scores[j], -j), default=-1)


# ---------------------------------------------------------------- the scores


@pytest.mark.slow
@pytest.mark.parametrize("validation", ["separate", "cross"])
@pytest.mark.parametrize("rule", ["pair", "unit", "max-iou", RAW, UPSAMPLED])
def test_every_score_equals_brute_force(rule: str, validation: str) -> None:
    found = ganatomy.dissect("planted:", **OPTIONS, threshold=rule, validation=validation, label="iou")
    halves = [range(IMAGES), range(IMAGES, 2 * IMAGES)] if validation == "separate" else [range(7), range(7, IMAGES)]
    scored_on, chosen_on = (half(ids, rule) for ids in halves)
    calibration = range(IMAGES, IMAGES + 6) if validation == "separate" else range(6)
    for row, (layer, unit) in enumerate(NAMES):
        levels = levels_of(calibration, rule, row)
        rows = found.candidates(layer, unit).set_index("concept")
        fits = False
        for c in range(1, len(VOCABULARY)):
            name = VOCABULARY[c].name
            if name not in rows.index:
                continue
            folds = [(scored_on, chosen_on), (chosen_on, scored_on)][: 1 + (validation == "cross")]
            chosen = [choose(rule, other.masks, row, c, levels) for _, other in folds]
            cuts = [(own, levels[j] if j >= 0 else np.inf) for (own, _), j in zip(folds, chosen, strict=True)]
            matched = [own.masks(row, c, cut) for own, cut in cuts]
            mismatched = [own.mismatched(row, c, cut) for own, cut in cuts]
            j = chosen[0]
            at_level = candidates(chosen_on.masks, row, c, levels).get(j)
            expected = {
                "iou": overlap(matched),
                "control": overlap(mismatched),
                "iqr": quality(*at_level) if at_level and may_be_chosen(rule, at_level, levels[j]) else 0,
                "level": j,
            }
            assert rows.loc[name, list(expected)].to_dict() == pytest.approx(expected, abs=1e-12), (layer, unit, name)
            null = float(found.reading.null[row, found.column(name)])
            assert null == pytest.approx(null_of(rule, folds, row, c, levels), rel=1e-6)
            if rows.loc[name, "rank"] == 1 and expected["iou"] > 0:
                check_label(found.units.iloc[row], name, expected, matched, levels)
            fits |= expected["iou"] > 0.05 and pooled_agreement(matched) > 0.75
        assert found.units.interpretable[row] == fits


def null_of(rule: str, folds: list[tuple[Half, Half]], row: int, c: int, levels: Levels) -> float:
    """Return how many times what would make it matched the mismatched masks reach, put through the same rule."""
    chosen = [choose(rule, other.mismatched, row, c, levels) for _, other in folds]
    cuts = [levels[j] if j >= 0 else np.inf for j in chosen]
    null, control = (
        [fold[which].mismatched(row, c, cut) for fold, cut in zip(folds, cuts, strict=True)] for which in (0, 1)
    )
    if not (overlap(null) > 0.05 and pooled_agreement(null) > 0.75):
        return 0.0
    chance = float(np.concatenate([shown.ravel() for _, shown in null]).mean())
    levels_of_two = ((1.5, overlap(control)), (2, chance))
    required = max(min(times * level, (1 + 2 * level) / 3) for times, level in levels_of_two)
    return np.inf if overlap(null) > (1 + required) / 2 else overlap(null) / required


def pooled_agreement(pairs: list[tuple[Mask, Mask]]) -> float:
    return agreement(*(np.concatenate([m.ravel() for m in part]) for part in zip(*pairs, strict=True)))


def check_label(
    unit: "pd.Series[Any]", name: str, best: dict[str, float], masks: list[tuple[Mask, Mask]], levels: Levels
) -> None:
    """Check the row of a unit, given its best concept, the masks that are compared, and its levels."""
    on, shown = (np.concatenate([m.ravel() for m in part]) for part in zip(*masks, strict=True))
    level = int(best["level"]) if best["level"] >= 0 else LEVELS - 1  # the nearest to the top half per cent
    expected = {
        **best,
        "level": level,
        "label": name,
        "chance": shown.mean(),
        "lift": best["iou"] / shown.mean(),
        "accuracy": agreement(on, shown),
        "on": on.mean(),
        "threshold": levels[level],
    }
    for field, value in expected.items():
        assert unit[field] == (pytest.approx(value, abs=1e-12) if isinstance(value, float) else value), field


# ---------------------------------------------------------------- the tables


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    return ganatomy.dissect("planted:", **OPTIONS, out=tmp_path_factory.mktemp("tiny") / "study")


@pytest.fixture(scope="module")
def evaluation() -> Half:
    return half(range(IMAGES))


def test_concepts_that_are_too_rare_have_no_score(tiny: Dissection) -> None:
    validation = half(range(IMAGES, 2 * IMAGES))
    share = validation.shown.mean((1, 2, 3))
    rare = [c.name for c, s in zip(VOCABULARY, share, strict=True) if s < RARE]
    assert 0 < len(rare) < 5, "the test needs some of both"
    table = tiny.concepts.set_index("concept")
    assert sorted(table.index[table.rare]) == sorted(rare)
    assert table.best_iou[rare].isna().all()
    assert table.best_layer[rare].isna().all()
    assert table.best_unit[rare].isna().all()
    assert not set(tiny.units.label) & set(rare)
    assert not set(tiny.pairs.concept) & set(rare)
    assert set(tiny.candidates("layer1", 0).concept) == set(table.index) - set(rare)
    with mistake("bad-value", rare[0], "images"):
        tiny.ranked(rare[0])


def test_concepts(tiny: Dissection, evaluation: Half) -> None:
    table = tiny.concepts
    assert list(zip(table.concept, table.category, strict=True)) == list(VOCABULARY[1:])
    np.testing.assert_allclose(table.share, evaluation.shown[1:].mean((1, 2, 3)), rtol=1e-12)
    assert table.images.tolist() == evaluation.shown[1:].any((2, 3)).sum(1).tolist()
    for row in table[~table.rare].itertuples():
        pairs = tiny.pairs[tiny.pairs.concept == row.concept]
        assert row.units_matched == pairs.matched.sum()
        assert row.units_labelled == (tiny.units.label == row.concept).sum()
        assert row.units_interpretable >= pairs.interpretable.sum()
        ranked = tiny.ranked(row.concept)
        assert ranked.matched.sum() == row.units_matched
        first = (ranked[ranked.matched] if ranked.matched.any() else ranked).iloc[0]
        assert (row.best_layer, row.best_unit, row.best_iou) == (first.layer, first.unit, first.iou)


def test_layers(tiny: Dissection) -> None:
    table = tiny.by_layer.set_index("layer")
    assert list(table.index) == list(UNITS)
    for layer, row in table.iterrows():
        own = tiny.units[tiny.units.layer == layer]
        matched = own[own.matched]
        assert (row.units, row.height, row.width) == tiny.layers[str(layer)]
        assert (row.units, row.interpretable, row.matched) == (len(own), own.interpretable.sum(), len(matched))
        assert row.concepts == matched.label.nunique()
        assert row[["object", "part", "material", "colour"]].sum() == len(matched)
        assert row.material == (matched.category == "material").sum()
        assert row.mean_iou == pytest.approx(own.iou.mean())


def test_units_are_in_forward_order(tiny: Dissection) -> None:
    assert list(zip(tiny.units.layer, tiny.units.unit, strict=True)) == NAMES
    assert dict(tiny.layers) == {layer: (len(own), 2**i * 8, 2**i * 8) for i, (layer, own) in enumerate(UNITS.items())}


def test_units_without_a_label_miss_their_scores(tiny: Dissection) -> None:
    dead = tiny.units[[UNITS[layer][unit] in ("dead", "on") for layer, unit in NAMES]]
    assert len(dead) == 5
    assert (
        dead[["label", "category", "iou", "chance", "lift", "control", "iqr", "accuracy", "on"]].isna().all(axis=None)
    )
    assert not dead[["interpretable", "matched"]].any(axis=None)
    assert dead.threshold.notna().all()


def test_pairs_are_those_that_beat_their_control(tiny: Dissection) -> None:
    tables = []
    for layer, unit in NAMES:
        tables.append(tiny.candidates(layer, unit).assign(layer=layer, unit=unit))
    every = pd.concat(tables).set_index(["layer", "unit", "concept"])
    pairs = tiny.pairs.set_index(["layer", "unit", "concept"])
    for field in ("iou", "control", "iqr", "level", "rank", "chance"):
        pd.testing.assert_series_equal(pairs[field], every.loc[pairs.index, field], check_names=False)
    assert (pairs.iou > pairs[["control", "chance"]].max(axis=1)).all()
    left_out = every[~every.index.isin(pairs.index) & (every.iou > every.chance)]
    margin = (left_out.iou - left_out.control).groupby("concept").max()
    for concept, least in (pairs.iou - pairs.control).groupby("concept").min().items():
        assert least > margin.get(concept, 0), "one that is left out beats its control by more"
    best = tiny.pairs[tiny.pairs["rank"] == 1].set_index(["layer", "unit"])
    matched = tiny.units[tiny.units.matched].set_index(["layer", "unit"])
    assert set(matched.index) <= set(best.index)
    for field in ("iou", "control", "accuracy", "threshold", "lift"):
        pd.testing.assert_series_equal(best.loc[matched.index, field], matched[field])


def test_rankings_go_both_ways(tiny: Dissection) -> None:
    table = tiny.ranked("ball")
    assert table["rank"].tolist() == list(range(1, len(NAMES) + 1))
    assert (table.iou.diff().dropna() <= 0).all()
    for row in table.head(5).itertuples():
        own = tiny.candidates(row.layer, row.unit).set_index("concept").loc["ball"]
        assert (row.iou, row.control, row.iqr, row.level) == tuple(own[["iou", "control", "iqr", "level"]])


def test_a_curve_holds_every_level(tiny: Dissection, evaluation: Half) -> None:
    row = 1 + NAMES.index(("layer2", 9))
    layer, unit = NAMES[row]
    validation = half(range(IMAGES, 2 * IMAGES))
    levels = np.quantile(half(range(IMAGES, IMAGES + 6)).values[:, row], 1 - TOPS["pair"])
    curve = tiny.curve(layer, unit, "ball")
    assert curve.level.tolist() == list(range(LEVELS))
    np.testing.assert_array_equal(curve.fraction, TOPS["pair"])
    np.testing.assert_array_equal(curve.threshold, levels)
    masks = [evaluation.masks(row, 3, level) for level in levels]
    np.testing.assert_allclose(curve.iou, [overlap([pair]) for pair in masks], atol=1e-12)
    np.testing.assert_allclose(curve.on, [on.mean() for on, _ in masks], atol=1e-12)
    np.testing.assert_allclose(curve.iqr, [quality(*validation.masks(row, 3, x)) for x in levels], atol=1e-12)
    chosen = tiny.candidates(layer, unit).set_index("concept").level["ball"]
    assert curve.attrs["chosen"] == chosen
    assert tiny.curve("layer1", 4, "ball").attrs["chosen"] is None, "a dead unit has no level"


def test_top_images(tiny: Dissection, evaluation: Half) -> None:
    generator = PlantedGenerator(CPU)
    seen = generator.observe(generator.latents(range(IMAGES), SEED), list(UNITS))
    for row, (layer, unit) in enumerate(NAMES):
        greatest = seen.features[layer][:, unit].amax((1, 2)).numpy()
        best = np.argsort(-greatest, kind="stable")[:TOP]
        strip = tiny.top(layer, unit)
        assert strip.ids.tolist() == best.tolist()
        assert strip.values.tolist() == greatest[best].tolist()
        assert tiny.units.greatest[row] == greatest.max()
        np.testing.assert_array_equal(strip.images, images(seen.images)[best])
        np.testing.assert_array_equal(strip.masks, evaluation.values[best, row] > tiny.units.threshold[row])


def images(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    return ((images.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().clip(0, 255).astype(np.uint8)


def test_fewer_images_than_asked_for_are_all_on_top(tmp_path: Path) -> None:
    found = ganatomy.dissect("planted:", segmenter="planted", images=5, top=10, layers=["layer1"], out=tmp_path / "s")
    assert sorted(found.top("layer1", 0).ids) == [0, 1, 2, 3, 4]
    assert found.top("layer1", 4).ids.tolist() == [0, 1, 2, 3, 4], "ties go to the lower id"
    assert found.top("layer1", 0).masks.shape == (5, 32, 32)
    crossed = ganatomy.dissect("planted:", segmenter="planted", images=5, validation="cross", layers=["layer1"])
    assert sorted(crossed.top("layer1", 0).ids) == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------- questions that have no answer


def test_names_that_are_none(tiny: Dissection) -> None:
    for ask in (tiny.top, tiny.candidates, tiny.show):
        with mistake("unknown-name", "layer9"):
            ask("layer9", 0)
        with mistake("unknown-name", "layer1/12"):
            ask("layer1", 12)
        with mistake("unknown-name", "layer1/-1"):
            ask("layer1", -1)
    for question in (tiny.ranked, lambda name: tiny.curve("layer1", 0, name)):
        with mistake("unknown-name", "ball", "bal"):
            question("bal")


# ---------------------------------------------------------------- opening again


def test_it_opens_again_as_it_was(tiny: Dissection) -> None:
    again = ganatomy.open_dissection(tiny.study.directory)
    assert again.spec == tiny.spec
    assert again.facts == tiny.facts
    assert again.vocabulary == VOCABULARY
    assert again.layers == tiny.layers
    for table in ("units", "concepts", "pairs", "by_layer"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(tiny, table))
    for layer, unit in NAMES[::7]:
        for a, b in zip(vars(again.top(layer, unit)).values(), vars(tiny.top(layer, unit)).values(), strict=True):
            np.testing.assert_array_equal(a, b)
        pd.testing.assert_frame_equal(again.candidates(layer, unit), tiny.candidates(layer, unit))


REOPEN = """
import sys
import ganatomy
found = ganatomy.open_dissection(sys.argv[1])
layer = found.by_layer.layer[0]
print(len(found.units), len(found.curve(layer, 0, found.scored[1].name)), len(found.top(layer, 0).ids))
opened = [name for name in sys.modules if name.endswith((".generators.planted", ".segmenters.colors", ".progan"))]
assert not opened, opened
"""

MODULE = """
from torch import nn
def net():
    return nn.Sequential(nn.ConvTranspose2d(4, 6, 16), nn.ReLU(), nn.Conv2d(6, 3, 1), nn.Tanh())
"""


@pytest.mark.slow
def test_it_opens_without_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "their_net.py"
    module.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    ganatomy.dissect("torch:their_net:net?latent=4x1x1", segmenter="colors", images=6, levels=9, out=tmp_path / "study")
    module.unlink()
    done = subprocess.run(
        [sys.executable, "-c", REOPEN, tmp_path / "study"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["12", "9", "6"]


def test_what_is_no_dissection_is_refused(tiny: Dissection, tmp_path: Path) -> None:
    with mistake("study-error", tmp_path):
        ganatomy.open_dissection(tmp_path)
    record = (tiny.study.directory / "study.json").read_text()
    (tmp_path / "study.json").write_text(record.replace('"label": "matched"', '"loudness": 0.99'))
    with mistake("bad-file", tmp_path, "loudness"):
        ganatomy.open_dissection(tmp_path)
