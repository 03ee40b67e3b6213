"""Which units cause a concept: exactly those that draw it, none that only goes along with it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mistakes import mistake

from ganatomy.core.tensor_files import Archive
from ganatomy.core.tensor_types import Features, Images, Labels, Latents
from ganatomy.experiments.causal import ace as aces
from ganatomy.experiments.causal import optimise as optimisation
from ganatomy.experiments.causal.ace import (
    Ace,
    ConceptShares,
    Sets,
    change_table,
    effect_table,
    evaluate_sets,
    run_ace,
    sets_of,
)
from ganatomy.experiments.causal.ace_spec import SCHEDULES, AceSpec, scheduled
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.locations import uniform_places
from ganatomy.experiments.causal.trials import baselines, pixels_edited
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.model_pair import ModelPair
from ganatomy.interventions import Intervention, place
from ganatomy.models.generators.planted import UNITS, PlantedGenerator
from ganatomy.models.generators.protocol import Edit, Observation
from ganatomy.models.segmenters.planted import PlantedSegmenter
from ganatomy.models.toy_world import VOCABULARY
from ganatomy.stats.base import Accumulator
from ganatomy.stats.regions import concept_counts
from ganatomy.study import Study

NAMES = {concept.name for concept in VOCABULARY}
SMALL: dict[str, Any] = {
    "pool": 96, "train": 24, "held": 12, "candidates": 36, "images": 24, "steps": 12,
    "every": 4, "top": 2, "sizes": (1, 2, 4), "controls": (2,), "random": 2,
}  # fmt: skip
TABLES = ("units", "effects", "curve", "others", "history")


def asked(source: DissectedModel, layer: str = "layer1", concept: str = "ball", **options: Any) -> AceSpec:
    return scheduled(source, "fast", **SMALL | {"layer": layer, "concept": concept} | options)


@pytest.fixture(scope="module")
def found(source: DissectedModel, tmp_path_factory: pytest.TempPathFactory) -> Ace:
    folder = tmp_path_factory.mktemp("ace")
    return run_ace(asked(source), source, folder / "study", folder / "pool")


def roles(ace: Ace) -> list[str]:
    """What each unit does, from the greatest α on."""
    return [UNITS[ace.spec.layer][unit] for unit in ace.units.unit]


# ---------------------------------------------------------------- what is found


@pytest.mark.slow
@pytest.mark.parametrize("start", ["gradient", "iou"])
@pytest.mark.parametrize("layer", UNITS)
@pytest.mark.parametrize("concept", ["ball", "box", "tree"])
def test_exactly_the_causal_units_are_found(
    source: DissectedModel, layer: str, concept: str, start: str, tmp_path: Path
) -> None:
    spec = asked(source, layer, concept, start=start, steps=60, every=20, patience=0)
    ace = run_ace(spec, source, tmp_path / "study", tmp_path / "pool")
    alpha = dict(zip(zip(roles(ace), ace.units.unit, strict=True), ace.units.alpha, strict=True))
    causal = [value for (role, _), value in alpha.items() if role == concept]
    assert ace.top(len(causal)) == [unit for role, unit in alpha if role == concept]
    assert min(causal) > 0.8
    for (role, _), value in alpha.items():  # other things may hide this one: lesser causes, and ranked so above
        assert role in NAMES or value < 0.05, f"nothing reads {role}, whatever it goes along with"


def test_a_copy_goes_along_without_causing(found: Ace) -> None:
    ranks = dict(zip(roles(found), found.units.itertuples(), strict=True))
    assert ranks["copy:ball"].iou == ranks["ball"].iou
    assert ranks["ball"].rank == 1
    assert ranks["ball"].alpha > 0.9
    assert ranks["copy:ball"].alpha == 0
    assert found.top(1) == [UNITS["layer1"].index("ball")]


def test_the_curve_says_what_is_gone(found: Ace) -> None:
    """Figure 4: with its one causal unit all balls are gone, and what stood behind them is to be seen."""
    gone = found.curve.set_index(["by", "n"]).relative
    assert gone["ace", 1] < -0.99
    assert gone["random", 2] > -0.2
    others = found.others.set_index(["by", "n", "concept"])
    assert others.change["ace", 1, "ball"] == pytest.approx(others.before["ace", 1, "ball"] * gone["ace", 1])
    assert others.change["ace", 1, "sky"] > 0
    assert not others.relative["ace", 1, "box"] > 0.1


def test_what_is_reported_is_of_images_that_chose_nothing(source: DissectedModel, found: Ace) -> None:
    study = found.study.directory / "steps"
    chose = {*Archive(study / "present.npz")["ids"].tolist(), *Archive(study / "candidates.npz")["ids"].tolist()}
    judged = set(found.spec.ids())
    assert not chose & judged
    assert not judged & set(range(2 * found.spec.pool))


def test_the_constant_is_what_the_units_are_where_the_concept_is(found: Ace) -> None:
    assert torch.equal(Ace.open(found.study.directory).constant, found.constant)
    k = dict(zip(UNITS["layer1"], found.constant.tolist(), strict=True))
    assert k["ball"] == pytest.approx(k["copy:ball"])
    assert k["ball"] > 0.6
    assert k["dead"] == 0


# ---------------------------------------------------------------- effects of sets


def by_hand(source: DissectedModel, spec: AceSpec, sets: Sets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """s_c before, with each set ablated, and its gain where each is inserted, one place at a time, by image."""
    generator, segmenter, shape = source.models.generator, source.models.segmenter, source.shape(spec.layer)
    z, side = generator.latents(spec.ids(), spec.seed), 32 // shape.height
    places = uniform_places(spec.ids(), spec.seed, (shape.height, shape.width), spec.places)

    def shown(*edits: Intervention) -> np.ndarray:
        return (segmenter(generator.edited(z, edits)) == sets.concept).any(1).numpy().astype(float)

    def gain(units: Sequence[int], where: torch.Tensor) -> list[float]:
        change = shown(Intervention.insert(spec.layer, shape, units, sets.values[spec.layer], where)) - shown()
        corners = [divmod(int(each.flatten().argmax()), shape.width) for each in where]
        blocks = [(slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side)) for y, x in corners]
        return [each[block].mean() for each, block in zip(change, blocks, strict=True)]

    ablated = [shown(Intervention.ablate(spec.layer, shape, own)).mean((1, 2)) for own in sets.units]
    gained = [np.mean([gain(own, places[:, i]) for i in range(places.shape[1])], 0) for own in sets.units]
    return shown().mean((1, 2)), np.array(ablated).T, np.array(gained).T


def test_both_terms_are_read_where_they_are_made(source: DissectedModel, found: Ace) -> None:
    """Insertion is read at the inserted place: at any other, there are about as few balls as with the copy."""
    spec = dataclasses.replace(found.spec, images=24, places=3)
    ball, copy = (UNITS["layer1"].index(role) for role in ("ball", "copy:ball"))
    sets = Sets([[ball], [copy]], source.concept("ball"), {found.spec.layer: found.constant})
    shares = evaluate_sets(source, spec, sets, spec.ids())
    before, ablated, gained = by_hand(source, spec, sets)
    np.testing.assert_allclose(shares.before.numpy(), before)
    np.testing.assert_allclose(shares.ablated.numpy(), ablated)
    np.testing.assert_allclose(shares.gained.numpy(), gained, atol=1e-12)
    gains = shares.gained.mean(0)
    assert gains[0] > 0.2
    assert gains[1] == 0, "the copy draws nothing"


def test_the_paired_insertion_term_is_unbiased_and_far_more_exact(source: DissectedModel, found: Ace) -> None:
    """The truth is counted: every place of every image. Read alone at one place, most of it is what stood there."""
    spec = dataclasses.replace(found.spec, concept="sky", images=6, places=1)
    shape, concept = source.shape("layer1"), source.concept("sky")
    small = torch.full_like(found.constant, 0.7)  # a ball that hides some of the sky where it is put
    sets = Sets([[UNITS["layer1"].index("ball")]], concept, {"layer1": small})
    after = []
    for number in range(shape.height * shape.width):
        where = place(shape[1:], *divmod(number, shape.width))
        edit = Intervention.insert("layer1", shape, sets.units[0], small, where)
        z = source.models.generator.latents(spec.ids(), spec.seed)
        labels = source.models.segmenter(source.models.generator.edited(z, [edit]))
        after.append(concept_counts(labels, source.concepts, pixels_edited([edit], labels))[:, concept] / 16)
    truth = torch.stack(after, 1)  # by image and place, each of 4 x 4 pixels
    given = next(baselines(source, spec, spec.ids()))
    before = concept_counts(given.labels, source.concepts)[:, concept] / 32**2
    paired, alone = [], []
    for seed in range(20):
        places = uniform_places(spec.ids(), seed, (shape.height, shape.width), 1)
        gain = aces._gained(source, spec, sets, given, (sets.units[0], places))
        paired.append(float((gain + before).mean()))
        alone.append(float(truth[torch.arange(6), places.flatten(1).argmax(1)].mean()))
    for estimates in (paired, alone):  # neither is biased
        error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
        assert abs(np.mean(estimates) - float(truth.mean())) < 3 * error
    assert np.std(paired) < np.std(alone) / 2


def test_places_of_an_image_are_one_draw() -> None:
    """Images that differ as wholes: eight places of each say no more than one."""
    gains = torch.randn(50, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shares = ConceptShares(1)
    shares.update(torch.full((50,), 0.3, dtype=torch.float64), torch.zeros(50, 1, dtype=torch.float64), gains)
    row = effect_table(shares, ["ace"]).set_index("term").loc["insertion"]
    assert row.value == pytest.approx(float(gains.mean()) + 0.3)
    assert row.error == pytest.approx(float(gains.std()) / np.sqrt(50))


def test_the_places_of_insertion_are_uniform_and_a_function_of_seed_and_id() -> None:
    where = uniform_places(range(900), 0, (2, 2), 2)
    torch.testing.assert_close(where.mean((0, 1)), torch.full((2, 2), 0.25), atol=0.04, rtol=0)
    assert (where.sum((2, 3)) == 1).all()
    assert (where.sum(1) <= 1).all(), "different places of an image"
    assert torch.equal(uniform_places(range(7, 9), 0, (2, 2), 2), where[7:9])
    assert torch.equal(uniform_places(range(9), 0, (2, 2), 1), where[:9, :1])
    assert not torch.equal(uniform_places(range(9), 1, (2, 2), 2), where[:9])
    assert uniform_places(range(3), 0, (2, 2), 8).shape == (3, 4, 2, 2)


def test_the_table_of_effects_is_eqn_4(source: DissectedModel, found: Ace) -> None:
    trials = sets_of(found.spec, found.units, dict.fromkeys(("ace", "iou", "random"), (2,)))
    sets = Sets([trial.units for trial in trials], source.concept("ball"), {found.spec.layer: found.constant})
    before, ablated, gained = by_hand(source, found.spec, sets)
    inserted = gained + before[:, None]
    table = found.effects.set_index(["by", "term"])
    n = np.sqrt(len(before))
    for i, by in enumerate(("ace", "iou")):
        for term, each in {"ablation": ablated, "insertion": inserted, "ace": inserted - ablated}.items():
            row, ratio = table.loc[(by, term)], each[:, i].mean() / before.mean()
            residual = each[:, i] - ratio * before
            expected = [each[:, i].mean(), each[:, i].std(ddof=1) / n, ratio, residual.std(ddof=1) / n / before.mean()]
            np.testing.assert_allclose(row[["value", "error", "normalised", "normalised_error"]].tolist(), expected)
    ratios = (inserted - ablated)[:, 2:].mean(0) / before.mean()
    random = table.loc[("random", "ace")]
    assert (random.normalised, random.spread) == pytest.approx((ratios.mean(), ratios.std(ddof=1)))
    assert table.normalised["ace", "ace"] > random.normalised + 3 * table.normalised_error["ace", "ace"]


def test_without_a_pixel_of_it_nothing_is_normalised() -> None:
    shares = ConceptShares(1)
    shares.update(torch.zeros(4).double(), torch.zeros(4, 1).double(), torch.rand(4, 1).double())
    table = effect_table(shares, ["ace"]).set_index("term")
    assert table.value["ace"] > 0
    assert table[["normalised", "normalised_error"]].isna().all(axis=None)


def test_random_sets_are_of_other_units(found: Ace) -> None:
    trials = sets_of(found.spec, found.units, {"ace": (1, 4), "iou": (4,), "random": (4,)})
    assert [(trial.by, len(trial.units)) for trial in trials] == [
        *(("ace", 1), ("ace", 4), ("iou", 4)),
        *(("random", 4), ("random", 4)),
    ]
    chosen = set(found.top(4))
    assert all(not chosen & set(trial.units) for trial in trials if trial.by == "random")
    assert trials[1].units == tuple(found.top(4))
    assert list(trials[2].units) == found.units.sort_values("iou_rank").unit.tolist()[:4]


def test_the_curve_is_a_mean_over_random_sets(source: DissectedModel, found: Ace) -> None:
    spec = found.spec
    trials = sets_of(spec, found.units, {"ace": (), "iou": (), "random": (2,)})
    change = aces._ablate(source, spec, trials, spec.ids()).read()
    table = change_table(aces._ablate(source, spec, trials, spec.ids()), trials, VOCABULARY).set_index("concept")
    own = change.relative[:, source.concept("ball")].numpy()
    assert table.relative["ball"] == pytest.approx(own.mean())
    assert table.spread["ball"] == pytest.approx(own.std(ddof=1))


# ---------------------------------------------------------------- interruption, cost


class Counting(PlantedGenerator):
    """Counts the images that it draws."""

    drawn = 0

    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        self.drawn += len(z)
        return super().observe(z, layers, edits)

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        self.drawn += len(z)
        return super().render(r, layer, z, edits)


@pytest.mark.slow
def test_evaluations_are_counted_honestly(planted: Dissection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Counting(torch.device("cpu"))
    source = DissectedModel(planted, ModelPair(generator, PlantedSegmenter(torch.device("cpu")), "cpu"))
    at_the_end: list[int] = []
    monkeypatch.setattr(aces, "_unit_table", lambda *given: at_the_end.append(generator.drawn) or table(*given))
    ace = run_ace(asked(source), source, tmp_path / "study", tmp_path / "pool")
    drawn = at_the_end[0] - 1  # that one showed that there are scores
    assert ace.history.evaluations.iloc[-1] == drawn == sum(ace.facts["evaluations"].values())
    assert ace.history.gradients.iloc[0] == 24 * 3
    assert ace.history.step.tolist() == list(range(0, 4 * len(ace.history), 4))


table = aces._unit_table


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.slow
@pytest.mark.parametrize("last", [0, 1])
def test_a_killed_search_goes_on_to_the_same_bits(
    source: DissectedModel, found: Ace, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = optimisation.evaluate
    evaluations: list[int] = []

    def dies(*given: Any) -> optimisation.OptimizerState:
        if len(evaluations) > last:
            raise Killed
        evaluations.append(0)
        return evaluate(*given)

    monkeypatch.setattr(optimisation, "evaluate", dies)
    with pytest.raises(Killed):
        run_ace(found.spec, source, tmp_path / "study", tmp_path / "pool")
    with mistake("study-error", tmp_path / "study", "unfinished"):
        Ace.open(tmp_path / "study")
    monkeypatch.setattr(optimisation, "evaluate", evaluate)
    begun: list[int] = []
    monkeypatch.setattr(optimisation, "begin", lambda *_: begun.append(1))
    again = run_ace(found.spec, source, tmp_path / "study", tmp_path / "pool")
    assert not begun
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found, name))
    ours, theirs = (each.study.directory / "steps" for each in (found, again))
    same = {path.name: path.read_bytes() for path in ours.iterdir()}
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == same


def test_one_pool_serves_all_concepts(
    source: DissectedModel, found: Ace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def at(source: DissectedModel, spec: Any, directory: Path, *how: Any) -> Accumulator:
        opened.append(directory)
        raise Killed

    monkeypatch.setattr(aces, "open_pool", at)
    for concept in ("ball", "tree"):
        with pytest.raises(Killed):
            run_ace(asked(source, concept=concept), source, tmp_path / concept)
    with pytest.raises(Killed):
        run_ace(asked(source, pool=2000), source, tmp_path / "more")
    home = source.sibling_path("layer1", "pool")
    assert opened == [home.with_name("pool-96"), home.with_name("pool-96"), home]


# ---------------------------------------------------------------- what is asked


def test_an_ace_says_how_many_updates_its_answer_has_had(source: DissectedModel, found: Ace) -> None:
    best = found.history[found.history.gain > found.history.gain_error]
    expected = 0 if best.empty else int(best.step[best.held_out.idxmax()])
    assert found.updates == found.details["updates"] == expected
    alphas = found.units.sort_values("unit")
    assert (alphas.alpha == alphas.initial).all() == (expected == 0)
    for updates, called in ((0, "first-order attribution"), (8, "8 updates of adam from first-order attribution")):
        assert dataclasses.replace(found, facts={**found.facts, "updates": updates}).called == called


def test_a_study_of_an_earlier_version_is_not_read(found: Ace, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {name: fact for name, fact in found.facts.items() if name != "updates"}
    monkeypatch.setattr(Study, "facts", facts)
    with mistake("bad-file", found.study.directory, "earlier version"):
        Ace.open(found.study.directory)


def test_the_published_schedule_says_what_it_corrects(source: DissectedModel) -> None:
    corrected = scheduled(source, "published", layer="layer1", concept="ball", top=3).corrected
    assert "index slip" in corrected[0]
    assert any("|α|²" in each for each in corrected)
    for schedule in ("fast", "quick"):
        assert scheduled(source, schedule, layer="layer1", concept="ball", top=3).corrected == ()


def test_the_published_schedule_is_that_of_the_paper(source: DissectedModel) -> None:
    spec = scheduled(source, "published", layer="layer1", concept="ball", top=3)
    assert (spec.pool, spec.candidates, spec.train, spec.held) == (10_000, 60_000, 1000, 200)
    assert (spec.steps, spec.pairs, spec.optimiser, spec.rate, spec.penalty) == (500, 20, "adam", 0.01, 0.005)
    assert (spec.start, spec.ablated, spec.together, spec.patience) == ("iou", "place", 1, 0)
    assert spec.sizes[-1] == spec.controls[-1] + 2 == 12  # the layer has no more units


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ({"concept": "dragon"}, "unknown-name", "dragon"),
        ({"layer": "layer7"}, "unknown-name", "layer7"),
        ({"top": 13}, "bad-value", "top=13"),
        ({"sizes": (1, 30)}, "bad-value", "sizes=30"),
        ({"sizes": (2, 1)}, "bad-value", "sizes=[2, 1]"),
        ({"sizes": ()}, "bad-value", "sizes=[]"),
        ({"controls": (0, 1)}, "bad-value", "controls=[0, 1]"),
        ({"held": 1}, "bad-value", "held=1"),
        ({"rate": float("nan")}, "bad-value", "rate=nan"),
        ({"penalty": -1.0}, "bad-value", "penalty=-1.0"),
        ({"norm": "l1"}, "unknown-name", "l1"),
        ({"start": "zero"}, "unknown-name", "zero"),
    ],
)
def test_what_makes_no_sense_is_refused(
    source: DissectedModel, options: dict[str, Any], code: str, fact: str, tmp_path: Path
) -> None:
    with mistake(code, fact):
        run_ace(asked(source, **options), source, tmp_path / "study", tmp_path / "pool")
    assert not list(tmp_path.iterdir())


def test_an_unknown_schedule_lists_those_there_are(source: DissectedModel) -> None:
    with mistake("unknown-name", "slow", ", ".join(SCHEDULES)):
        scheduled(source, "slow", layer="layer1", concept="ball")


def test_a_concept_that_is_never_seen_is_refused(planted: Dissection, tmp_path: Path) -> None:
    concepts = planted.concepts.assign(rare=planted.concepts.concept == "ball", share=0.0)
    source = DissectedModel(dataclasses.replace(planted, concepts=concepts), ModelPair("planted:", "planted", "cpu"))
    with mistake("bad-value", "ball", "sky, tree, box, lid, metal"):
        run_ace(asked(source), source, tmp_path / "study", tmp_path / "pool")


def test_a_layer_without_units_for_it_is_refused(
    source: DissectedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = Dissection.ranked
    monkeypatch.setattr(Dissection, "ranked", lambda self, concept: ranked(self, concept).assign(iou=0.0))
    with mistake("bad-value", "layer1", "ball", "IoU"):
        run_ace(asked(source), source, tmp_path / "study", tmp_path / "pool")


class Unsure:
    """A segmenter without scores."""

    def __init__(self) -> None:
        inner = PlantedSegmenter(torch.device("cpu"))
        self.vocabulary, self.planes, self.fingerprint = inner.vocabulary, inner.planes, inner.fingerprint
        self.device, self._inner = inner.device, inner

    def __call__(self, images: Images) -> Labels:
        return self._inner(images)


def test_a_segmenter_without_scores_is_refused(planted: Dissection, tmp_path: Path) -> None:
    source = DissectedModel(planted, ModelPair("planted:", Unsure(), "cpu"))
    with mistake("bad-model", "planted", "labels", "scores"):
        run_ace(asked(source), source, tmp_path / "study", tmp_path / "pool")
