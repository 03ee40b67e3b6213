"""The effect of every unit: as `run_effect` measures it one by one; the estimate against finite differences."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from mistakes import mistake

import ganatomy
from ganatomy.core.errors import BadValue
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.causal.effects import EffectSpec, run_effect
from ganatomy.experiments.causal.unit_effects import (
    FirstOrder,
    UnitEffects,
    UnitEffectSpec,
    agreement,
    label_agreement,
    run_unit_effects,
)
from ganatomy.experiments.dissect_spec import DissectSpec
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.scoring import UnitScores
from ganatomy.models.generators.planted import UNITS
from ganatomy.models.segmenters import Scorer
from ganatomy.models.toy_world import VOCABULARY

SMALL = {"images": 20}


@pytest.fixture(scope="module")
def result(source: DissectedModel, tmp_path_factory: pytest.TempPathFactory) -> UnitEffects:
    spec = UnitEffectSpec(**source.names(), layer="layer2", **SMALL)
    return run_unit_effects(spec, source, tmp_path_factory.mktemp("units") / "study")


@pytest.mark.parametrize("unit", [1, 4, 9, 10])
def test_each_unit_is_what_it_is_alone(source: DissectedModel, result: UnitEffects, out: Path, unit: int) -> None:
    spec = EffectSpec(**source.names(), layer="layer2", units=(unit,), random=0, show=0, **SMALL)
    alone = run_effect(spec, source, out).table.set_index("concept")
    own = result.table[result.table.unit == unit].set_index("concept")
    assert list(own.index) == [concept.name for concept in VOCABULARY[1:]]
    columns = ["before", "change", "change_error", "relative", "relative_error"]
    pd.testing.assert_frame_equal(own.loc[alone.index, columns], alone[columns], check_exact=True)


def test_only_what_draws_a_concept_takes_it_away(result: UnitEffects) -> None:
    table = result.table[result.table.concept.isin(["sky", "tree", "ball", "box"])]
    gone = table[table.relative < -0.5]
    assert {(row.concept, UNITS["layer2"][row.unit]) for row in gone.itertuples()} == {
        (name, name) for name in ("sky", "tree", "ball", "box")
    }
    copies = [unit for unit, role in enumerate(UNITS["layer2"]) if role.startswith(("copy", "not", "noise"))]
    assert (result.table[result.table.unit.isin(copies)].change == 0).all()


def test_the_estimate_is_the_slope_of_the_mean_score(source: DissectedModel, result: UnitEffects) -> None:
    """Weakening a unit a little changes the mean score by as little of the estimate."""
    generator, segmenter = source.models.generator, source.models.segmenter
    assert isinstance(segmenter, Scorer)
    z = generator.latents(range(1_000_000, 1_000_020), 0)
    r = generator.observe(z, ["layer2"]).features["layer2"]
    r = torch.cat([r] * 2)
    for row in result.table[result.table.unit.isin([0, 2, 4, 6, 10])].itertuples():
        c = [concept.name for concept in VOCABULARY].index(row.concept)
        weaker = r.clone()
        weaker[:20, row.unit] *= 1 - 3e-3
        weaker[20:, row.unit] *= 1 + 3e-3
        scores = segmenter.score(generator.render(weaker, "layer2", torch.cat([z, z])), c).double().mean((1, 2))
        slope = float(scores[:20].mean() - scores[20:].mean()) / 6e-3
        assert row.first_order == pytest.approx(slope, rel=0.01, abs=3e-5)
    assert result.table.first_order.abs().max() > 0.01


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """By its definition: the correlation of ranks, the rank of equals being the mean of theirs."""

    def ranks(x: np.ndarray) -> np.ndarray:
        return np.array([((x < value).sum() + (x <= value).sum() - 1) / 2 for value in x])

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def test_the_agreement_is_a_rank_correlation_over_all_units(result: UnitEffects) -> None:
    assert list(result.agreement.concept) == [concept.name for concept in VOCABULARY[1:]]
    assert set(result.agreement.units) == {12}
    for row in result.agreement.itertuples():
        own = result.table[result.table.concept == row.concept]
        assert row.spearman == pytest.approx(spearman(own.change.to_numpy(), own.first_order.to_numpy()))
        assert row.clear == (own.change.abs() > 2 * own.change_error).sum() > 0


def test_what_never_changes_has_no_rank() -> None:
    rows = {"concept": ["a", "a", "b", "b"], "category": "c", "change_error": 0.1, "first_order": [1.0, 2, 3, 4]}
    found = agreement(pd.DataFrame({**rows, "change": [0.0, 0, 1, 2]}))
    assert found.spearman.isna().tolist() == [True, False]
    assert found.clear.tolist() == [0, 2]


@pytest.mark.parametrize("segmenter", ["parts:planted", "planted"])
def test_labels_without_scores_leave_the_estimate_open(tmp_path: Path, segmenter: str) -> None:
    ganatomy.dissect("planted", segmenter=segmenter, images=24, layers=("layer1",), batch=8, out=tmp_path / "study")
    source = open_source(tmp_path / "study")
    spec = UnitEffectSpec(**source.names(), layer="layer1", images=4, estimate=segmenter != "planted")
    result = run_unit_effects(spec, source, tmp_path / "units")
    assert result.table.first_order.isna().all()
    assert result.agreement.spearman.isna().all()
    assert (result.table.change < -0.01).any()
    why = "parts:planted gives labels and no scores" if segmenter != "planted" else "not asked for"
    assert why in result.facts["first_order"]


def test_shards_of_the_estimate_add_up() -> None:
    batches = torch.randn(3, 5, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parts = []
    for batch in batches:
        parts.append(FirstOrder(4, 2))
        parts[-1].update(batch)
    merged = FirstOrder.from_state(parts[0].merge(parts[1]).merge(parts[2]).state_dict())
    torch.testing.assert_close(merged.read(), batches.flatten(0, 1).mean(0))
    with pytest.raises(BadValue):
        parts[0].merge(FirstOrder(3, 2))


def test_what_is_refused(source: DissectedModel, out: Path) -> None:
    with mistake("unknown-name", "layer8"):
        run_unit_effects(UnitEffectSpec(**source.names(), layer="layer8"), source, out)
    assert not out.exists()


CONCEPTS = [f"c{i}" for i in range(10)]


def effects(changes: list[list[float]]) -> pd.DataFrame:
    """Changes by unit and concept as multiples of the standard error; the last concept covers too little."""
    return pd.DataFrame(
        {
            "unit": np.repeat(range(len(changes)), 10),
            "concept": CONCEPTS * len(changes),
            "category": "object",
            "before": ([0.1] * 9 + [0.001]) * len(changes),
            "change": 0.01 * np.ravel(changes),
            "change_error": 0.01,
            "relative": 0.1 * np.ravel(changes),
        }
    )


def dissection(labels: list[str | None], best: list[int]) -> Dissection:
    units = pd.DataFrame({"layer": "one", "unit": range(len(labels)), "label": labels, "category": "object"})
    iou = torch.zeros(len(labels), 11)
    iou[range(len(labels)), [1 + b for b in best]] = 0.5
    concepts = pd.DataFrame({"concept": CONCEPTS, "category": "object", "rare": False})
    made, none = object.__new__(Dissection), torch.zeros(0)
    reading = UnitScores(torch.arange(11), *[none] * 10)
    scores = SimpleNamespace(iou=iou.numpy())
    vars(made).update(units=units, concepts=concepts, reading=reading, scores=scores, spec=DissectSpec("planted:"))
    return made


def test_what_shrinks_is_counted_for_labels_for_best_overlaps_and_for_all() -> None:
    rising = [float(x) for x in range(10)]
    changes = [[-3.0, *rising[1:]], [-1.0, *rising[1:]], [1.0, -9.0, *rising[2:]], [-5.0, *rising[1:9], -50.0]]
    found = label_agreement(dissection(["c0", "c0", None, "c9"], [1, 0, 1, 9]), "one", effects(changes))
    own, best, random = found.itertuples()
    assert (own.rule, own.labelled, own.scored, own.concepts) == ("labels of the dissection (matched)", 3, 2, 1)
    assert (own.shrinks, own.top_tenth) == (0.5, 0.0), "−3 errors and −1; of nine concepts none is within a tenth"
    assert own.shrinks_error == pytest.approx((0.25 / 2) ** 0.5)
    assert own.relative == pytest.approx(-0.2)
    assert (best.labelled, best.scored, best.shrinks) == (4, 3, pytest.approx(1 / 3))
    assert (random.labelled, random.scored) == (4, 4)
    assert random.shrinks == pytest.approx(3 / 36)


def test_the_top_tenth_is_of_the_concepts_that_are_scored() -> None:
    wide = pd.concat([effects([[float(x) for x in range(10)]]).assign(concept=[f"{c}{n}" for c in CONCEPTS], before=0.1)
                      for n in range(2)])  # fmt: skip
    found = label_agreement(dissection(["c00"], [0]), "one", wide)
    assert found.top_tenth[0] == 1.0


def test_without_labels_there_is_nothing_to_say() -> None:
    found = label_agreement(dissection([None], [0]), "one", effects([[0.0] * 10]))
    assert found.labelled[0] == 0
    assert found.loc[0, ["shrinks", "top_tenth", "relative"]].isna().all()
