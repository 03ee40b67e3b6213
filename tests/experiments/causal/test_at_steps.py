"""Edits over steps: one choice of units, at each step of a window, beside random units over the same steps."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from mistakes import mistake
from tiny_words import save_words
from torch import Tensor

import ganatomy
from ganatomy.core.layer_steps import read_steps
from ganatomy.experiments.causal import describe_spec
from ganatomy.experiments.causal.best_setting import paper_setting, setting_spec
from ganatomy.experiments.causal.choice import UnitQuery, default_layers, ranked_layers, select_in_window, take_window
from ganatomy.experiments.causal.describe import Descriptions
from ganatomy.experiments.causal.describer import open_describer, random_units, unit_crops
from ganatomy.experiments.causal.dissected_model import DissectedModel, open_source
from ganatomy.experiments.causal.effects import Effect
from ganatomy.experiments.causal.image_crops import crop_means, cropped, crops
from ganatomy.experiments.causal.places import as_bytes
from ganatomy.experiments.causal.plans import edited_units
from ganatomy.experiments.causal.pool import layer_pool
from ganatomy.experiments.dissection import Dissection
from ganatomy.interventions import Intervention
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.report.html import report_html
from ganatomy.web.brush_values import BrushValues

PROMPTS = "a green church; a winter church at night; a church without a tree"


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    folder = tmp_path_factory.mktemp("steps")
    name = f"{save_words(folder / 'words.pth')}?steps=4&step=1,3&layers=up2,up1&prompts={PROMPTS}"
    return ganatomy.dissect(name, segmenter="colors", images=24, out=folder / "study")


@pytest.fixture(scope="module")
def source(dissected: Dissection) -> DissectedModel:
    return open_source(dissected.study.directory)


def named(dissected: Dissection) -> str:
    """The concept that most of the pixels show."""
    return str(dissected.concepts.sort_values("share").concept.iloc[-1])


def test_only_listed_steps_are_dissected(dissected: Dissection) -> None:
    assert list(dissected.layers) == ["up2@1", "up1@1", "up2@3", "up1@3"]


def test_an_ablation_is_done_at_each_step(dissected: Dissection, source: DissectedModel, out: Path) -> None:
    options = {"units": [1, 4], "concept": named(dissected), "images": 12, "random": 2, "show": 2, "out": out}
    effect = ganatomy.ablate(dissected.study.directory, "up1", at_steps="2..4", **options)
    edits = effect.edits()
    assert [edit.layer for edit in edits] == ["up1@2", "up1@3", "up1@4"]
    assert all(edit.alpha.nonzero().flatten().tolist() == [1, 4] for edit in edits)
    generator, ids = source.models.generator, range(effect.spec.first, effect.spec.first + 12)
    z = generator.latents(ids, 0)
    own = [Intervention.ablate(f"up1@{step}", generator.layers["up1@1"], [1, 4]) for step in (2, 3, 4)]
    labels = [source.models.segmenter(images) for images in (generator.edited(z, ()), generator.edited(z, own))]
    concept = source.concept(named(dissected))
    shares = [(each == concept).any(1).double().mean((1, 2)) for each in labels]
    row = effect.table[effect.table.concept == named(dissected)].iloc[0]
    assert row.before == pytest.approx(float(shares[0].mean()))
    assert row.after == pytest.approx(float(shares[1].mean()))
    prompts = effect.prompts
    assert prompts is not None
    assert prompts.prompt.tolist() == [each.strip() for each in PROMPTS.split(";")]
    assert prompts.images.tolist() == [4, 4, 4]
    number = torch.tensor(ids) % 3
    change = shares[1] - shares[0]
    for i, found in enumerate(prompts.itertuples()):
        assert found.change == pytest.approx(float(change[number == i].mean()))
        assert found.change_error == pytest.approx(float(change[number == i].std() / 2))
    mean = (prompts.random_change * prompts.images).sum() / prompts.images.sum()
    assert mean == pytest.approx(row.random_change)
    assert "2 units of up1@2..4" in effect.section().question
    assert "a winter church at night" in effect.section().blocks[-1].body


@pytest.mark.parametrize("kind", [ganatomy.ablate, ganatomy.insert])
def test_windows_are_edits_at_their_own_steps(dissected: Dissection, out: Path, kind: Callable[..., Effect]) -> None:
    options = {"units": [1, 4], "concept": named(dissected), "images": 6, "random": 2, "show": 0}
    options |= {"pool": 16} if kind is ganatomy.insert else {}
    found = kind(dissected.study.directory, "up1", at_steps="2..4", windows=2, out=out / "all", **options)
    assert found.windows.steps.tolist() == ["2..3", "4", "2..4"]
    for row in found.windows.itertuples():
        alone = kind(dissected.study.directory, "up1", at_steps=row.steps, out=out / row.steps, **options)
        own = alone.table[alone.table.concept == named(dissected)].iloc[0]
        for column in ("before", "after", "change", "change_error", "random_change", "random_spread"):
            assert getattr(row, column) == pytest.approx(own[column], abs=1e-9), (row.steps, column)
        assert not len(alone.windows)
    pd.testing.assert_frame_equal(found.table, alone.table)
    assert found.prompts is not None
    assert alone.prompts is not None
    pd.testing.assert_frame_equal(found.prompts, alone.prompts)
    assert "When is it decided?" in [block.heading for block in found.section().blocks]
    assert "steps" in "".join(table.csv() for table in found.tables())


def test_an_insertion_has_a_constant_for_each_step(dissected: Dissection, source: DissectedModel, out: Path) -> None:
    options = {"units": [1, 4], "concept": named(dissected), "images": 6, "random": 1, "pool": 16, "out": out}
    effect = ganatomy.insert(dissected.study.directory, "up1", at_steps="1..2", **options)
    edits = {edit.layer: edit for edit in effect.edits()}
    assert list(edits) == ["up1@1", "up1@2"]
    for layer, edit in edits.items():
        k = layer_pool(source, layer, 16).constant(source.concept(named(dissected)))
        torch.testing.assert_close(edit.value[[1, 4]], k[[1, 4]], rtol=1e-4, atol=1e-5)


def described(dissected: Dissection, out: Path, layer: str = "up1", **options: object) -> Descriptions:
    words = [concept.name for concept in dissected.vocabulary[1:]]
    small = {"units": [1, 4], "images": 6, "top": 3, "draws": 20, "chance": 0.99, "show": 2, "out": out}
    given = {"describer": "torch:planted_words:Colors", "words": words, **small, **options}
    return ganatomy.describe(dissected, layer, **given)


def test_what_is_described_is_ablated_at_each_step(dissected: Dissection, source: DissectedModel, out: Path) -> None:
    found = described(dissected, out, at_steps="2..4")
    assert (found.spec.layer, found.spec.layers()) == ("up1@3", ["up1@2", "up1@3", "up1@4"])
    describer, generator, grid = open_describer(source, found.spec), source.models.generator, crops(found.spec.crop)
    ids = describer.shown_by(4)
    strip = dissected.top("up1@3", 4)
    assert ids == strip.ids[:3].tolist(), "those in which the unit is greatest at the dissected step"
    z = describer.latents(ids)
    r = generator.observe(z, ["up1@3"]).features["up1@3"]

    def without(units: list[int], steps: Sequence[int]) -> Tensor:
        each = [
            [Intervention.ablate(f"up1@{step}", generator.layers["up1@3"], [unit]) for step in steps] for unit in units
        ]
        return torch.cat([generator.edited(row[None], edits) for row, edits in zip(z, each, strict=True)])

    ((which, seen),) = unit_crops(describer, 4, ids)
    assert which.tolist() == crop_means(r[:, [4]], grid)[:, 0].argmax(1).tolist()
    trials = random_units(found.spec, 4, ids, r)
    assert len(seen) == 1 + len(trials) == 4
    torch.testing.assert_close(seen[0], cropped(generator.edited(z, ()), grid, which))
    for images, units in zip(seen[1:], trials, strict=True):
        torch.testing.assert_close(images, cropped(without(units, (2, 3, 4)), grid, which))
        assert (images - cropped(without(units, (3,)), grid, which)).abs().max() > 0.01, "more than at one step"
    place = found.strips.units.tolist().index(4)
    own = as_bytes(without([4] * 3, (2, 3, 4))).permute(0, 2, 3, 1)
    assert (found.strips.after[place].int() - own.int()).abs().max() <= 1
    section = found.section()
    assert section.question == "What do 2 units of up1@2..4 draw, in words?"
    assert "greatest at up1@3" in section.blocks[0].lead
    assert "in its own images, at up1@2..4." in section.blocks[1].lead


@pytest.mark.parametrize(
    ("steps", "read", "edited"),
    [
        ("1..4", "up1@3", ["up1@1", "up1@2", "up1@3", "up1@4"]),
        ("1..2", "up1@1", ["up1@1", "up1@2"]),
        ("4", "up1@3", ["up1@4"]),
        ("2", "up1@1", ["up1@2"]),
    ],
)
def test_units_are_described_at_the_dissected_step_in_the_middle(
    source: DissectedModel, steps: str, read: str, edited: list[str]
) -> None:
    fields = describe_spec.named(source, {"layer": "up1", "at_steps": steps, "units": [1]})
    spec = describe_spec.DescribeSpec(**source.names(), **fields, describer="")
    assert (spec.layer, spec.layers()) == (read, edited)


def test_a_description_at_one_step_is_that_of_the_layer(source: DissectedModel) -> None:
    assert describe_spec.named(source, {"layer": "up1", "at_steps": "3"}) == describe_spec.named(
        source, {"layer": "up1@3"}
    )


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        ({"layer": "up1@3", "at_steps": "1..2"}, "bad-value", ["up1@3", "up1"]),
        ({"layer": "up1", "at_steps": "3..5"}, "bad-value", ["3..5", "1 to 4"]),
        ({"layer": "up1", "at_steps": "all"}, "bad-value", ["all"]),
        ({"layer": None, "at_steps": "1..2"}, "bad-value", ["1..2", "one block"]),
        ({"layer": "down1", "at_steps": "1..2"}, "unknown-name", ["down1", "up2"]),
        ({"layer": "up1"}, "unknown-name", ["up1"]),
    ],
)
def test_descriptions_refuse_the_same_windows(
    source: DissectedModel, options: dict[str, str], code: str, facts: list[str]
) -> None:
    for take in (describe_spec.named, edited_units):
        with mistake(code, *facts):
            take(source, {"units": [0], **options})


def test_units_are_ranked_at_the_dissected_steps_of_the_window(dissected: Dissection, source: DissectedModel) -> None:
    assert ranked_layers(source, ["up1@1", "up1@2", "up1@3"]) == ["up1@1", "up1@3"]
    assert ranked_layers(source, ["up1@4"]) == ["up1@3"]
    concept = named(dissected)
    chosen, fields = select_in_window(source, ["up1@1", "up1@2", "up1@3"], UnitQuery(concept=concept, top=3))
    ious = pd.concat(
        [dissected.ranked(concept).query(f"layer == '{layer}'").set_index("unit").iou for layer in ("up1@1", "up1@3")],
        axis=1,
    )
    best = ious.fillna(0).mean(axis=1)
    assert sorted(best[list(chosen.units)]) == pytest.approx(sorted(best.nlargest(3)))
    assert "up1@1, up1@3" in chosen.chosen
    assert fields == {
        "layer": "up1@1",
        "units": chosen.units,
        "more": (("up1@2", chosen.units), ("up1@3", chosen.units)),
    }


def test_context_inserts_at_each_step(dissected: Dissection, out: Path) -> None:
    options = {"units": [1, 4], "images": 2, "pool": 16, "stride": 4, "show": 1, "out": out}
    context = ganatomy.context(dissected.study.directory, "up1", named(dissected), at_steps="2..4", **options)
    assert context.spec.layers() == ["up1@2", "up1@3", "up1@4"]
    assert len(context.places) == 2 * len(context.spec.corners((8, 8)))


def test_trace_follows_the_edited_and_the_listed_layers(
    dissected: Dissection, source: DissectedModel, out: Path
) -> None:
    options = {"units": [1, 4], "images": 2, "pool": 16, "places": 2, "show": 0, "out": out}
    trace = ganatomy.trace(dissected.study.directory, "up1", named(dissected), at_steps="2..4", **options)
    assert "inserted at up1@2..4" in trace.section().question
    assert trace.lines.layer.drop_duplicates().tolist() == ["up1@2", "up2@3", "up1@3", "up1@4"]
    generator, place = source.models.generator, trace.places.iloc[0]
    z = generator.latents(range(int(place.id), int(place.id) + 1), 0)
    assert place["up2@3"] > 0
    assert generator.observe(z, ["up2@3"]).features["up2@3"].shape[1] == 8


def test_the_best_setting_is_searched_over_a_window(dissected: Dissection, source: DissectedModel, out: Path) -> None:
    spec = setting_spec(source, ["up1@2", "up1@3", "up1@4"], named(dissected))
    assert [[layer for layer, _ in units] for by, units in spec.sets if by == "all"] == [
        ["up1@2", "up1@3", "up1@4"],
        ["up1@3", "up1@4"],
    ]
    small = {"images": 4, "searched": 4, "pool": 16, "out": out}
    found = ganatomy.best_setting(
        dissected.study.directory, ["up1"], named(dissected), at_steps="2..4", cells=[2], **small
    )
    assert found.best.layers()[-1] == "up1@4"
    assert "up1@" in found.section().blocks[0].lead
    paper = paper_setting(source, spec, 1)
    assert paper.layers() == ["up1@2", "up1@3", "up1@4"]


def test_what_is_set_by_default_is_the_block_from_its_step_on(source: DissectedModel) -> None:
    assert default_layers(source) == ["up1@1", "up1@2", "up1@3", "up1@4"]


def test_directories_name_the_window(dissected: Dissection) -> None:
    effect = ganatomy.ablate(dissected.study.directory, "up1", at_steps="1..4", units=[0], images=4, random=0, show=0)
    assert effect.study.directory.parent.name == "up1-1..4"


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        ({"layer": "up1@3", "at_steps": "1..2"}, "bad-value", ["up1@3", "up1"]),
        ({"layer": "up1", "at_steps": "3..5"}, "bad-value", ["3..5", "1 to 4"]),
        ({"layer": "up1", "at_steps": "0..2"}, "bad-value", ["0..2"]),
        ({"layer": "up1", "at_steps": "3..2"}, "bad-value", ["3..2"]),
        ({"layer": "up1", "at_steps": "all"}, "bad-value", ["all"]),
        ({"layers": ["up1", "up2"], "at_steps": "1..2"}, "bad-value", ["1..2"]),
        ({"at_steps": "1..2"}, "bad-value", ["1..2"]),
        ({"layer": "down1", "at_steps": "1..2"}, "unknown-name", ["down1", "up2"]),
        ({"layer": "up1"}, "unknown-name", ["up1"]),
        ({"layer": "up1", "at_steps": "1..2", "windows": 3, "concept": "red"}, "bad-value", ["windows=3", "2 steps"]),
        ({"layer": "up1", "at_steps": "1..2", "windows": 0}, "bad-value", ["windows=0"]),
        ({"layer": "up1", "at_steps": "1..2", "windows": 2}, "bad-value", ["windows=2", "concept"]),
        ({"layer": "up1@1", "windows": 2, "concept": "red"}, "bad-value", ["windows=2", "at_steps"]),
    ],
)
def test_windows_that_cannot_be_meant_are_refused(
    dissected: Dissection, options: dict[str, object], code: str, facts: list[str]
) -> None:
    with mistake(code, *facts):
        ganatomy.ablate(dissected.study.directory, units=[0], images=4, **options)


def test_a_model_without_steps_has_no_window(planted: Dissection) -> None:
    for run in (partial(ganatomy.ablate, images=4), partial(ganatomy.describe, describer="any", words="tree")):
        with mistake("unknown-name", "layer2"):
            run(planted.study.directory, "layer2", units=[0], at_steps="1..2")


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    """A dissection of directions in place of the units of a block at step 3 alone."""
    folder = tmp_path_factory.mktemp("turned")
    words = f"basis:{save_words(folder / 'words.pth')}?steps=4&step=3&layers=up1&prompts={PROMPTS}"
    name = f"{words}&layer=up1@3&directions=rotation&count=5"
    return ganatomy.dissect(name, segmenter="colors", layers=["up1@3"], images=24, out=folder / "study")


@pytest.mark.parametrize("run", [ganatomy.ablate, partial(ganatomy.describe, describer="any", words="tree")])
@pytest.mark.parametrize("steps", ["1..4", "2", "3..4"])
def test_directions_of_one_step_are_edited_there_alone(
    turned: Dissection, run: Callable[..., object], steps: str
) -> None:
    with mistake("bad-value", steps, "directions", "up1@3"):
        run(turned.study.directory, "up1", units=[0], at_steps=steps, images=4)


def test_directions_of_one_step_are_no_units_of_others(turned: Dissection) -> None:
    source = open_source(turned.study.directory)
    assert take_window(source, {"layer": "up1", "at_steps": "3"}) == ["up1@3"]
    assert default_layers(source) == ["up1@3"]
    with mistake("unknown-name", "up1@2", "up1@3"):
        source.shape("up1@2")
    values = BrushValues(source)
    assert values.window("up1@3", None) == ["up1@3"]
    shown = source.dissection.concepts.sort_values("share").concept.iloc[-1]
    assert [part.layer for part in values.sample.parts(source.concept(shown))] == ["up1@3"]


@pytest.mark.parametrize(("at", "steps", "wrong"), [("1..4", "1..4", "1..5"), ("2..3", "2..3", "2..4")])
def test_directions_of_several_steps_are_edited_there(tmp_path: Path, at: str, steps: str, wrong: str) -> None:
    words = f"basis:{save_words(tmp_path / 'words.pth')}?steps=4&step=3&layers=up1&prompts={PROMPTS}"
    name = f"{words}&layer=up1@{at}&directions=rotation&count=5"
    found = ganatomy.dissect(name, segmenter="colors", layers=["up1@3"], images=24, out=tmp_path / "study")
    effect = ganatomy.ablate(found.study.directory, "up1", units=[4], at_steps=steps, images=4)
    assert [edit.layer for edit in effect.edits()] == [f"up1@{step}" for step in read_steps(steps)]
    with mistake("bad-value", wrong):
        ganatomy.ablate(found.study.directory, "up1", units=[4], at_steps=wrong, images=4)
    values = BrushValues(source := open_source(found.study.directory))
    assert values.window("up1@3", None) == [f"up1@{step}" for step in read_steps(steps) if step >= 3]
    assert source.last_step("up1") == (4 if at == "1..4" else 0)
    shown = source.dissection.concepts.sort_values("share").concept.iloc[-1]
    assert [part.layer for part in values.sample.parts(source.concept(shown))] == source.alike("up1@3")


def test_an_open_generator_knows_the_window(source: DissectedModel) -> None:
    assert isinstance(source.models.generator, SampledGenerator)
    assert take_window(source, {"layer": "up2", "at_steps": "3"}) == ["up2@3"]
    assert take_window(source, {"layer": "up2@1"}) is None


def test_ace_optimises_and_measures_units_at_each_step(dissected: Dissection, source: DissectedModel) -> None:
    small = {"pool": 24, "train": 8, "held": 8, "candidates": 16, "steps": 2, "every": 1, "pairs": 2, "images": 6}
    sets = {"top": 3, "sizes": (1, 3), "controls": (3,), "random": 1, "places": 2, "apart": 1, "patience": 0}
    concept, directory = named(dissected), dissected.study.directory
    found = ganatomy.ace(directory, "up1", concept, at_steps="2..4", **small, **sets)
    assert found.spec.layers() == ["up1@2", "up1@3", "up1@4"]
    assert found.study.directory.parent.name == "up1-2..4"
    generator, z = source.models.generator, source.models.generator.latents(found.spec.ids(), 0)
    units = found.top()
    own = [Intervention.ablate(layer, generator.layers[layer], units) for layer in found.spec.layers()]
    shares = [
        (source.models.segmenter(images) == source.concept(concept)).any(1).double().mean()
        for images in (generator.edited(z, ()), generator.edited(z, own))
    ]
    assert "units of up1@2..4" in found.section().question
    page = "".join(block.body for block in found.section().blocks)
    assert page.count('data-unit="up1%403/') == 3, "cards are of the step that was dissected"
    curve = found.curve[(found.curve["by"] == "ace") & (found.curve.n == 3)].iloc[0]
    assert curve.relative == pytest.approx(float(shares[1] / shares[0] - 1), abs=1e-6)
    effect = ganatomy.ablate(
        directory, "up1", concept, at_steps="2..4", by="ace", top=3, images=4, random=0, show=0, out=directory / "x"
    )
    assert list(effect.spec.units) == units
    with mistake("bad-value", "up1", "--at-steps 1..4"):
        ganatomy.ablate(directory, "up1", concept, at_steps="1..4", by="ace", top=3, images=4)


def test_a_ranking_is_of_a_dissected_step(dissected: Dissection, out: Path) -> None:
    with mistake("unknown-name", "dissected layer", "up1@2", "up1@3"):
        ganatomy.artifacts(
            dissected.study.directory, "up1@2", real="scenes:church", images=257, reals=257, top=257, out=out
        )
    assert not (out / "steps").exists(), "nothing was measured"


def test_a_model_without_steps_has_no_emergence(planted: Dissection) -> None:
    assert planted.emergence.empty
    assert "When does each concept appear?" not in report_html(planted)
