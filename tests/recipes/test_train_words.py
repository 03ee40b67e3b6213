"""The recipe of the word-conditional flow: words say what is in a scene, a stopped training goes on, weights travel."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import train_words as recipe
from words import seasons

from ganatomy.core.fingerprint import file_sha256
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.words import ABSENT, PRESENT, UNSAID, WordTransformer, WordUNet
from ganatomy.scenes import VOCABULARY, render


def test_words_say_what_is_in_a_scene() -> None:
    ids = range(100, 164)
    labels = render(recipe.CATEGORY, ids, 64, 3).labels
    states = recipe.word_states(ids, labels, 3)
    assert (states[:, :3] == PRESENT).sum(1).tolist() == [1] * 64
    assert (states[:, 3:6] == PRESENT).sum(1).tolist() == [1] * 64
    names = [c.name for c in VOCABULARY]
    for word, column in zip(recipe.WORDS[6:], states[:, 6:].T, strict=True):
        pixels = (labels[:, 0] == names.index(word)).sum((1, 2))
        assert (pixels[column == PRESENT] >= 24).all()
        assert (pixels[column == ABSENT] <= 4).all()
        assert ((pixels[column == UNSAID] > 4) & (pixels[column == UNSAID] < 24)).all()


@pytest.mark.slow
def test_scenes_and_their_words_survive_a_kill_between_the_two_files(tmp_path: Path) -> None:
    scenes = recipe.WordScenes(tmp_path, 0)
    scenes.grow(40)
    whole = scenes.states.copy()
    whole[:24].tofile(scenes.path)  # the images of 40 are there, the words of 24
    again = recipe.WordScenes(tmp_path, 0)
    again.grow(40)
    assert np.array_equal(again.states, whole)


@pytest.mark.slow
def test_prompts_say_few_words_and_what_is_rare_as_often_as_what_is_not(tmp_path: Path) -> None:
    scenes = recipe.WordScenes(tmp_path, 0)
    scenes.grow(256)
    images, states = scenes.sample(2000, torch.Generator().manual_seed(0))
    said = (states != UNSAID).sum(1)
    assert int(said[:1200].max()) <= 3
    assert float((said[:1200] <= 1).double().mean()) > 0.25
    assert 0.1 < float((said[1200:] == 0).double().mean()) < 0.3
    tree = states[:1200, recipe.WORDS.index("tree")]
    few = [int((tree == state).sum()) for state in (ABSENT, PRESENT)]
    assert 0.2 < few[0] / sum(few) < 0.6  # a tenth of the scenes are without a tree
    ids = [int(row.sum()) for row in (images[:50].flatten(1) * 255).long()]
    kept = {int(row.sum()): i for i, row in enumerate((scenes.images.rows(np.arange(256)).flatten(1) * 255).long())}
    true = torch.from_numpy(scenes.states[[kept[i] for i in ids]]).long()
    assert bool(((states[:50] == true) | (states[:50] == UNSAID)).all())


def test_the_loss_is_that_of_the_velocity() -> None:
    net = WordUNet(len(recipe.WORDS), (8, 8, 8))
    for weights in net.parameters():
        torch.nn.init.zeros_(weights)
    model = recipe.RectifiedFlow(net, recipe.held_out_states(0, 4), 64)
    images = torch.zeros(64, 3, 64, 64)
    states = torch.zeros(64, len(recipe.WORDS), dtype=torch.long)
    loss = model.loss((images, states), torch.Generator().manual_seed(0))
    assert float(loss.detach()) == pytest.approx(1, abs=0.01)  # it says 0 where the noise, of variance 1, is the answer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_training_is_stopped_goes_on_and_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(recipe, "FIRST", 64)
    monkeypatch.setattr(recipe, "BLOCK", 64)
    tiny = {"unet": lambda words: WordUNet(words, (8, 8, 8)), "dit": lambda words: WordTransformer(words, 8, 2)}
    monkeypatch.setattr(recipe, "NETWORKS", tiny)
    own = ["--network", kind, "--out", str(tmp_path / "run")]
    recipe.main([*own, "--images", "64"])
    recipe.main([*own, "--images", "128"])
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 2
    recipe.main([*own, "--compact", str(tmp_path / "words.pt")])
    own[-1] = str(tmp_path / "more")
    recipe.main([*own, "--images", "128", "--start", str(tmp_path / "words.pt")])
    assert not (tmp_path / "more/log.jsonl").exists()  # it has seen as many already


@pytest.mark.slow
def test_what_is_exported_opens_and_its_card_says_how_good_it_is(tmp_path: Path) -> None:
    model = recipe.RectifiedFlow(WordUNet(len(recipe.WORDS), (8, 8, 8)), recipe.held_out_states(0, 4), 64)
    path = tmp_path / "small.safetensors"
    recipe.export(model, path, {"recipe": "none", "seed": 0, "images": 0}, images=8, each=2)
    card = json.loads(path.with_suffix(".json").read_text())
    assert (card["family"], card["name"], card["sha256"]) == ("wordflow", "small", file_sha256(path))
    assert set(card["scores"]) >= {"frechet", "shares", "said and denied", "seasons and times"}
    generator = open_generator(f"wordflow:{path}")
    assert generator.observe(generator.latents(range(1), 0), ()).images.shape == (1, 3, 64, 64)


@pytest.mark.slow
def test_the_classifier_tells_seasons_and_times_of_scenes_it_has_not_seen() -> None:
    classifier = seasons.train_classifier(1280, 4, seed=0)
    images, truth = seasons.scenes_with_truth(range(seasons.FIRST - 90, seasons.FIRST), 0)
    assert seasons.shares_right(classifier, images, truth)["both"] >= 0.9
    assert seasons.shares_right(classifier, images, truth.flip(0))["both"] < 0.5
