"""The errors of counts: blocks drawn again equal images counted again, and predict what other samples give."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.core.resample import Grid, labels_at, upsample
from ganatomy.experiments import dissection_stats
from ganatomy.experiments.bootstrap import block_weights, difference, resampled
from ganatomy.experiments.dissection import Dissection, interpretable_with
from ganatomy.experiments.redraws import Changes, Redraws
from ganatomy.experiments.tables import Scores, UnitLabels
from ganatomy.models.generators.planted import UNITS, PlantedGenerator
from ganatomy.models.segmenters.planted import PlantedSegmenter
from ganatomy.models.toy_world import VOCABULARY
from ganatomy.stats.pairs import PairCounts
from ganatomy.stats.scores import choose_levels

SIDE = 16
GRID = Grid(SIDE, SIDE, (32, 32))
SMALL: dict[str, Any] = {"segmenter": "planted", "images": 45, "levels": 20, "calibration": 10, "resolution": SIDE}


def small(**options: Any) -> Dissection:
    return ganatomy.dissect("planted:", **SMALL | options)


@pytest.fixture(scope="module")
def found() -> Dissection:
    return small()


def drawn_once(found: Dissection, scored: list[float], chosen: list[float], other: list[float]) -> Scores:
    """Return the scores of one draw, with weights of the scored and of the choosing blocks."""
    changes = (torch.tensor([own], dtype=torch.float64) - 1 for own in (scored, chosen, other))
    return next(Redraws(found).scores(Changes(*changes)))


def judged(found: Dissection, scored: list[float], chosen: list[float]) -> UnitLabels:
    """Judge all units in one draw, by the margins of the dissection."""
    scores = drawn_once(found, scored, chosen, scored)
    return replace(scores, reading=replace(scores.reading, null=found.reading.null)).labels


def table_of(found: Dissection, layer: str = "layer1") -> PairCounts:
    return found.evaluation.pairs("evaluation", layer)


def blocks(found: Dissection) -> int:
    return table_of(found).blocks


def required(control: float, chance: float) -> float:
    """Return the IoU that a matched pair exceeds."""
    return max(min(times * level, (1 + 2 * level) / 3) for times, level in ((1.5, control), (2, chance)))


def names(label: npt.NDArray[np.int64]) -> list[str]:
    return [VOCABULARY[i].name if i else "none" for i in label]


# ---------------------------------------------------------------- one draw


@pytest.mark.slow
@pytest.mark.parametrize("validation", ["separate", "cross"])
@pytest.mark.parametrize("rule", ["pair", "unit", "max-iou", "quantile:0.05"])
def test_every_block_once_is_the_dissection_itself(rule: str, validation: str) -> None:
    found = small(threshold=rule, validation=validation)
    verdict = judged(found, *[[1.0] * blocks(found)] * 2)
    assert names(verdict.label) == found.units.label.fillna("none").tolist()
    assert verdict.iou.tolist() == found.units.iou.fillna(0).tolist(), "to the bit"
    assert names(verdict.interpretable_with) == interpretable_with(found).label.fillna("none").tolist()
    assert verdict.interpretable.tolist() == found.units.interpretable.tolist()
    assert verdict.matched.tolist() == found.units.matched.tolist()


def recounted(found: Dissection, weights: list[int]) -> pd.DataFrame:
    """Count the images of every block as often as it weighs, at the dissection's thresholds: mask by mask."""
    size = int(table_of(found).span[1])
    ids = [i for i in range(44) for _ in range(weights[i // size])]  # in pairs still, as the weight is the block's
    order = sorted(range(len(ids)), key=lambda k: (ids[k] // 2, ids[:k].count(ids[k]), ids[k]))
    ids = [44, *(ids[k] for k in order)]  # the last has no partner: it is counted once, and has no control
    generator = PlantedGenerator(torch.device("cpu"))
    seen = generator.observe(torch.cat([generator.latents(range(i, i + 1), 0) for i in ids]), list(UNITS))
    values = torch.cat([upsample(seen.features[layer], GRID) for layer in UNITS], 1).numpy()
    labels = labels_at(PlantedSegmenter(torch.device("cpu"))(seen.images), (SIDE, SIDE)).numpy()
    shown = np.stack([(labels == c).any(1) for c in range(len(VOCABULARY))])
    partner = shown[:, 1:].reshape(len(shown), -1, 2, SIDE, SIDE)[:, :, ::-1].reshape(shown[:, 1:].shape)
    scores, rows = found.scores, []
    for u in range(values.shape[1]):
        best, interpretable = (0.0, 0), False
        for c in np.flatnonzero(~scores.rare):
            level = int(scores.reading.level[u, c])
            on = values[:, u] > (scores.levels[u, level] if level >= 0 else np.inf)
            overlap, control = (
                (a & b).sum() / max((a | b).sum(), 1) for a, b in ((on, shown[c]), (on[1:], partner[c]))
            )
            if overlap > 0.05 and (on == shown[c]).mean() > 0.75:
                interpretable = True
                if overlap > scores.raised[c] * required(control, shown[c].mean()):
                    best = max(best, (overlap, -c))
        rows.append((-best[1], best[0], interpretable, best[0] > 0))
    return pd.DataFrame(rows, columns=["label", "iou", "interpretable", "matched"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_draw_counts_the_images_of_its_blocks(found: Dissection, seed: int) -> None:
    number = blocks(found)
    weights = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number)).tolist()
    assert max(weights) > 1
    assert min(weights) == 0
    verdict = judged(found, weights, [1.0] * blocks(found))
    expected = recounted(found, weights)
    assert verdict.label.tolist() == expected.label.tolist()
    np.testing.assert_allclose(verdict.iou, expected.iou, atol=1e-12)
    assert verdict.interpretable.tolist() == expected.interpretable.tolist()
    assert verdict.matched.tolist() == expected.matched.tolist()


def test_levels_are_chosen_anew_on_counts_that_change_as_the_blocks_drawn() -> None:
    """By as much, in each group of bins, as the evaluation counts of the pair do; for the concepts that fit best."""
    found = small(levels=100, layers=["layer1"], label="iou")
    table, chosen = table_of(found), found.chosen
    weights = [table.blocks / 3] * 3 + [0.0] * (table.blocks - 3)
    ones = [1.0] * table.blocks
    drawn = drawn_once(found, ones, weights, ones).reading.level
    changed = 0
    for u, k in np.ndindex(*chosen.kept.shape):
        c = int(chosen.kept[u, k])
        if drawn[u, c] != found.reading.level[u, c]:
            changed += 1
        elif not found.scores.matched[u, c]:
            continue  # its level has no consequence, and is kept
        rows = []
        for place in (0, k + 1):
            groups = table.groups[:, u, place].double().numpy()
            factor = np.repeat(1 + (np.array(weights) - 1) @ groups / groups.sum(0).clip(1), 8)[:101]
            rows.append((chosen.curves[u, place].numpy() * factor).round().clip(0))
        counts = torch.from_numpy(np.stack(rows)).long()[None]
        expected = choose_levels(counts, table.levels[u : u + 1], "pair")[0, 1]
        assert abs(drawn[u, c] - expected) <= 1, "counts are rounded, and neighbouring levels nearly as good"
    assert changed > 3


@pytest.mark.parametrize("validation", ["separate", "cross"])
def test_controls_and_what_they_reach_by_chance_are_drawn_again(validation: str) -> None:
    """Unit by unit and block by block; a mismatched pair is scored on one draw and controlled by another."""
    found = small(images=44, validation=validation)
    weights = block_weights(blocks(found), 1.0, 2, (0, 0))
    ones = [1.0] * blocks(found)
    control, null = np.zeros((2, len(found.units), len(VOCABULARY)))
    for units in found.counted():
        table = table_of(found, units.layer)
        first = int((found.units.layer == units.layer).argmax())
        for u, c in np.ndindex(len(units.level), len(VOCABULARY)):
            row, drawn = units.rows.start + u, []
            for weight in weights:
                tables = (table.both[1, :-1, row, c], table.on[1, :-1, row, c], *table.shown[1, :-1, [c, 0]].T)
                more = [float((weight - 1) @ own.double().numpy()) for own in tables]
                both, on_only, shown_only, neither = (float(pixels[u, c]) for pixels in units.control)
                both, on, shown = both + more[0], both + on_only + more[1], both + shown_only + more[2]
                pixels = float(units.control.on_and_shown[u, c]) + on_only + shown_only + neither + more[3]
                either = on + shown - both
                drawn.append((both / either if either > 0 else 0.0, 1 - (either - both) / pixels, shown / pixels))
            (scored, right, chance), (other, _, _) = drawn
            control[first + row, c] = scored
            if scored > 0.05 and right > 0.75:
                null[first + row, c] = scored / max(required(other, chance), 1e-9)
    assert (null > 0).any()
    reading = drawn_once(found, weights[0].tolist(), ones, weights[1].tolist()).reading
    np.testing.assert_allclose(reading.control, control, atol=1e-12)
    np.testing.assert_allclose(reading.null, null, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- many draws


def test_weights_have_the_variance_of_samples() -> None:
    """A mean of n numbers varies by s²/n, which weights of variance 1 - 1/n make of s²; half the images, by twice."""
    for part, variance in ((1.0, 1.0), (0.5, 2.0)):
        weights = block_weights(17, part, 20_000, (0, 0))
        np.testing.assert_allclose(weights.sum(1), 17)
        np.testing.assert_allclose(weights.mean(0), 1, atol=0.05)
        assert weights.var(0).mean() == pytest.approx(variance, rel=0.02)


def test_counts_are_those_of_the_dissection_with_errors(found: Dissection) -> None:
    drawn = found.errors
    assert drawn is not None
    assert drawn.blocks == 11
    table = drawn.counts.set_index(["quantity", "layer", "category"])
    layers = found.by_layer.set_index("layer")
    for quantity in ("interpretable", "matched", "concepts"):
        assert [table.value[quantity, layer, "all"] for layer in layers.index] == layers[quantity].tolist()
    assert table.value["matched", "layer3", "material"] == layers.material["layer3"]
    units = found.units.assign(category=interpretable_with(found).category)[found.units.interpretable]
    kinds = units[units.layer == "layer2"].category.value_counts()
    assert {kind: table.value["interpretable", "layer2", kind] for kind in kinds.index} == kinds.to_dict()
    own = found.units[found.units.matched]
    assert table.value["matched_iou", "all", "all"] == pytest.approx(own.iou.mean())
    assert table.value["concepts", "all", "all"] == own.label.nunique()
    assert table.error["matched_iou", "layer1", "all"] > 0
    assert np.isnan(table.value["matched_iou", "layer1", "part"]), "no unit, no mean"
    known = table.dropna()
    assert (known.low <= known.high).all()
    assert (known.low >= 0).all()
    concepts = drawn.concepts.set_index(["layer", "concept"])
    assert concepts.value["all", "tree"] == (own.label == "tree").sum()
    assert concepts.share.between(0, 1).all()
    units = drawn.units
    assert units.iou_error[found.units.label.notna()].gt(0).all()
    assert units.iou_error[found.units.label.isna()].isna().all()
    assert units.matched_share[found.units.matched].mean() > 0.9
    assert units.matched_share[~found.units.interpretable].mean() < 0.2


def test_units_that_are_kept_in_runs_are_scored_the_same(found: Dissection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dissection_stats, "RUN", 3)
    runs = small()
    assert list(runs.evaluation.runs("evaluation", "layer1")) != [0]
    pd.testing.assert_frame_equal(runs.units, found.units)
    one, other = (resampled(each, 10, 3) for each in (runs, found))
    assert one is not None
    assert other is not None
    assert np.array_equal(one.iou, other.iou)
    assert np.array_equal(one.matched, other.matched)


def test_draws_are_a_function_of_their_seed(found: Dissection) -> None:
    one, again, other = (resampled(found, 10, seed) for seed in (3, 3, 4))
    assert one is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(one.iou, again.iou)
    assert not np.array_equal(one.iou, other.iou)


def test_differences_of_the_same_images_cancel_and_of_others_add(found: Dissection) -> None:
    one, other = found.errors, small(seed=1).errors
    assert one is not None
    assert other is not None
    same = difference(one, one)
    assert (same.value.dropna() == 0).all()
    assert (same.error.dropna() == 0).all()
    tables = (difference(one, other), one.counts, other.counts)
    apart, *own = (
        table.set_index(["layer", "category", "quantity"]).loc["all", "all", "matched_iou"] for table in tables
    )
    errors = [row.error for row in own]
    assert apart.error == pytest.approx(np.hypot(*errors), rel=0.25)
    assert apart.low < apart.value < apart.high


@pytest.mark.slow
def test_they_predict_how_other_samples_differ() -> None:
    """The spread of IoU over eight samples, against the mean of the errors predicted from each."""
    studies = [small(images=100, seed=seed, label="iou") for seed in range(8)]
    tables = [r.units for r in (study.errors for study in studies) if r is not None]
    spread = np.std([table.iou for table in tables], axis=0, ddof=1)
    predicted = np.sqrt(np.mean([table.iou_error**2 for table in tables], axis=0))
    assert 0.7 < np.nanmedian(predicted / spread) < 1.4


# ---------------------------------------------------------------- what has none


@pytest.mark.parametrize("make", [lambda: small(images=3), lambda: small(images=5, validation="cross")])
def test_too_few_images_have_no_errors(make: Callable[[], Dissection]) -> None:
    assert make().errors is None


def test_one_draw_has_no_error(found: Dissection) -> None:
    with mistake("bad-value", "draws=1", 2, 200):
        resampled(found, 1)
