"""An autoencoder beside other dictionaries of its layer, on worlds in which it is known what each of them is worth."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mistakes import mistake
from safetensors.torch import save_file
from tiny_words import save_words

import ganatomy
from ganatomy.experiments.dissection import Dissection
from ganatomy.models.generators.directions import Directions
from ganatomy.models.generators.planted import UNITS
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.report.dictionaries import judgement_html
from ganatomy.scenes import ScenePairs
from ganatomy.training.dictionaries import edits, single_objects
from ganatomy.training.dictionaries.edits import squares
from ganatomy.training.dictionaries.judgement import Judgement
from ganatomy.training.dictionaries.measure import Measure, interval
from ganatomy.training.dictionaries.opened import generator_of
from ganatomy.training.dictionaries.single_objects import (
    PairedScenes,
    no_pairs,
    noised_pairs,
    open_pairs,
    pair_measure,
    takes_noised,
)
from ganatomy.training.dictionaries.spec import NAMES, OWN, UNTRAINED, DictionarySpec
from ganatomy.training.dictionaries.written import principal_rows

PLANTED = "sae:planted:?layer=layer2&file={}"
FEW: dict[str, Any] = {"segmenter": "planted", "images": 40, "edited": 12, "draws": 12}


def write_roles(path: Path) -> Path:
    """Write an autoencoder of layer2 of the planted generator that keeps its units, as they are."""
    eye = torch.eye(len(UNITS["layer2"]))
    save_file({"W_enc": eye, "W_dec": eye.clone(), "k": torch.tensor(4)}, path)
    return path


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    place = tmp_path_factory.mktemp("judged")
    name = PLANTED.format(write_roles(place / "roles.safetensors"))
    return ganatomy.judge(name, concepts=["ball", "tree"], out=place / "out", **FEW)


def found(judged: Judgement, measure: str) -> dict[str, float]:
    own = judged.table[judged.table.measure == measure]
    return dict(zip(own.dictionary, own.value, strict=True))


@pytest.mark.slow
def test_every_dictionary_has_every_measure_and_as_many_active_features(judged: Judgement) -> None:
    rows = judged.table.groupby("measure", sort=False).dictionary.apply(tuple)
    assert set(rows) == {NAMES}
    active = found(judged, "active")
    assert max(active.values()) <= 4
    assert active["autoencoder"] > 2
    for name in NAMES[1:]:
        card = json.loads((folder(judged) / "dictionaries" / name / "sae.json").read_text())
        assert card["activation"] == f"topk:{round(active['autoencoder'])}", name
    assert card["features"] == len(UNITS["layer2"]), "an untrained one is as large"


def folder(judged: Judgement) -> Path:
    return judged.studies[0].dissection.study.directory.parents[1]


@pytest.mark.slow
def test_features_that_draw_concepts_are_known_from_random_ones(judged: Judgement) -> None:
    matched, agreement = found(judged, "matched"), found(judged, "agreement")
    assert matched["autoencoder"] > matched["untrained"]
    assert agreement["autoencoder"] > 0.5, "but for copies, units draw what they are called"
    ablation, insertion = found(judged, "ablation"), found(judged, "insertion")
    assert ablation["autoencoder"] > max(0.7, ablation["untrained"])
    assert insertion["autoencoder"] > max(0.4, insertion["rotation"])
    assert found(judged, "side_effects")["autoencoder"] < found(judged, "side_effects")["rotation"]
    kept = judged.separations.set_index("measure")
    assert "active" not in kept.index, "it is made the same"
    assert kept.loc["side_effects"].sentence.startswith("side effects: ")


@pytest.mark.slow
def test_equal_counts_are_those_of_the_smallest_dictionary(judged: Judgement) -> None:
    smallest = min(len(each.dissection.units) for each in judged.studies)
    at = judged.table[judged.table.measure == "matched_at"].set_index("dictionary")
    assert set(at.title) == {f"matched features, of {smallest}"}
    everything = found(judged, "matched")
    for each in judged.studies:
        units = len(each.dissection.units)
        expected = everything[each.name] * smallest / units
        assert at.value[each.name] == pytest.approx(expected, abs=0.3), each.name
        assert (at.spread[each.name] > 0) == (units > smallest and everything[each.name] > 0)


@pytest.mark.slow
def test_what_is_not_of_rendered_scenes_says_so_in_a_sentence(judged: Judgement) -> None:
    assert "one_object" not in set(judged.table.measure)
    (note,) = judged.notes
    assert note.startswith("Scene pairs were not compared: the model is not known to draw rendered scenes")


@pytest.mark.slow
def test_the_page_has_a_sentence_a_measure_and_the_tables_lie_beside_it(judged: Judgement) -> None:
    page = judgement_html(judged)
    for sentence in judged.separations.sentence:
        assert sentence in page
    assert "measures in favour of this autoencoder: " in page
    assert page.count('<svg class="bars"') == len(judged.measures)
    assert "dictionaries and measures" in page.lower()
    written = pd.read_csv(folder(judged) / "tables" / "measures.csv")
    pd.testing.assert_frame_equal(written, judged.table, check_dtype=False)
    assert (folder(judged) / "figures" / "measures.svg").is_file()
    assert judged.summary().splitlines()[-1] == judged.notes[-1]


@pytest.mark.slow
def test_the_same_call_counts_nothing_again(judged: Judgement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganatomy.study.count_all", None)  # which counts shards
    again = ganatomy.judge(judged.spec.autoencoder, concepts=["ball", "tree"], out=folder(judged), **FEW)
    pd.testing.assert_frame_equal(again.table, judged.table)


def test_a_study_is_not_written_over(planted_study: Dissection) -> None:
    name = PLANTED.format("roles.safetensors")
    with mistake("bad-file", "is a study; give a directory for the judgement alone"):
        ganatomy.judge(name, out=planted_study.study.directory)


@pytest.fixture(scope="module")
def planted_study(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    place = tmp_path_factory.mktemp("planted") / "study"
    return ganatomy.dissect("planted:", segmenter="planted", images=8, layers=["layer1"], out=place)


def test_names_and_numbers_that_cannot_be_meant(tmp_path: Path) -> None:
    with mistake("bad-value", "give an autoencoder, sae:GENERATOR"):
        ganatomy.judge("planted:", segmenter="planted", out=tmp_path / "out")
    for name, least in (("images", 4), ("edited", 2), ("draws", 2), ("pairs", 2)):
        given: dict[str, Any] = {name: least - 1}
        with mistake("bad-value", f"{name}={least - 1} is too few; give at least {least}"):
            ganatomy.judge("sae:planted:", out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_features_of_several_steps_are_edited_at_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited: list[list[str]] = []
    draw = edits.render_edited
    monkeypatch.setattr(edits, "render_edited", lambda *own: edited.append([e.layer for e in own[3]]) or draw(*own))
    words = f"{save_words(tmp_path / 'words.pt')}?steps=3"
    ganatomy.train_sae(words, "up1@1..3", features=12, sparsity=3, images=40, out=tmp_path / "sae")
    name = words.replace("wordflow", "sae:wordflow") + f"&file={tmp_path / 'sae'}&layer=up1@"
    plain = ganatomy.dissect(words, layers=["up1@2"], segmenter="colors", images=24, out=tmp_path / "plain")
    most = str(plain.concepts.sort_values("share").concept.iloc[-1])
    few: dict[str, Any] = {"segmenter": "colors", "images": 24, "edited": 4, "pairs": 2, "draws": 4, "concepts": [most]}
    every = ganatomy.judge(f"{name}1..3", out=tmp_path / "judged", **few)
    assert every.layer == "up1@2"
    assert "Features of up1@1..3 are edited at each of these steps" in every.notes[0]
    done = [path.parent for path in (tmp_path / "judged/studies/autoencoder-causal").glob("*/*/study.json")]
    assert {path.parent.name for path in done} == {"up1-1..3", "up1-1", "up1-2", "up1-3"}
    assert edited
    assert all(layers == ["up1@1", "up1@2", "up1@3"] for layers in edited)
    again = ganatomy.judge(f"{name}1..3", out=tmp_path / "judged", **few)
    pd.testing.assert_frame_equal(again.table, every.table)


def test_the_model_itself_keeps_its_own_options() -> None:
    name = "sae:wordflow:w.safetensors?layer=up2@4&file=s&activation=topk:4&steps=4"
    assert generator_of(DictionarySpec(name)) == "wordflow:w.safetensors?steps=4"


def measured(one: list[float], other: list[float], **how: Any) -> Measure:
    values = {"autoencoder": np.array(one), "untrained": np.array(other)}
    return Measure("a", "a thing", "", values, 500, **how)


def test_an_interval_that_holds_zero_separates_nothing() -> None:
    sentence = measured([2.0, 3.0, 1.0], [1.0, 0.0, 2.0]).separation().sentence
    assert sentence.startswith("a thing: does not separate the autoencoder from the untrained one (difference +1,")
    assert sentence.endswith("more images may tell.")
    assert "more images" not in measured([20.0, 21.0, 19.0], [19.0, 18.0, 20.0]).separation().sentence


@pytest.mark.parametrize(("low", "better"), [(False, "autoencoder"), (True, "untrained one")])
def test_what_separates_says_for_whom(low: bool, better: str) -> None:
    """Resamples that go together cancel."""
    found = measured([3.0, 4.0, 2.0], [2.0, 3.1, 0.9], low_is_good=low).separation()
    assert found.separates
    assert found.better == better.split()[0]
    assert f"in favour of the {better} (difference +1, 95 % interval +0.7" in found.sentence


def test_the_interval_has_the_unit_and_nothing_is_no_plus() -> None:
    same = np.array([0.1, 0.1, 0.1])
    found = Measure("dead", "dead features", "", {OWN: same, UNTRAINED: same}, 9, share=True).separation()
    assert found.sentence.endswith("(difference 0 %, 95 % interval 0 to 0 %).")


def test_without_resamples_nothing_is_said() -> None:
    found = measured([3.0], [2.0]).separation()
    assert not found.separates
    assert found.sentence.endswith("cannot be said.")
    assert np.isnan(interval(np.array([3.0]), 9)[1])


def test_principal_rows_are_those_of_variance_towards_the_heavier_tail() -> None:
    torch.manual_seed(0)
    x = torch.zeros(400, 3)
    x[:, 0], x[:, 2] = -3 * torch.rand(400).square(), torch.rand(400).square()
    rows = principal_rows(x)
    torch.testing.assert_close(rows, torch.tensor([[-1.0, 0, 0], [0, 0, 1.0]]), atol=0.1, rtol=0)


def test_squares_depend_on_the_image_alone() -> None:
    every = squares(range(5, 9), (8, 12), 3)
    assert torch.equal(squares([7], (8, 12), 3)[0], every[2])
    assert every.flatten(1).sum(1).tolist() == [6.0] * 4
    assert len({tuple(row.flatten().tolist()) for row in every}) > 1


def scenes_of(kinds: int, each: int) -> PairedScenes:
    empty: Mapping[str, ScenePairs] = {}
    return PairedScenes(tuple(map(str, range(kinds))), np.repeat(np.arange(kinds), each), empty)


def test_features_of_one_kind_score_high_and_those_of_all_kinds_zero() -> None:
    scenes = scenes_of(4, 12)
    weights, shuffled = single_objects._draws(scenes, 3, 0)
    noise = np.random.default_rng(0).random((48, 40))
    alone = np.eye(4)[scenes.kind].repeat(10, 1) * (0.5 + noise)
    one = single_objects._scores(alone, scenes, weights, shuffled)
    many = single_objects._scores(0.5 + noise, scenes, weights, shuffled)
    assert one.min() > 0.5
    assert abs(many).max() < 0.05


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> SampledGenerator:
    model = ganatomy.open_generator(save_words(tmp_path_factory.mktemp("words") / "words.pt"))
    assert isinstance(model, SampledGenerator)
    return model


@pytest.mark.slow
def test_at_the_first_step_there_is_only_noise_and_later_the_image(words: SampledGenerator) -> None:
    z, images = words.latents(range(2), 0), torch.rand(2, 3, *words.sampler.shape[1:]) * 2 - 1
    expected = words.observe(z, ["up2@1"]).features["up2@1"]
    torch.testing.assert_close(words.observe_noised(images, z, "up2@1"), expected, atol=1e-5, rtol=1e-4)
    one, other = (words.observe_noised(each, z, "up2@6") for each in (images, -images))
    assert not torch.allclose(one, other, atol=1e-3)
    with mistake("bad-value", "steps 1 to 8"):
        words.observe_noised(images, z, "up2@9")


@pytest.mark.slow
def test_pairs_of_rendered_scenes_are_compared_at_the_step_of_the_layer(words: SampledGenerator) -> None:
    scenes = open_pairs("varied-church", 2, 32, 0)
    assert {"tree", "cloud", "door"} <= set(scenes.kinds)
    assert np.bincount(scenes.kind).tolist() == [2] * len(scenes.kinds)
    assert not no_pairs(words, "varied-church")
    units = words.layers["up2@6"].units
    plain = Directions.linear(torch.eye(units))
    measure = pair_measure(noised_pairs(words, "up2@6", scenes, 0), "up2@6", dict.fromkeys(NAMES, plain), scenes, 4, 0)
    values = list(measure.values.values())
    assert all(np.array_equal(values[0], own) for own in values), "of the same pairs, with the same noise"
    assert -0.2 < values[0][0] < 0.8
    assert not measure.separation().separates


def test_a_sampler_that_mixes_no_noise_is_inverted(words: SampledGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(type(words.sampler), "noised")
    assert not takes_noised(words)
    assert not no_pairs(words, "varied-church")
    with mistake("bad-model", "does not say how noise and an image are mixed"):
        words.observe_noised(torch.zeros(2, 3, 32, 32), words.latents(range(2), 0), "up2@1")
