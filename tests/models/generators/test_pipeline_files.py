"""Folders of pipelines: weights in every form, and all that is refused."""

import gc
import json
import logging
import os
import pickle
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_models import save_pipeline as save_ddpm
from diffusers_transformers import PROMPTS
from mistakes import mistake
from safetensors.torch import load_file, save_file
from single_files import single_file

from ganatomy.core.registry import join_name
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.diffusers import encoding
from ganatomy.models.generators.diffusers.families import PipelineOptions
from ganatomy.models.generators.diffusers.pipeline import open_pipeline
from ganatomy.models.generators.diffusers.pipeline_index import PIPELINES
from ganatomy.models.generators.sampling import SampledGenerator

SD, XL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def copied(saved_pipeline: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of a pipeline with its prompts, to be spoilt."""
    return lambda kind: Path(shutil.copytree(saved_pipeline(kind), tmp_path / kind)) / "model"


def opened(directory: Path, **options: object) -> SampledGenerator:
    asked = {"prompts": directory.parent / "prompts.txt", "steps": 2} | options
    kept = {key: str(value) for key, value in asked.items() if value is not None}
    generator = open_generator(join_name("diffusers", str(directory), kept))
    assert isinstance(generator, SampledGenerator)
    return generator


def edit(file: Path, **changes: object) -> None:
    """Change a JSON file; None removes an entry."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize("safe", [True, False])
def test_weights_may_be_in_half_precision_or_in_several_files(copied: Callable[[str], Path], safe: bool) -> None:
    from transformers import CLIPTextModel

    directory = copied(SD)
    exact = opened(directory).fingerprint
    state = load_file(directory / TEXT)
    model = CLIPTextModel.from_pretrained(directory / "text_encoder")
    (directory / TEXT).unlink()
    if safe:
        model.save_pretrained(directory / "text_encoder", max_shard_size="10KB")
        assert len(list((directory / "text_encoder").glob("model-*-of-*.safetensors"))) > 1
    else:
        numbered = {f"text_model.{name}": tensor for name, tensor in state.items()}  # as transformers wrote it once
        numbered["text_model.embeddings.position_ids"] = torch.arange(12)[None]
        torch.save(numbered, directory / "text_encoder" / "pytorch_model.bin")
    assert opened(directory).fingerprint == exact
    for file in (directory / "text_encoder").glob("*model*"):
        file.unlink()
    save_file(
        {name: tensor.half() for name, tensor in state.items()}, directory / "text_encoder" / "model.fp16.safetensors"
    )
    assert opened(directory).fingerprint != exact


@pytest.mark.parametrize(("kind", "clip"), [(SD, True), (SD, False), (XL, True)])
def test_all_weights_may_be_in_a_single_file(copied: Callable[[str], Path], kind: str, clip: bool) -> None:
    directory = copied(kind)
    exact, state = opened(directory).fingerprint, single_file(directory, clip)
    for file in directory.rglob("*.safetensors"):
        file.unlink()
    with mistake("bad-file", "holds no weights"):
        opened(directory)
    file = directory.parent / "whole.safetensors"
    save_file(state, file)
    assert opened(directory, weights=file).fingerprint == exact
    with mistake("bad-file", "whole.safetensors", "model_index.json", "diffusers:DIR?prompts=FILE&weights="):
        opened(file, prompts=directory.parent / "prompts.txt")
    starts = {"model.diffusion_model.": "conv_in", "first_stage_model.": "encoder.conv_in"}
    for start, fact in (starts | {"cond": "text_encoder"}).items():
        save_file({name: tensor for name, tensor in state.items() if not name.startswith(start)}, file)
        with mistake("bad-file", "whole.safetensors", fact):
            opened(directory, weights=file)


def test_a_single_file_is_named_as_diffusers_reads_it(saved_pipeline: Callable[[str], Path]) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    model = saved_pipeline(XL) / "model"
    settings = json.loads((model / "unet" / "config.json").read_text())
    assert convert_ldm_unet_checkpoint(single_file(model, True), settings).keys() == load_file(model / UNET).keys()


def test_a_pipeline_is_read_from_the_cache(
    saved_pipeline: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    asked = PipelineOptions(PROMPTS, steps=2)
    with mistake("bad-file", "some/sd", "hf download some/sd"):
        open_pipeline("some/sd", asked, torch.device("cpu"))
    repository = tmp_path / "models--some--sd"
    shutil.copytree(saved_pipeline(SD) / "model", repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    found = open_pipeline("some/sd", asked, torch.device("cpu"))
    own = open_pipeline(str(saved_pipeline(SD) / "model"), asked, torch.device("cpu"))
    assert found.facts == own.facts
    (repository / "snapshots" / COMMIT / "tokenizer" / "tokenizer_config.json").unlink()
    with mistake("bad-file", "GANATOMY_OFFLINE"):
        open_pipeline("some/sd", asked, torch.device("cpu"))


def test_prompts_that_are_cut_off_are_said_once(
    saved_pipeline: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoding._warn.cache_clear()
    file = tmp_path / "long.txt"
    file.write_text("a tree\na church with a tower\na church with a spire\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            opened(saved_pipeline(SD) / "model", prompts=file)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "12 tokens" in message
    assert "'a church with a tower…' and 1 more" in message


def test_the_encoders_are_closed(saved_pipeline: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    open_encoder, seen = encoding._encoder, list[weakref.ref[Any]]()

    def watched(*arguments: Any) -> Any:
        assert all(each() is None for each in seen), "two are open at once"
        encoder = open_encoder(*arguments)
        seen.append(weakref.ref(encoder))
        return encoder

    monkeypatch.setattr(encoding, "_encoder", watched)
    generator = opened(saved_pipeline(XL) / "model")
    gc.collect()
    assert [each() for each in seen] == [None, None]
    assert generator.sampler.halves == 2


def test_classes_are_prompts(tmp_path: Path) -> None:
    directory = save_ddpm(tmp_path / "classes", num_class_embeds=4)
    generator = opened(directory, prompts=None, part="pipeline")
    assert generator.prompts == ("0", "1", "2", "3")
    (tmp_path / "prompts.txt").write_text("3\n1\n")
    chosen = opened(directory)
    z = generator.latents(range(4), 0)
    z[:, -1] = 3
    again = chosen.latents(range(4), 0)
    again[:, -1] = 0
    assert torch.equal(generator.observe(z, []).images, chosen.observe(again, []).images)
    assert not torch.equal(
        generator.observe(z[:1], []).images, generator.observe(generator.latents(range(1), 0), []).images
    )
    (tmp_path / "prompts.txt").write_text("3\n4\n")
    with mistake("bad-value", "'4'", "0 to 3"):
        opened(directory)
    plain = save_ddpm(tmp_path / "plain")
    with mistake("bad-model", "prompts"):
        opened(plain)


class Malice:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


SPOILT: list[tuple[str, Callable[[Path], object], str, list[str]]] = [
    ("no scheduler", lambda d: shutil.rmtree(d / "scheduler"), "bad-file", ["scheduler/scheduler_config.json"]),
    ("scheduler not named", lambda d: edit(d / "model_index.json", scheduler=None), "bad-file", ["scheduler"]),
    ("no unet", lambda d: edit(d / "model_index.json", unet=[None, None]), "bad-file", ["unet", SD]),
    ("folder gone", lambda d: shutil.rmtree(d / "vae"), "bad-file", ["config.json"]),
    ("no weights", lambda d: (d / TEXT).unlink(), "bad-file", ["model.safetensors or pytorch_model.bin"]),
    ("no words", lambda d: shutil.rmtree(d / "tokenizer"), "bad-file", ["tokenizer/tokenizer_config.json"]),
    ("no letters", lambda d: (d / "tokenizer" / "tokenizer.json").unlink(), "bad-file", ["tokenizer.json"]),
    ("bad index", lambda d: (d / "model_index.json").write_text("{"), "bad-file", ["model_index.json", "JSON"]),
    ("bad config", lambda d: (d / "text_encoder/config.json").write_text("[1]"), "bad-file", ["config.json", "list"]),
    ("odd size", lambda d: edit(d / "unet/config.json", sample_size="many"), "bad-model", ["opening", "ValueError"]),
    ("bad scheduler", lambda d: (d / "scheduler/scheduler_config.json").write_text("x"), "bad-file", ["JSON"]),
    (
        "another scheduler",
        lambda d: edit(d / "model_index.json", scheduler=["diffusers", "EDMEulerScheduler"]),
        "bad-model",
        ["EDMEulerScheduler", "scheduler=DDIMScheduler"],
    ),
    (
        "another class",
        lambda d: edit(d / "model_index.json", _class_name="WanPipeline"),
        "bad-model",
        ["WanPipeline", *PIPELINES],
    ),
    (
        "from images",
        lambda d: edit(d / "model_index.json", _class_name="StableDiffusionInpaintPipeline"),
        "bad-model",
        ["StableDiffusionInpaintPipeline", "begins with an image"],
    ),
    (
        "code of its own",
        lambda d: edit(d / "model_index.json", _class_name=["pipeline", "Mine"]),
        "bad-model",
        ["Mine", "not run"],
    ),
    (
        "another unet",
        lambda d: edit(d / "model_index.json", unet=["diffusers", "UNet3DConditionModel"]),
        "bad-model",
        ["unet", "UNet3DConditionModel", "UNet2DConditionModel"],
    ),
    (
        "another class in the config",
        lambda d: edit(d / "vae/config.json", _class_name="AutoencoderKLWan"),
        "bad-model",
        ["vae", "AutoencoderKLWan"],
    ),
    (
        "another encoder",
        lambda d: edit(d / "model_index.json", text_encoder=["transformers", "T5EncoderModel"]),
        "bad-model",
        ["text_encoder", "T5EncoderModel", "CLIPTextModel"],
    ),
    (
        "another tokenizer",
        lambda d: edit(d / "model_index.json", tokenizer=["transformers", "T5Tokenizer"]),
        "bad-model",
        ["tokenizer", "T5Tokenizer"],
    ),
    ("another type", lambda d: edit(d / "text_encoder/config.json", model_type="bert"), "bad-model", ["bert"]),
    ("quantised", lambda d: edit(d / "text_encoder/config.json", quantization_config={}), "bad-file", ["quantised"]),
    ("too large", lambda d: edit(d / "text_encoder/config.json", vocab_size=1 << 40), "bad-file", [str(1 << 40)]),
    ("inpainting", lambda d: edit(d / "unet/config.json", in_channels=9), "bad-model", ["unet", "9", "4"]),
    (
        "images beside",
        lambda d: edit(d / "unet/config.json", encoder_hid_dim_type="image_proj"),
        "bad-model",
        ["image_proj"],
    ),
    (
        "sizes beside",
        lambda d: edit(d / "unet/config.json", addition_embed_type="text_time"),
        "bad-model",
        ["text_time"],
    ),
    (
        "weights of another",
        lambda d: shutil.copy(d / UNET, d / TEXT),
        "bad-file",
        ["text_encoder", "lacks tensor"],
    ),
    (
        "a deeper encoder",
        lambda d: edit(d / "text_encoder/config.json", num_hidden_layers=2),
        "bad-file",
        ["has a tensor that the model lacks", "encoder.layers.2"],
    ),
    (
        "adapted",
        lambda d: save_file({"a": torch.zeros(1)}, d / "pytorch_lora_weights.safetensors"),
        "bad-model",
        ["pytorch_lora_weights.safetensors", "fuse_lora"],
    ),
]


@pytest.mark.parametrize(("spoil", "code", "facts"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT])
def test_what_is_damaged_is_refused(
    copied: Callable[[str], Path], spoil: Callable[[Path], object], code: str, facts: list[str]
) -> None:
    directory = copied(SD)
    spoil(directory)
    with mistake(code, *facts):
        opened(directory)


def test_the_second_encoder_must_read_prompts_as_a_whole(copied: Callable[[str], Path]) -> None:
    directory = copied(XL)
    shutil.rmtree(directory / "text_encoder_2")
    shutil.copytree(directory / "text_encoder", directory / "text_encoder_2")
    edit(directory / "model_index.json", text_encoder_2=["transformers", "CLIPTextModel"])
    with mistake("bad-model", "text_encoder_2", "CLIPTextModelWithProjection"):
        opened(directory)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_code_in_weights_is_not_run(
    copied: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = copied(SD)
    for file in (directory / part).glob("*.safetensors"):
        file.unlink()
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    (directory / part / name).write_bytes(pickle.dumps({"weight": Malice()}))
    with mistake("bad-file", name, "mkdir"):
        opened(directory)
    assert not (tmp_path / "ran").exists(), "code ran"


OPTIONS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"prompts": "nowhere.txt"}, "bad-file", ["nowhere.txt"]),
    ({"prompts": None, "part": "pipeline"}, "bad-value", ["prompts=FILE"]),
    ({"steps": 0}, "bad-value", ["steps=0", "1 to 1000"]),
    ({"steps": 2000}, "bad-value", ["steps=2000", "1 to 1000"]),
    ({"step": "3"}, "bad-value", ["step=3", "1 to 2"]),
    ({"step": "1,x"}, "bad-value", ["step=1,x"]),
    ({"size": 17}, "bad-value", ["size=17", "2"]),
    ({"scheduler": "DDIM"}, "unknown-name", ["DDIM", "DDIMScheduler"]),
    ({"scheduler": "AutoencoderKL"}, "unknown-name", ["AutoencoderKL"]),
    ({"half": "left"}, "unknown-name", ["left", "cond"]),
    ({"half": "both", "guidance": 1}, "bad-value", ["half=both"]),
    ({"show": "all"}, "unknown-name", ["all", "estimate"]),
    ({"negative": "a door", "guidance": 1}, "bad-value", ["negative"]),
    ({"guidance": "nan"}, "bad-value", ["guidance=nan"]),
    ({"guidance": -1}, "bad-value", ["guidance=-1.0"]),
    ({"images": "scenes:church"}, "bad-value", ["images=scenes:church"]),
    ({"weights": "a.bin"}, "bad-file", ["a.bin"]),
    ({"layers": "nothing"}, "unknown-name", ["nothing"]),
    ({"dtype": "int8"}, "unknown-name", ["int8"]),
    ({"prompts": None, "part": "vae", "guidance": 3}, "bad-value", ["guidance=3.0", "part=pipeline"]),
    ({"part": "vae"}, "bad-value", ["prompts=", "part=pipeline"]),
]


@pytest.mark.parametrize(("options", "code", "facts"), OPTIONS, ids=lambda value: str(value)[:40])
def test_options_that_do_not_fit_are_refused(
    saved_pipeline: Callable[[str], Path], options: dict[str, Any], code: str, facts: list[str]
) -> None:
    with mistake(code, *facts):
        opened(saved_pipeline(SD) / "model", **options)


@pytest.mark.parametrize(
    ("text", "facts"),
    [(b"", ["no prompts"]), (b"\n  \n", ["no prompts"]), (b"\xff\xfe\xfa", ["one on each line"])],
)
def test_files_without_prompts_are_refused(
    saved_pipeline: Callable[[str], Path], tmp_path: Path, text: bytes, facts: list[str]
) -> None:
    (tmp_path / "prompts.txt").write_bytes(text)
    with mistake("bad-file", "prompts.txt", *facts):
        opened(saved_pipeline(SD) / "model", prompts=tmp_path / "prompts.txt")


def test_a_model_alone_is_no_pipeline(saved_pipeline: Callable[[str], Path]) -> None:
    with mistake("bad-file", "model_index.json"):
        opened(saved_pipeline(SD) / "model" / "vae", prompts=saved_pipeline(SD) / "prompts.txt")
