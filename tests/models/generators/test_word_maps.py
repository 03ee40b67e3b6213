"""Attention to words as a layer: the maps are the shares of attention, and edits change just these."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mistakes import mistake
from torch import Tensor

import ganatomy
from ganatomy.interventions import Intervention
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.diffusers.word_attention import WordAttention, word_tokens
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.generators.word_maps import WordMaps, attend
from ganatomy.report.causal.page import write_causal_report
from ganatomy.report.html import write_report

TRANSFORMERS = ("PixArtAlphaPipeline", "PixArtSigmaPipeline", "StableDiffusion3Pipeline", "FluxPipeline")
UNETS = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "LatentConsistencyModelPipeline")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def opened(name: str) -> SampledGenerator:
    generator = open_generator(name)
    assert isinstance(generator, SampledGenerator)
    return generator


def off(generator: SampledGenerator, word: str) -> list[Intervention]:
    """Ablate a word in every attention at every step."""
    unit = list(getattr(generator.sampler, "words")).index(word)  # noqa: B009  no sampler must have it
    return [Intervention.ablate(layer, generator.layers[layer], [unit]) for layer in generator.unit_names]


@pytest.mark.parametrize("grouped", [False, True])
def test_what_is_attended_to_is_as_torch_computes_it_and_edits_scale_the_shares_of_a_word(grouped: bool) -> None:
    query, key, value = random(2, 3, 16, 8), random(2, 3, 5, 8, seed=1), random(2, 3, 5, 8, seed=2)
    tokens = torch.zeros(2, 5, 2)
    tokens[0, 1:3, 0] = tokens[0, 4, 1] = tokens[1, 0, 1] = 1
    maps, seen = WordMaps(), []
    maps.register_forward_hook(lambda _module, _inputs, own: seen.append(own))
    own = attend(query, key, value, maps, tokens if grouped else None)
    assert torch.allclose(own, F.scaled_dot_product_attention(query, key, value), atol=1e-6)
    shares = (query @ key.mT / 8**0.5).softmax(-1)
    expected = shares.mean(1) @ tokens if grouped else shares.mean(1)
    assert torch.allclose(seen[0], expected, atol=1e-6)
    maps.register_forward_hook(
        lambda _module, _inputs, own: own * torch.tensor([0.0, 2.0] + [1.0] * (own.shape[2] - 2))
    )
    times = torch.tensor([0.0, 2.0, 1.0, 1.0, 1.0]).expand(2, 5)
    if grouped:
        times = torch.tensor([[1.0, 0.0, 0.0, 1.0, 2.0], [2.0, 1.0, 1.0, 1.0, 1.0]])
    edited = attend(query, key, value, maps, tokens if grouped else None)
    assert torch.allclose(edited, (shares * times[:, None, None]) @ value, atol=1e-6)


@pytest.mark.parametrize("texts_first", [False, True])
def test_where_image_and_text_attend_to_both_the_maps_are_of_places_and_the_text_is_left_alone(
    texts_first: bool,
) -> None:
    query, key, value = random(2, 3, 9, 8), random(2, 3, 9, 8, seed=1), random(2, 3, 9, 8, seed=2)
    tokens = torch.zeros(2, 3, 1)
    tokens[:, 1] = 1  # the second of three tokens is the word
    place, texts = (slice(3, 9), slice(0, 3)) if texts_first else (slice(0, 6), slice(6, 9))
    whole = F.scaled_dot_product_attention(query, key, value)
    maps, seen = WordMaps(), []
    maps.register_forward_hook(lambda _module, _inputs, own: seen.append(own))
    with WordAttention(maps, tokens, texts_first) as mode:
        assert torch.allclose(F.scaled_dot_product_attention(query, key, value), whole, atol=1e-6)
    assert mode.met
    shares = (query @ key.mT / 8**0.5).softmax(-1)
    assert torch.allclose(seen[0][..., 0], shares[:, :, place, texts][..., 1].mean(1), atol=1e-6)
    maps.register_forward_hook(lambda _module, _inputs, own: torch.zeros_like(own))
    with WordAttention(maps, tokens, texts_first):
        edited = F.scaled_dot_product_attention(query, key, value)
    shares[:, :, place, texts.start + 1] = 0
    assert torch.allclose(edited, shares @ value, atol=1e-6)


def test_a_word_that_is_not_in_a_prompt_has_no_map_and_no_edit_of_it_does_anything() -> None:
    query, key, value = random(1, 2, 4, 8), random(1, 2, 3, 8, seed=1), random(1, 2, 3, 8, seed=2)
    maps = WordMaps()
    maps.register_forward_hook(lambda _module, _inputs, own: own + 5)
    assert torch.equal(
        attend(query, key, value, maps, torch.zeros(1, 3, 2)), (query @ key.mT * 8**-0.5).softmax(-1) @ value
    )


def test_words_of_the_words_model_are_units(church_words: Sequence[SampledGenerator]) -> None:
    plain, own = church_words
    z = own.latents(range(4), 0)
    assert torch.allclose(plain.observe(z, ()).images, own.observe(z, ()).images, atol=1e-5)
    assert own.fingerprint != plain.fingerprint
    assert not plain.unit_names
    layer = "up2.attn2@2:words"
    assert own.layers[layer].units == len(own.unit_names[layer]) == 20
    r = own.observe(z, [layer]).features[layer]
    assert torch.allclose(r.sum(1), torch.ones(()), atol=1e-5)
    changed = own.edited(z, off(own, "tree"))
    assert bool(((changed - own.observe(z, ()).images).abs().amax((1, 2, 3)) > 1e-4).all())
    r.requires_grad_()
    (gradient,) = torch.autograd.grad(own.render(r, layer, z).sum(), r)
    assert bool((gradient != 0).any())


@pytest.fixture(scope="module")
def church_words() -> list[SampledGenerator]:
    return [opened(f"bundled:church-words?steps=3&prompts=a church with a tree{more}") for more in ("", "&words=yes")]


@pytest.mark.parametrize("kind", [*UNETS, *TRANSFORMERS])
def test_words_of_prompts_are_units_where_there_is_attention_to_them(
    saved_pipeline: Callable[[str], Path], saved_transformer: Callable[[str], Path], kind: str
) -> None:
    saved = saved_transformer if kind in TRANSFORMERS else saved_pipeline
    name = f"diffusers:{saved(kind) / 'model'}?steps=2&size=16&prompts=a tree;a red Door, open"
    plain, own = opened(name), opened(f"{name}&words=yes")
    z = own.latents(range(4), 3)
    before = own.observe(z, ()).images
    assert torch.allclose(plain.observe(z, ()).images, before, atol=1e-5)
    layers = list(own.unit_names)
    assert set(own.unit_names[layers[0]]) == {"a", "tree", "red", "door", "open"}
    assert all(layer.endswith(":words") for layer in layers)
    assert set(layers) & set(own.listed)
    r = own.observe(z, layers).features[layers[-1]]
    tree = own.unit_names[layers[0]].index("tree")
    assert bool((r[::2, tree] > 0).all())
    assert not r[1::2, tree].any()
    changed = (own.edited(z, off(own, "tree")) - before).abs().amax((1, 2, 3))
    assert bool((changed[::2] > 1e-5).all())
    assert not changed[1::2].any()


def test_images_of_no_prompt_attend_to_none_of_its_words(saved_pipeline: Callable[[str], Path]) -> None:
    name = f"diffusers:{saved_pipeline(UNETS[0]) / 'model'}?steps=2&guidance=4&words=yes&half=uncond&prompts=a tree"
    own = opened(name)
    z, layers = own.latents(range(2), 3), list(own.unit_names)
    assert not any(r.any() for r in own.observe(z, layers).features.values())


class Tokenizer:
    """Letters are tokens; ``_`` joins what it stands between into one token."""

    def __call__(self, text: str, add_special_tokens: bool = True) -> "Tokenizer":
        self.input_ids = [ord(c) for c in text.replace(" _ ", "#") if c != " "]
        if add_special_tokens:
            self.input_ids = [0, *self.input_ids, 1]
        return self


def test_tokens_are_those_of_the_words_that_they_stand_in() -> None:
    words, tokens = word_tokens(Tokenizer(), ["ab c!", "C"], ["ab c!", "C", "zz"], 6)
    assert words == ("ab", "c")
    assert tokens[0].tolist() == [[0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 0]]
    assert tokens[1].nonzero().tolist() == [[1, 1]]
    assert not tokens[2].any(), "the negative prompt's words are no units"


def test_what_cannot_be_had_is_refused_in_one_line(
    saved_pipeline: Callable[[str], Path], saved_transformer: Callable[[str], Path]
) -> None:
    with mistake("bad-model", "a _ b"):
        word_tokens(Tokenizer(), ["a _ b"], ["a _ b"], 9)
    with mistake("bad-value", 600, 512):
        word_tokens(Tokenizer(), [" ".join(f"w{i}" for i in range(600))], [], 9)
    unet, classes = saved_pipeline(UNETS[0]) / "model", saved_pipeline("DDPMPipeline") / "model"
    with mistake("bad-value", "words", "pipeline"):
        open_generator(f"diffusers:{unet}?part=unet&words=yes")
    with mistake("bad-model", "DDPMPipeline", "words"):
        open_generator(f"diffusers:{classes}?part=pipeline&words=yes")
    with mistake("bad-model", "Flux2KleinPipeline", "words"):
        open_generator(f"diffusers:{saved_transformer('Flux2KleinPipeline') / 'model'}?words=yes&prompts=a tree")


@pytest.mark.slow
def test_a_report_says_whether_the_attention_to_a_word_marks_its_thing(tmp_path: Path) -> None:
    name = "bundled:church-words?steps=2&words=yes&prompts=a church with a tree and a cloud"
    options = {"segmenter": "bundled:scenes?size=64", "layers": ("up2.attn2@2:words",), "images": 96, "levels": 20}
    found = ganatomy.dissect(name, out=tmp_path / "study", **options)
    table = found.word_maps.set_index("word")
    assert {"tree", "cloud", "door"} <= set(table.index)
    units = found.units.set_index("unit")
    row = table.loc["tree"]
    assert (row.layer, row.unit, row.concept) == ("up2.attn2@2:words", 12, "tree")
    if units.label[12] == "tree":
        assert row.iou == pytest.approx(units.iou[12])
    assert 1 <= row.place <= 20
    page = tmp_path / "page.html"
    write_report(found, page)
    assert "Does attention to a word mark its thing?" in page.read_text(encoding="utf-8")
    window = {"layer": "up2.attn2:words", "at_steps": "1..2", "units": [12], "images": 32, "random": 2}
    effect = ganatomy.ablate(tmp_path / "study", **window)
    write_causal_report(effect, page)
    assert "up2.attn2@1..2:words" in page.read_text(encoding="utf-8")
