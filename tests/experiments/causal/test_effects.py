"""Effects of ablation and insertion: against counting image by image, and against what the planted units do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mistakes import mistake

from ganatomy.experiments.causal.choice import random_sets
from ganatomy.experiments.causal.dissected_model import DissectedModel
from ganatomy.experiments.causal.effect_spec import EffectSpec
from ganatomy.experiments.causal.effects import edit_spec, run_effect
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.interventions import Intervention, place, write_edits
from ganatomy.models.generators.planted import UNITS
from ganatomy.models.toy_world import VOCABULARY

IDS = range(1_000_000, 1_000_024)
NAMES = [concept.name for concept in VOCABULARY]


def unit(layer: str, role: str) -> int:
    return UNITS[layer].index(role)


def asked(source: DissectedModel, **fields: Any) -> EffectSpec:
    small = {"images": 24, "random": 2, "show": 3, "pool": 64}
    return EffectSpec(**{**source.names(), "layer": "layer2", "chosen": "by hand", **small, **fields})


def shares(source: DissectedModel, edits: Sequence[Intervention], read: np.ndarray | None = None) -> np.ndarray:
    """The share of the pixels of each image that show each concept, counted one by one: [24, concepts]."""
    generator, segmenter = source.models.generator, source.models.segmenter
    labels = segmenter(generator.edited(generator.latents(IDS, 0), edits)).numpy()
    read = np.ones(labels.shape[2:], bool) if read is None else read
    shown = np.stack([(labels == c).any(1)[:, read] for c in range(len(VOCABULARY))], 1)
    return shown.mean(2)


def check(table: pd.DataFrame, before: np.ndarray, after: np.ndarray) -> None:
    """A table of one reading says what the shares of each image say."""
    assert set(table.concept) == {NAMES[c] for c in range(1, 7) if before[:, c].any() or after[:, c].any()}
    for row in table.itertuples():
        a, b = after[:, NAMES.index(row.concept)], before[:, NAMES.index(row.concept)]
        root = np.sqrt(len(a))
        expected = [b.mean(), a.mean(), (a - b).mean(), (a - b).std(ddof=1) / root]
        np.testing.assert_allclose([row.before, row.after, row.change, row.change_error], expected, atol=1e-12)
        if b.mean() > 2 * b.std(ddof=1) / root:
            relative = a.mean() / b.mean() - 1
            error = (a - (1 + relative) * b).std(ddof=1) / root / b.mean()
            np.testing.assert_allclose([row.relative, row.relative_error], [relative, error], atol=1e-9)
        else:
            assert np.isnan([row.relative, row.relative_error]).all(), "of hardly anything, it could be any number"


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_an_ablation_is_what_counting_image_by_image_gives(source: DissectedModel, out: Path, strength: float) -> None:
    units = (unit("layer2", "tree"), unit("layer2", "ball"))
    spec = asked(source, units=units, concept="ball", strength=strength, random=3)
    effect = run_effect(spec, source, out)
    shape = source.shape("layer2")
    before = shares(source, [])
    check(effect.table, before, shares(source, [Intervention.ablate("layer2", shape, units, None, strength)]))
    sets = random_sets(12, 2, range(3), 0, units)
    changes = np.stack(
        [(shares(source, [Intervention.ablate("layer2", shape, s, None, strength)]) - before).mean(0) for s in sets]
    )
    for row in effect.table.itertuples():
        own = changes[:, NAMES.index(row.concept)]
        assert row.random_change == pytest.approx(own.mean(), abs=1e-12)
        assert row.random_spread == pytest.approx(own.std(ddof=1), abs=1e-12)
        assert row.random_relative == pytest.approx(own.mean() / row.before, abs=1e-9)


def test_the_asked_concept_comes_first_and_then_the_greatest_change(source: DissectedModel, out: Path) -> None:
    units = (unit("layer2", "ball"), unit("layer2", "sky"))
    table = run_effect(asked(source, units=units, concept="box"), source, out).table
    assert table.concept[0] == "box"
    rest = table.change[1:].abs().tolist()
    assert rest == sorted(rest, reverse=True)
    assert len(rest) >= 4


@pytest.mark.parametrize("layer", UNITS)
def test_what_draws_the_ball_takes_it_away_and_what_copies_it_does_not(
    source: DissectedModel, tmp_path: Path, layer: str
) -> None:
    def change(role: str) -> float:
        units = tuple(u for u, own in enumerate(UNITS[layer]) if own == role)
        spec = asked(source, layer=layer, units=units, concept="ball", random=0, show=0, images=8)
        return float(run_effect(spec, source, tmp_path / role).table.relative[0])

    assert change("ball") == -1
    for role in UNITS[layer]:
        if role.startswith(("copy:", "not:")):
            assert change(role) == 0, role


def test_an_insertion_is_read_at_its_place_and_in_the_whole_image(source: DissectedModel, out: Path) -> None:
    region = (3, 5, 2, 4)
    units = (unit("layer2", "ball"),)
    spec = asked(source, kind="insert", units=units, concept="ball", region=region, multiple=1.2)
    effect = run_effect(spec, source, out)
    k = 1.2 * layer_pool(source, "layer2", 64).constant(source.concept("ball"))
    edit = Intervention.insert("layer2", source.shape("layer2"), units, k, place((16, 16), *region))
    read = np.zeros((32, 32), bool)
    read[6:10, 10:18] = True  # the grid has a place for every 2 × 2 pixels
    for name, pixels in (("image", None), ("place", read)):
        own = effect.table[effect.table["read"] == name]
        assert own.concept.iloc[0] == "ball"
        check(own, shares(source, [], pixels), shares(source, [edit], pixels))
    there = effect.table[effect.table["read"] == "place"].iloc[0]
    assert there.after > 0.7 > 0.2 > there.before
    assert there.random_change == pytest.approx(0, abs=0.05)


def test_no_random_sets_and_no_concept(source: DissectedModel, out: Path) -> None:
    effect = run_effect(asked(source, units=(unit("layer2", "sky"),), random=0), source, out)
    assert effect.table[["random_change", "random_spread", "random_relative"]].isna().all(axis=None)
    assert effect.table.concept[0] == "sky"
    assert effect.strips.random.shape == (0, 32, 32, 3)
    assert effect.strips.ids.tolist() == list(IDS[:3])


def test_one_random_set_has_no_spread(source: DissectedModel, out: Path) -> None:
    table = run_effect(asked(source, units=(0,), random=1), source, out).table
    assert table.random_change.notna().all()
    assert table.random_spread.isna().all()


def test_the_strips_show_the_images_with_most_of_the_concept(source: DissectedModel, out: Path) -> None:
    units = (unit("layer2", "ball"),)
    effect = run_effect(asked(source, units=units, concept="ball"), source, out)
    balls = shares(source, [])[:, NAMES.index("ball")]
    assert effect.strips.ids.tolist() == [IDS[i] for i in np.argsort(-balls, kind="stable")[:3]]
    generator = source.models.generator
    (random, _) = random_sets(12, 1, range(2), 0, units)
    for i, row in enumerate(effect.strips.ids.tolist()):
        z = generator.latents(range(row, row + 1), 0)
        edits = {"before": [], "after": effect.edits()}
        edits["random"] = [Intervention.ablate("layer2", source.shape("layer2"), random)]
        for name, own in edits.items():
            drawn = ((generator.edited(z, own)[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0)
            assert torch.equal(getattr(effect.strips, name)[i], drawn), name


def test_nothing_to_show(source: DissectedModel, out: Path) -> None:
    strips = run_effect(asked(source, units=(0,), show=0), source, out).strips
    assert strips.before.shape == strips.after.shape == (0, 32, 32, 3)


CHANGED = {
    "dissection": "x", "generator": "x", "segmenter": "x", "layer": "layer1", "images": 25, "first": 7, "seed": 1,
    "kind": "insert", "units": (2,), "chosen": "x", "concept": "box", "strength": 0.5,
    "region": (0, 0, 1, 1), "random": 1, "show": 1, "pool": 10, "more": (("layer3", (1,)),),
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "code", "fact"),
    [
        ({"kind": "ablat"}, "unknown-name", "ablate"),
        ({"units": ()}, "bad-value", "ablate"),
        ({"kind": "apply"}, "bad-value", "edits"),
        ({"edits": "a"}, "bad-value", "ablate"),
        ({"kind": "insert"}, "bad-value", "concept"),
        ({"strength": 1.5}, "bad-value", "strength=1.5"),
        ({"strength": float("nan")}, "bad-value", "strength=nan"),
        ({"kind": "insert", "concept": "ball", "multiple": float("nan")}, "bad-value", "multiple=nan"),
        ({"kind": "insert", "concept": "ball", "multiple": float("inf")}, "bad-value", "multiple=inf"),
        ({"multiple": 2.0}, "bad-value", "multiple=2.0"),
        ({"random": -1}, "bad-value", "random=-1"),
        ({"show": -1}, "bad-value", "show=-1"),
        ({"images": 0}, "bad-value", "images=0"),
    ],
)
def test_what_cannot_be_meant(source: DissectedModel, fields: dict[str, Any], code: str, fact: str) -> None:
    with mistake(code, fact):
        asked(source, **{"units": (1,), **fields})


@pytest.mark.parametrize(
    ("fields", "code", "fact"),
    [
        ({"units": (12,)}, "unknown-name", "layer2/12"),
        ({"concept": "bal"}, "unknown-name", "ball"),
        ({"layer": "layer7"}, "unknown-name", "layer7"),
        ({"region": (15, 0, 2, 1)}, "bad-value", "row 15"),
        ({"region": (0, -1, 1, 1)}, "bad-value", "column -1"),
        ({"region": (0, 0, 0, 1)}, "bad-value", "0 × 1"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    source: DissectedModel, out: Path, fields: dict[str, Any], code: str, fact: str
) -> None:
    with mistake(code, fact):
        run_effect(asked(source, **{"units": (1,), **fields}), source, out)
    assert not out.exists()


def test_given_edits_at_several_layers(source: DissectedModel, out: Path) -> None:
    late = Intervention.ablate("layer3", source.shape("layer3"), [unit("layer3", "tree")])
    early = Intervention.insert(
        "layer1", source.shape("layer1"), [unit("layer1", "box")], torch.ones(12), place((8, 8), 1, 2)
    )
    spec = edit_spec(source, [late, early], "two.json", images=24)
    effect = run_effect(spec, source, out, edits=[late, early])
    assert (spec.layer, spec.kind, effect.spec) == ("layer1", "apply", spec)
    check(effect.table, shares(source, []), shares(source, [early, late]))
    assert [edit.layer for edit in effect.edits()] == ["layer3", "layer1"]
    other = edit_spec(source, [early], "two.json", images=24)
    assert other.edits != spec.edits
    write_edits(out.parent / "again.json", effect.edits(), source.models.generator.fingerprint)
    assert (out.parent / "again.json").read_bytes() == (out / "edit.json").read_bytes()


def test_given_edits_stand_beside_the_same_edits_of_random_units(source: DissectedModel, out: Path) -> None:
    """As many units of each layer, at the same places, set to the same values; read where something is edited, too."""
    shape, roles = source.shape("layer2"), [unit("layer2", "ball"), unit("layer2", "tree")]
    here, there = place((16, 16), 3, 5, 2, 4), place((16, 16), 10, 0)
    value = torch.arange(12.0) / 8
    edits = [
        Intervention.insert("layer2", shape, roles, value, here, 0.7).then(
            Intervention.ablate("layer2", shape, roles[:1], there)
        ),
        Intervention.ablate("layer3", source.shape("layer3"), [2], place((32, 32), 6, 10, 4, 8)),
    ]
    spec = edit_spec(source, edits, "two.json", images=24, random=3)
    table = run_effect(spec, source, out, edits=edits).table
    read = np.zeros((32, 32), bool)
    read[6:10, 10:18] = read[20:22, :2] = True
    assert set(table["read"]) == {"image", "place"}
    (late,) = {source.shape("layer3").units}
    sets = list(zip(random_sets(12, 2, range(3), 0, roles), random_sets(late, 1, range(3), 0, [2]), strict=True))
    for name, where in (("image", None), ("place", read)):
        before, own = shares(source, [], where), table[table["read"] == name]
        changes = []
        for two, one in sets:
            moved = torch.zeros(12)
            moved[list(two)] = value[sorted(roles)]
            first = Intervention.insert("layer2", shape, two, moved, here, 0.7)
            ball = two[sorted(roles).index(roles[0])]
            again = Intervention.ablate("layer2", shape, [ball], there)
            last = Intervention.ablate("layer3", source.shape("layer3"), one, place((32, 32), 6, 10, 4, 8))
            changes.append((shares(source, [first, again, last], where) - before).mean(0))
        check(own, before, shares(source, edits, where))
        for row in own.itertuples():
            assert row.random_change == pytest.approx(np.mean(changes, 0)[NAMES.index(row.concept)], abs=1e-12)
            assert row.random_spread == pytest.approx(np.std(changes, 0, ddof=1)[NAMES.index(row.concept)], abs=1e-12)
    assert own.random_change.abs().max() > 0


def test_a_region_that_is_everything_is_the_image(source: DissectedModel, out: Path) -> None:
    spec = asked(source, units=(1,), region=(0, 0, 16, 16), random=0, show=0, images=4)
    assert set(run_effect(spec, source, out).table["read"]) == {"image"}
