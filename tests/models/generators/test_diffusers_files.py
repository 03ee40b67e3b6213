"""Directories and repositories of diffusers: parts of pipelines, weights old and new, and all that is refused."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_models import opened, save_autoencoder, save_pipeline
from mistakes import mistake
from safetensors.torch import load_file, save_file
from single_files import vae_name

from ganatomy.models.generators.diffusers.checkpoint import library
from ganatomy.models.generators.hooked import HookedGenerator

WEIGHTS = "diffusion_pytorch_model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder and a pipeline; never written to again."""
    directory = tmp_path_factory.mktemp("diffusers")
    save_autoencoder(directory / "kl", "kl")
    save_pipeline(directory / "ddpm")
    return directory


@pytest.mark.parametrize(
    ("config", "code", "fact"),
    [
        ({"_class_name": "ScoreSdeVeScheduler"}, "bad-model", "ScoreSdeVeScheduler for epsilon"),
        ({"_class_name": "DDPMScheduler", "thresholding": True}, "bad-model", "DDPMScheduler for epsilon"),
        ({"_class_name": "DDPMScheduler", "prediction_type": "flow"}, "bad-model", "DDPMScheduler for flow"),
        ({"_class_name": "AutoencoderKL"}, "bad-model", "'AutoencoderKL'"),
        ({"_class_name": "DDPMScheduler", "beta_schedule": "odd"}, "bad-model", "NotImplementedError"),
        ({}, "bad-model", "None"),
        (None, "bad-file", "scheduler/scheduler_config.json"),
    ],
)
def test_schedulers_that_do_not_fit_are_refused(
    copied: Callable[[str], Path], config: dict[str, Any] | None, code: str, fact: str
) -> None:
    file = copied("ddpm") / "scheduler" / "scheduler_config.json"
    file.unlink() if config is None else file.write_text(json.dumps(config))
    with mistake(code, fact):
        opened(file.parent.parent)


def pipeline(directory: Path, **parts: tuple[str, str]) -> Path:
    index = {"_class_name": "SomePipeline", "_diffusers_version": "0.30.0", "safety_checker": [None, None]}
    (directory / "model_index.json").write_text(json.dumps(index | {key: list(value) for key, value in parts.items()}))
    return directory


def test_the_decoder_of_a_pipeline_is_opened_or_the_part_that_is_asked_for(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "kl", tmp_path / "vae")
    shutil.copytree(saved / "ddpm" / "unet", tmp_path / "unet")
    latent = pipeline(
        tmp_path,
        unet=("diffusers", "UNet2DModel"),
        vae=("diffusers", "AutoencoderKL"),
        text_encoder=("transformers", "CLIPTextModel"),
        scheduler=("diffusers", "DDIMScheduler"),
    )
    assert "decoder.mid_block" in opened(latent).layers
    assert opened(f"{latent}?part=vae").fingerprint == opened(latent).fingerprint
    with mistake("bad-model", "UNet2DModel", "part=vae"):
        opened(f"{latent}?part=unet")
    for part in ("scheduler", "text_encoder", "vea"):
        with mistake("unknown-name", tmp_path, part, "vae"):
            opened(f"{latent}?part={part}")


def test_a_pipeline_without_a_part_that_draws_is_refused(tmp_path: Path) -> None:
    pipeline(tmp_path, unet=("diffusers", "UNet2DConditionModel"), prior=("other", "AutoencoderKL"))
    with mistake("bad-model", "AutoencoderKL", "unet", "UNet2DConditionModel"):
        opened(tmp_path)


def test_pipelines_of_2022_keep_all_in_one_folder(saved: Path, tmp_path: Path, ddpm: HookedGenerator) -> None:
    shutil.copytree(saved / "ddpm" / "unet", tmp_path, dirs_exist_ok=True)
    shutil.copy(saved / "ddpm" / "scheduler" / "scheduler_config.json", tmp_path)
    shutil.copy(saved / "ddpm" / "model_index.json", tmp_path)
    assert opened(f"{tmp_path}?step=100&steps=3").fingerprint == ddpm.fingerprint


def test_weights_of_2022_have_other_names_for_attention(copied: Callable[[str], Path], kl: HookedGenerator) -> None:
    directory = copied("kl")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(directory / WEIGHTS)
    for new, name in old.items():
        state = {key.replace(f".{new}.", f".{name}."): tensor for key, tensor in state.items()}
    assert any(".proj_attn." in key for key in state)
    save_file(state, directory / WEIGHTS)
    assert opened(directory).fingerprint == kl.fingerprint


def test_weights_may_be_in_half_precision_or_in_a_bin_file(copied: Callable[[str], Path], kl: HookedGenerator) -> None:
    directory = copied("kl")
    state = load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    torch.save(state, directory / "diffusion_pytorch_model.bin")
    assert opened(directory).fingerprint == kl.fingerprint
    save_file(
        {key: tensor.half() for key, tensor in state.items()}, directory / "diffusion_pytorch_model.fp16.safetensors"
    )
    half = opened(directory)  # it is preferred to the other, which would have to be unpickled
    z = kl.latents(range(2), 0)
    assert not torch.equal(half.observe(z, []).images, kl.observe(z, []).images)
    assert torch.allclose(half.observe(z, []).images, kl.observe(z, []).images, atol=0.01)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_may_be_in_several_files(
    copied: Callable[[str], Path], kl: HookedGenerator, safe: bool, variant: str | None
) -> None:
    directory = copied("kl")
    model = library().AutoencoderKL.from_pretrained(directory)
    (directory / WEIGHTS).unlink()
    model.save_pretrained(directory, safe_serialization=safe, variant=variant, max_shard_size="20KB")
    assert not any((directory / name).exists() for name in (WEIGHTS, WEIGHTS.replace("safetensors", "bin")))
    assert opened(directory).fingerprint == kl.fingerprint
    gone = sorted(directory.glob("*-of-*"))[0]
    gone.unlink()
    with mistake("bad-file", gone.name):
        opened(directory)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.ema.safetensors", "vae.safetensors", "model.ckpt"])
def test_weights_may_be_called_otherwise(copied: Callable[[str], Path], kl: HookedGenerator, name: str) -> None:
    directory = copied("kl")
    state = load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    save_file(state, directory / name) if name.endswith("s") else torch.save({"state_dict": state}, directory / name)
    for argument in (
        directory,
        directory / name,
        f"{directory}?weights={name}",
        f"{directory}?weights={directory / name}",
    ):
        assert opened(argument).fingerprint == kl.fingerprint
    torch.save({"g": state, "g_ema": state}, directory / "other.pt")
    with mistake("bad-file", directory, "other.pt", "weights=FILE"):
        opened(directory)
    assert opened(f"{directory}?weights=other.pt&prefix=g_ema").fingerprint == kl.fingerprint
    (directory / "config.json").unlink()
    with mistake("bad-file", "config.json", "diffusers:DIR?weights="):
        opened(directory / name)


@pytest.mark.parametrize("whole", [True, False])
def test_the_single_file_of_a_latent_diffusion_model(
    saved: Path, tmp_path: Path, kl: HookedGenerator, whole: bool
) -> None:
    prefix, state = "first_stage_model." if whole else "", {}
    for name, tensor in load_file(saved / "kl" / WEIGHTS).items():
        linear = ".attentions." in name and tensor.ndim == 2
        state[prefix + vae_name(name)] = tensor[:, :, None, None].clone() if linear else tensor
    assert {f"{prefix}decoder.mid.attn_1.q.weight", f"{prefix}decoder.up.1.upsample.conv.weight"} <= state.keys()
    rest = {"model.diffusion_model.x": torch.ones(2)} if whole else {"loss.logvar": torch.ones(2)}
    torch.save({"state_dict": state | rest, "global_step": 7}, tmp_path / "sd.ckpt")
    assert opened(f"{saved / 'kl'}?weights={tmp_path / 'sd.ckpt'}").fingerprint == kl.fingerprint
    del state[f"{prefix}decoder.conv_in.weight"]
    torch.save(state, tmp_path / "sd.ckpt")
    with mistake("bad-file", "sd.ckpt", "decoder.conv_in.weight"):
        opened(f"{saved / 'kl'}?weights={tmp_path / 'sd.ckpt'}")


class Malice:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


def spoil(directory: Path, kind: str) -> None:
    file = directory / WEIGHTS
    state = load_file(file)
    name = "decoder.conv_in.weight"
    if kind == "lacks":
        del state[name]
    elif kind == "extra":
        state["more.weight"] = torch.zeros(1)
    elif kind == "shape":
        state[name] = torch.zeros(2, 2)
    elif kind == "nan":
        state[name][0] = torch.nan
    save_file(state, file)
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    elif kind in ("none", "code"):
        file.unlink()
    if kind == "code":
        (directory / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({name: Malice()}))


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("lacks", "decoder.conv_in.weight"),
        ("extra", "more.weight"),
        ("shape", "decoder.conv_in.weight has shape [2, 2]"),
        ("nan", "decoder.conv_in.weight holds NaN"),
        ("cut", "not a whole safetensors file"),
        ("none", f"{WEIGHTS} or diffusion_pytorch_model.bin"),
        ("code", "mkdir"),
    ],
)
def test_weights_that_do_not_fit_are_refused_not_made_up(
    copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, fact: str
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = copied("kl")
    spoil(directory, kind)
    with mistake("bad-file", fact):
        opened(directory)
    assert not (tmp_path / "ran").exists(), "code ran"


@pytest.mark.parametrize(
    ("config", "code", "fact"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "bad-model", "UNet2DConditionModel"),
        ({"_class_name": "os.system"}, "bad-model", "os.system"),
        ({}, "bad-model", "None"),
        ({"_class_name": "AutoencoderKL", "act_fn": "nope"}, "bad-model", "nope"),
        ([1], "bad-file", "list"),
        ("{", "bad-file", "JSON"),
    ],
)
def test_configs_of_something_else_are_refused(
    copied: Callable[[str], Path], config: object, code: str, fact: str
) -> None:
    directory = copied("kl")
    (directory / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with mistake(code, fact):
        opened(directory)


def test_directories_without_a_model_are_refused(tmp_path: Path) -> None:
    with mistake("bad-file", tmp_path, "model_index.json", "config.json"):
        opened(tmp_path)
    with mistake("bad-file", tmp_path / "nowhere"):
        opened(tmp_path / "nowhere")


def test_a_repository_is_read_from_the_cache(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ddpm: HookedGenerator
) -> None:
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("GANATOMY_OFFLINE", "1")
    with mistake("bad-file", "some/ddpm", "hf download some/ddpm"):
        opened("some/ddpm")
    repository = tmp_path / "models--some--ddpm"
    shutil.copytree(saved / "ddpm", repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert opened("some/ddpm?step=100&steps=3").fingerprint == ddpm.fingerprint
    assert opened(f"some/ddpm@{COMMIT}?step=100&steps=3").fingerprint == ddpm.fingerprint
    (repository / "snapshots" / COMMIT / "unet" / WEIGHTS).unlink()
    with mistake("bad-file", "GANATOMY_OFFLINE"):
        opened("some/ddpm")
