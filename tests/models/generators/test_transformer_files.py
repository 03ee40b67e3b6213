"""Folders of pipelines of transformers: what opens, and what is refused in one line."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_transformers import opened_transformer, save_transformer
from mistakes import mistake

SD3, FLUX, FLUX2, DIT = "StableDiffusion3Pipeline", "FluxPipeline", "Flux2KleinPipeline", "DiTPipeline"
ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"


@pytest.fixture
def copied(saved_transformer: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of a pipeline with its prompts, to be spoilt."""
    return lambda kind: Path(shutil.copytree(saved_transformer(kind), tmp_path / kind)) / "model"


def test_classes_have_names_and_numbers(copied: Callable[[str], Path]) -> None:
    directory = copied(DIT)
    edit(directory / "model_index.json", id2label={"3": "white shark, man-eater", "5": "thing 5"})
    named, numbered = (opened_transformer(directory, prompts=text) for text in ("white shark;thing 5", "3;5"))
    assert named.prompts == ("white shark", "thing 5")
    assert torch.equal(*(each.observe(each.latents(range(2), 0), ()).images for each in (named, numbered)))
    assert opened_transformer(directory, prompts=None, part="pipeline").prompts[:3] == ("0", "1", "2")
    for wrong in ("1000", "unicorn"):
        with mistake("bad-value", wrong, "0 to 999"):
            opened_transformer(directory, prompts=wrong)


@pytest.mark.parametrize("kind", [DIT, ALPHA])
def test_networks_may_have_the_name_of_their_first_release(copied: Callable[[str], Path], kind: str) -> None:
    directory = copied(kind)
    exact = opened_transformer(directory).fingerprint
    edit(directory / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    edit(directory / "transformer/config.json", _class_name="Transformer2DModel")
    assert opened_transformer(directory).fingerprint == exact


def edit(file: Path, **changes: object) -> None:
    """Change a JSON file; None removes an entry."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def index(**changes: object) -> Callable[[Path], None]:
    return lambda directory: edit(directory / "model_index.json", **changes)


def remove(name: str) -> Callable[[Path], None]:
    def removed(directory: Path) -> None:
        shutil.rmtree(directory / name) if (directory / name).is_dir() else (directory / name).unlink()

    return removed


def tuned(**changes: object) -> Callable[[Path], None]:
    return lambda directory: edit(directory / "transformer/config.json", **changes)


SPOILT: list[tuple[str, Callable[[Path], None], str, list[str]]] = [
    (SD3, index(transformer=None), "bad-file", ["transformer", SD3]),
    (
        SD3,
        index(transformer=["diffusers", "UNet2DConditionModel"]),
        "bad-model",
        ["transformer", "SD3Transformer2DModel"],
    ),
    (SD3, remove("transformer"), "bad-file", ["transformer/config.json"]),
    (SD3, index(text_encoder=None), "bad-file", ["text_encoder"]),
    (SD3, index(text_encoder=["transformers", "CLIPTextModel"]), "bad-model", ["CLIPTextModelWithProjection"]),
    (SD3, index(tokenizer_3=None), "bad-file", ["tokenizer_3"]),
    (SD3, remove("tokenizer_3/tokenizer.json"), "bad-file", ["tokenizer.json", "T5TokenizerFast"]),
    (SD3, tuned(in_channels=8), "bad-model", ["transformer", "latents of 4 channels"]),
    (SD3, tuned(num_layers=3), "bad-file", ["transformer_blocks.1.attn.to_add_out.weight"]),
    (SD3, tuned(attention_head_dim="many"), "bad-model", ["SD3Transformer2DModel"]),
    (
        FLUX,
        index(text_encoder_2=["transformers", "UMT5EncoderModel"]),
        "bad-model",
        ["text_encoder_2", "T5EncoderModel"],
    ),
    (FLUX, tuned(joint_attention_dim=20), "bad-file", ["context_embedder.weight"]),
    (FLUX, index(scheduler=["diffusers", "DDIMScheduler"]), "bad-model", ["DDIMScheduler", "velocity"]),
    (
        FLUX2,
        index(text_encoder=["transformers", "Mistral3ForConditionalGeneration"]),
        "bad-model",
        ["Qwen3ForCausalLM"],
    ),
    (FLUX2, lambda d: edit(d / "text_encoder/config.json", hidden_size=24), "bad-file", ["text_encoder"]),
    (FLUX2, index(vae=["diffusers", "AutoencoderKLWan"]), "bad-model", ["vae", "AutoencoderKLWan"]),
    (ALPHA, index(tokenizer=["transformers", "CLIPTokenizer"]), "bad-model", ["T5Tokenizer"]),
    (ALPHA, tuned(caption_channels=20), "bad-file", ["caption_projection.linear_1.weight"]),
    (
        DIT,
        tuned(num_embeds_ada_norm=1001),
        "bad-file",
        ["[1001, 16]", "[1002, 16]"],
    ),
    (DIT, index(_class_name="Flux2Pipeline"), "bad-model", ["Flux2Pipeline", "Mistral", FLUX2, DIT]),
]


@pytest.mark.parametrize(
    ("kind", "spoil", "code", "facts"), SPOILT, ids=lambda each: "" if callable(each) else str(each)[:40]
)
def test_a_spoilt_pipeline_is_refused_in_one_line(
    copied: Callable[[str], Path], kind: str, spoil: Callable[[Path], None], code: str, facts: list[str]
) -> None:
    directory = copied(kind)
    spoil(directory)
    with mistake(code, *facts):
        opened_transformer(directory)


OPTIONS: list[tuple[str, dict[str, Any], str, list[str]]] = [
    (SD3, {"step": "3"}, "bad-value", ["step=3", "1 to 2"]),
    (SD3, {"size": 18}, "bad-value", ["size=18", "4"]),
    (SD3, {"size": 128}, "bad-value", ["32 places", "64"]),
    (SD3, {"layers": "up_blocks.0"}, "unknown-name", ["up_blocks.0"]),
    (SD3, {"layers": "context_embedder"}, "bad-model", ["context_embedder", "not spatial"]),
    (SD3, {"scheduler": "DDIMScheduler"}, "bad-model", ["DDIMScheduler", "velocity"]),
    (SD3, {"weights": "a.safetensors"}, "bad-value", ["a.safetensors", SD3]),
    (SD3, {"prompts": None, "part": "pipeline"}, "bad-value", ["prompts=FILE"]),
    (FLUX, {"negative": "a door"}, "bad-value", ["negative", FLUX]),
    (FLUX2, {"negative": "a door", "guidance": 1}, "bad-value", ["negative"]),
    (FLUX2, {"guidance": "nan"}, "bad-value", ["guidance=nan"]),
    (ALPHA, {"negative": "a door", "guidance": 1}, "bad-value", ["negative"]),
    (DIT, {"negative": "a door"}, "bad-value", ["negative"]),
    (DIT, {"guidance": -1}, "bad-value", ["guidance=-1.0"]),
]


@pytest.mark.parametrize(("kind", "options", "code", "facts"), OPTIONS, ids=lambda value: str(value)[:40])
def test_options_that_do_not_fit_are_refused(
    saved_transformer: Callable[[str], Path], kind: str, options: dict[str, Any], code: str, facts: list[str]
) -> None:
    with mistake(code, *facts):
        opened_transformer(saved_transformer(kind) / "model", **options)


@pytest.mark.parametrize(("kind", "settings"), [(FLUX, {"guidance_embeds": False}), (FLUX2, {"distilled": True})])
def test_a_network_that_takes_no_guidance_is_given_none(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    directory = save_transformer(kind, tmp_path, **settings)
    assert opened_transformer(directory).fingerprint == opened_transformer(directory, guidance=0).fingerprint
    with mistake("bad-value", "guidance=3.0", "takes none"):
        opened_transformer(directory, guidance=3)


def test_as_many_tokens_of_text_as_of_the_image_are_refused(
    copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganatomy.models.generators.diffusers.families.sd3.WORDS", 4)
    with mistake("bad-value", "16 tokens", "size="):
        opened_transformer(copied(SD3))


class Malice:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("part", ["transformer", "text_encoder_2"])
def test_code_in_weights_is_not_run(
    copied: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = copied(FLUX)
    for file in (directory / part).glob("*.safetensors"):
        file.unlink()
    name = "diffusion_pytorch_model.bin" if part == "transformer" else "pytorch_model.bin"
    (directory / part / name).write_bytes(pickle.dumps({"weight": Malice()}))
    with mistake("bad-file", name, "mkdir"):
        opened_transformer(directory)
    assert not (tmp_path / "ran").exists(), "code ran"
