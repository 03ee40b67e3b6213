"""Prompts in a dissection: concepts by prompt, slot and pair; whether units follow a word or the thing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_words import save_words

import ganatomy
from ganatomy.core.vocabulary import Concept
from ganatomy.experiments.dissection import Dissection
from ganatomy.experiments.prompted import paired_rows, said_concepts, said_rows, said_sentence
from ganatomy.experiments.sampling import latents_of
from ganatomy.models.generators import open_generator
from ganatomy.models.segmenters import open_segmenter
from ganatomy.report.html import report_html
from ganatomy.stats.mentioned import SaidDrawn

PROMPTS = "a {green|autumn} church by {day|night}"


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Dissection:
    folder = tmp_path_factory.mktemp("prompted")
    name = f"{save_words(folder / 'words.pth')}?steps=2&step=2&layers=up1&pairs=yes&prompts={PROMPTS}"
    return ganatomy.dissect(name, segmenter="colors", images=10, out=folder / "study")


def test_shares_are_those_of_the_images_of_a_prompt_a_slot_and_a_pair(paired: Dissection) -> None:
    generator, segmenter = open_generator(paired.spec.generator), open_segmenter("colors")
    labels = segmenter(generator.observe(latents_of(generator, range(10), 0), ()).images)
    concept = str(paired.concepts.sort_values("share").concept.iloc[-1])
    number = [each.name for each in segmenter.vocabulary].index(concept)
    shares = (labels == number).any(1).double().mean((1, 2)).numpy()
    mentioned = [paired.prompt_of(i) for i in range(10)]
    for row in paired.prompts[paired.prompts.concept == concept].itertuples():
        own = shares[[prompt == row.prompt for prompt in mentioned]]
        assert (row.images, row.share) == (len(own), pytest.approx(own.mean()))
        assert row.share_error == pytest.approx(own.std(ddof=1) / len(own) ** 0.5)
    for row in paired.slots[paired.slots.concept == concept].itertuples():
        own = shares[[row.value in prompt for prompt in mentioned]]
        assert (row.images, row.share) == (len(own), pytest.approx(own.mean()))
    (row,) = paired.prompt_pairs[paired.prompt_pairs.concept == concept].itertuples()
    first, second = np.array([0, 1, 4, 5]), np.array([2, 3, 6, 7])  # images 8 and 9 have no other one
    change = shares[second] - shares[first]
    assert (row.word, row.instead, row.pairs) == ("day", "night", 4)
    assert row.change == pytest.approx(change.mean())
    assert row.change_error == pytest.approx(change.std(ddof=1) / 2)
    assert not any("nearly the same" in each for each in paired.warnings)


def test_the_report_shows_prompts(paired: Dissection) -> None:
    page = report_html(paired)
    assert "What do prompts change?" in page
    assert "an autumn church by night" in page
    assert "Word or thing?" in page
    assert "Word or thing?" in paired.summary()


def test_other_models_have_no_prompts(planted: Dissection) -> None:
    assert [len(each) for each in (planted.prompts, planted.slots, planted.prompt_pairs, planted.words)] == [0] * 4
    assert planted.prompt_of(3) == ""


def test_concepts_are_said_by_their_names() -> None:
    names = [Concept(name, "object") for name in ("nothing", "tree", "swimming pool", "dome")]
    found = said_concepts(["trees by a swimming pool", "a church without a tree", "no dome"], names)
    assert found.concepts.tolist() == [1, 2]
    assert found.by_prompt.tolist() == [[True, True], [False, False], [False, False]]


def test_units_follow_the_word_or_the_thing() -> None:
    generator = torch.Generator().manual_seed(0)
    mentioned, drawn = (torch.rand(400, 1, generator=generator) < 0.5 for _ in range(2))
    noise = torch.randn(400, 4, generator=generator, dtype=torch.float64) / 4
    r = torch.cat([drawn.double(), mentioned.double(), mentioned.double() + drawn, torch.zeros(400, 1)], 1) + noise
    counted = SaidDrawn(4, torch.tensor([7]))
    for part in (slice(0, 150), slice(150, 400)):
        counted.update(r[part], r[part] / 2, mentioned[part], drawn[part])
    rows = said_rows(counted.read(), 0, range(4))
    assert rows[rows["read"] == "max"].follows.tolist() == ["thing", "word", "both", "neither"]
    both, alone = r[(mentioned & drawn)[:, 0], 0], r[(mentioned & ~drawn)[:, 0], 0]
    assert rows.thing[0] == pytest.approx(float(both.mean() - alone.mean()))
    assert rows.thing_error[0] == pytest.approx(float((both.var() / len(both) + alone.var() / len(alone)).sqrt()))
    assert rows.word[4] == pytest.approx(rows.word[0] / 2)
    assert "1 the word of the prompt, drawn or not" in said_sentence("dome", rows)


def test_too_few_images_tell_nothing() -> None:
    counted = SaidDrawn(1, torch.tensor([7]))
    counted.update(torch.ones(3, 1), torch.ones(3, 1), torch.ones(3, 1).bool(), torch.ones(3, 1).bool())
    rows = said_rows(counted.read(), 0, [0])
    assert rows.follows.tolist() == ["unknown", "unknown"]
    assert "too few to tell" in said_sentence("dome", rows)


def test_pairs_are_grouped_by_the_word_that_differs() -> None:
    facts = {"prompts": ["a sun", "a dome", "a moon", "a snowy dome"], "pairs": True}
    assert [(key, [each.tolist() for each in rows]) for key, rows in paired_rows(facts, range(2, 8)).items()] == [
        (("sun", "moon"), [[2], [4]]),
        (("", "snowy"), [[3], [5]]),
    ]
    assert paired_rows({"prompts": ["a", "b"]}, range(8)) == {}


def test_a_dissection_in_two_folds_counts_all_images(tmp_path: Path) -> None:
    name = f"{save_words(tmp_path / 'words.pth')}?steps=2&step=2&layers=up1&prompts={PROMPTS}"
    found = ganatomy.dissect(name, segmenter="colors", images=10, validation="cross", out=tmp_path / "study")
    assert found.prompts[found.prompts.concept == "green"].images.tolist() == [3, 3, 2, 2]
    counts = found.words[
        [f"{group}_images" for group in ("said_drawn", "said_absent", "unsaid_drawn", "unsaid_absent")]
    ]
    assert (counts.sum(axis=1) == 10).all()
    assert not len(found.prompt_pairs)
