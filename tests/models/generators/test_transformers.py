"""Pipelines of transformers: the images are those of the pipelines' own call, and layers hold the image's tokens."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_pipelines import PROMPTS, STABLE, made_scheduler
from diffusers_transformers import FLOW, transformer_parts
from mistakes import mistake
from torch import Tensor

from ganatomy.core.registry import join_name
from ganatomy.models.generators import Edit, open_generator
from ganatomy.models.generators.diffusers.checkpoint import library, quiet
from ganatomy.models.generators.diffusers.families import PipelineOptions
from ganatomy.models.generators.diffusers.families.transformer import packed
from ganatomy.models.generators.diffusers.pipeline import PipelineSampler, open_pipeline
from ganatomy.models.generators.sampling import SampledGenerator

CPU = torch.device("cpu")
SD3, FLUX, FLUX2, DIT = "StableDiffusion3Pipeline", "FluxPipeline", "Flux2KleinPipeline", "DiTPipeline"
ALPHA, SIGMA = "PixArtAlphaPipeline", "PixArtSigmaPipeline"
EVERY = (SD3, FLUX, FLUX2, ALPHA, SIGMA, DIT)
CLASSES = ("3", "5", "999")
EULER = "FlowMatchEulerDiscreteScheduler"
NEAR = 1e-4
"""How far images in [0, 1] may differ."""


def made(
    kind: str,
    directory: Path,
    scheduler: Any = None,
    without: tuple[str, ...] = (),
    distilled: bool = False,
    **more: Any,
) -> Path:
    """Save a pipeline of these settings of its network, without some of its parts; return its directory."""
    parts = transformer_parts(kind, directory, **more) | dict.fromkeys(without)
    flow = kind in (SD3, FLUX, FLUX2)
    steps = scheduler or (made_scheduler(EULER, **FLOW) if flow else made_scheduler("DDIMScheduler", **STABLE))
    with quiet(library()):
        settings = {"is_distilled": True} if distilled else {}
        getattr(library(), kind)(**parts, **settings, scheduler=steps).save_pretrained(directory / "model")
    (directory / "prompts.txt").write_text("\n".join(CLASSES if kind == DIT else PROMPTS) + "\n")
    return directory / "model"


def theirs(directory: Path, kind: str, noise: Tensor, dtype: torch.dtype = torch.float32, **call: Any) -> Tensor:
    """Return images in [0, 1] of the pipeline's own call."""
    with quiet(library()):
        pipe = library().DiffusionPipeline.from_pretrained(directory, torch_dtype=dtype)
        pipe.set_progress_bar_config(disable=True)
        if kind == DIT:
            found = pipe([3, 5, 999], generator=sources(), output_type="pt", **call).images
        else:
            size = noise.shape[-1] * 2
            given: dict[str, Any] = {"prompt": list(PROMPTS), "height": size, "width": size}
            shapes = {FLUX: packed, FLUX2: lambda x: torch.nn.functional.pixel_unshuffle(x, 2)}
            given["latents"] = shapes.get(kind, lambda x: x)(noise).to(dtype)
            if kind in (ALPHA, SIGMA):
                given["use_resolution_binning"] = False
            found = pipe(**given, output_type="pt", **call).images
    images: Tensor = found.float()
    return images


def sources() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(3)]


def drawn(sampler: PipelineSampler) -> Tensor:
    return torch.cat([torch.randn((1, *sampler.shape), generator=each) for each in sources()])


@torch.no_grad()
def ours(sampler: PipelineSampler, noise: Tensor) -> Tensor:
    """Return images in [0, 1]."""
    state = sampler.start(noise, torch.arange(len(noise)))
    for number in range(1, sampler.steps + 1):
        state = sampler.step(state, number)
        assert sampler.estimate(state).shape == (len(noise), 3, 2 * noise.shape[2], 2 * noise.shape[3])
    return sampler.image(state) / 2 + 0.5


def flow(name: str = EULER, **config: Any) -> Any:
    return made_scheduler(name, **config)


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (SD3, {}, {}),
    (SD3, {"scheduler": flow(shift=3.0)}, {"guidance": 1.0}),
    (SD3, {"without": ("text_encoder_3", "tokenizer_3"), "qk_norm": None}, {"negative": "a door"}),
    (SD3, {"dual_attention_layers": ()}, {"size": 32}),
    (SD3, {"scheduler": flow("DPMSolverMultistepScheduler", use_flow_sigmas=True, flow_shift=3.0)}, {}),
    (FLUX, {}, {"guidance": 2.0}),
    (FLUX, {}, {"guidance": 1.0, "steps": 1}),
    (FLUX, {"guidance_embeds": False, "scheduler": flow(shift=1.0)}, {"steps": 4}),
    (FLUX, {"scheduler": flow(**FLOW, time_shift_type="linear")}, {"size": 32}),
    (FLUX2, {}, {}),
    (FLUX2, {"distilled": True}, {"steps": 4}),
    (FLUX2, {}, {"guidance": 1.0, "size": 32}),
    (ALPHA, {}, {}),
    (ALPHA, {"sample_size": 128}, {"size": 16, "negative": "A Door "}),
    (ALPHA, {"out_channels": 4, "scheduler": flow("DPMSolverMultistepScheduler", **STABLE)}, {"guidance": 1.0}),
    (SIGMA, {}, {"size": 32}),
    (SIGMA, {"sample_size": 128, "use_additional_conditions": False}, {"size": 16, "guidance": 8.0}),
    (DIT, {}, {}),
    (DIT, {"out_channels": 4}, {"guidance": 1.0}),
    (DIT, {"scheduler": flow("DPMSolverMultistepScheduler", **STABLE)}, {"guidance": 6.0, "steps": 12}),
]


@pytest.mark.parametrize(("kind", "settings", "options"), CASES, ids=lambda value: str(value)[:50])
def test_images_are_those_of_the_pipeline(
    tmp_path: Path, kind: str, settings: dict[str, Any], options: dict[str, Any]
) -> None:
    directory = made(kind, tmp_path, **settings)
    prompts = CLASSES if kind == DIT else PROMPTS
    asked = {"steps": 5, "size": None if kind in (ALPHA, SIGMA, SD3, DIT) else 16} | options
    sampler = open_pipeline(str(directory), PipelineOptions(prompts, **asked), CPU)
    noise = drawn(sampler)
    call = {"num_inference_steps": asked["steps"]}
    if "guidance" in options:
        call["guidance_scale"] = options["guidance"]
    if "negative" in options:
        call["negative_prompt"] = [options["negative"]] * 3
    expected, found = theirs(directory, kind, noise, **call), ours(sampler, noise)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= NEAR
    assert float(expected.std()) > 0.05, "there is something to see"
    assert not torch.equal(ours(sampler, noise.flip(0)).flip(0), found), "the prompt counts"


@pytest.mark.parametrize("kind", EVERY)
def test_half_precision_is_that_of_the_pipeline(saved: Callable[[str], Path], kind: str) -> None:
    directory, prompts = saved(kind) / "model", CLASSES if kind == DIT else PROMPTS
    low = open_pipeline(str(directory), PipelineOptions(prompts, steps=5, size=16, dtype=torch.bfloat16), CPU)
    noise = drawn(low)
    exact = ours(open_pipeline(str(directory), PipelineOptions(prompts, steps=5, size=16), CPU), noise)
    if kind == DIT:  # draws its noise itself, in that format
        expected = exact
    else:
        expected = theirs(directory, kind, noise, torch.bfloat16, num_inference_steps=5)
    found = ours(low, noise)
    off = float((expected - exact).abs().mean())
    assert float((found - expected).abs().mean()) <= max(off, 0.01 if kind == DIT else NEAR)
    assert 0 < float((found - exact).abs().mean()) <= max(2 * off, 0.01)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a pipeline of a kind, with ``prompts.txt``; never written to again."""
    folder, done = tmp_path_factory.mktemp("transformers"), dict[str, Path]()

    def find(kind: str) -> Path:
        if kind not in done:
            done[kind] = made(kind, folder / kind).parent
        return done[kind]

    return find


@pytest.fixture
def copied(saved: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of a pipeline with its prompts, to be spoilt."""
    return lambda kind: Path(shutil.copytree(saved(kind), tmp_path / kind)) / "model"


def opened(directory: Path, **options: object) -> SampledGenerator:
    asked = {"prompts": directory.parent / "prompts.txt", "steps": 2, "size": 16} | options
    kept = {key: str(value) for key, value in asked.items() if value is not None}
    generator = open_generator(join_name("diffusers", str(directory), kept))
    assert isinstance(generator, SampledGenerator)
    return generator


BLOCKS = {
    SD3: ["transformer_blocks.0", "transformer_blocks.1", "transformer_blocks.1.attn", "pos_embed", "proj_out"],
    FLUX: [
        "x_embedder",
        "transformer_blocks.0",
        "transformer_blocks.1.attn",
        "transformer_blocks.1.ff",
        "single_transformer_blocks.0",
        "single_transformer_blocks.1.attn",
        "single_transformer_blocks.1.proj_mlp",
    ],
    FLUX2: ["x_embedder", "transformer_blocks.0", "transformer_blocks.1.attn", "single_transformer_blocks.0"],
    ALPHA: ["pos_embed", "transformer_blocks.0", "transformer_blocks.1.attn2", "transformer_blocks.1.ff"],
    SIGMA: ["pos_embed", "transformer_blocks.0", "transformer_blocks.1.attn2", "transformer_blocks.1.ff"],
    DIT: ["pos_embed", "transformer_blocks.0", "transformer_blocks.1.attn1", "transformer_blocks.1.ff"],
}
"""Some layers of each: of every form in which image tokens come."""


@pytest.mark.parametrize("kind", EVERY)
def test_layers_are_tokens_of_the_image_on_their_grid(saved: Callable[[str], Path], kind: str) -> None:
    generator = opened(saved(kind) / "model")
    assert {(shape.height, shape.width) for shape in generator.blocks.values()} <= {(4, 4), (8, 8)}
    assert set(BLOCKS[kind]) <= set(generator.blocks)
    assert {shape.units for name, shape in generator.blocks.items() if name.count(".") == 1} == {16}
    texts = ("context", "add_", "norm_q", "norm_k", "norm_added", "caption", "time_", "adaln", "modulation")
    assert not [name for name in generator.blocks if any(text in name for text in texts)]
    assert {name.rpartition("@")[0] for name in generator.listed} == {
        name for name in generator.blocks if name.count(".") == 1 and "transformer_blocks" in name
    }


@pytest.mark.parametrize("kind", EVERY)
def test_a_layer_says_where_in_the_image_something_is(saved: Callable[[str], Path], kind: str) -> None:
    """Noise is changed in a corner; so are the tokens there, most of all, in the module that embeds patches."""
    generator = opened(saved(kind) / "model")
    embeds = "pos_embed" if "pos_embed" in generator.blocks else "x_embedder"
    z = generator.latents(range(1), 0)
    other = z.clone()
    other[:, :-1].view(-1, *generator.sampler.shape)[..., 2:4, 6:8] += 1
    seen = [generator.observe(each, [f"{embeds}@1"]).features[f"{embeds}@1"] for each in (z, other)]
    moved = (seen[0] - seen[1]).abs().sum((0, 1))
    assert moved.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("kind", EVERY)
def test_an_edit_at_a_layer_changes_the_image_from_its_step_on(saved: Callable[[str], Path], kind: str) -> None:
    generator = opened(saved(kind) / "model", show="final")
    z = generator.latents(range(2), 0)
    plain = generator.observe(z, ()).images
    for block in [*BLOCKS[kind], *(name for name in generator.blocks if name.count(".") == 1)]:
        edit = Edit(f"{block}@2", (0, 3), value=2.0)
        seen = generator.observe(z, [f"{block}@1", f"{block}@2"], [edit])
        assert bool((seen.features[f"{block}@2"][:, [0, 3]] == 2).all())
        assert not bool((seen.features[f"{block}@1"][:, [0, 3]] == 2).any())
        assert float((seen.images - plain).abs().max()) > 1e-5, block
        same = generator.render(seen.features[f"{block}@2"], f"{block}@2", z)
        assert torch.allclose(same, seen.images, atol=1e-5)


@pytest.mark.parametrize("kind", [FLUX, FLUX2, SD3])
def test_an_edit_leaves_the_tokens_of_the_text(saved: Callable[[str], Path], kind: str) -> None:
    generator = opened(saved(kind) / "model")
    block = "transformer_blocks.1" if kind == SD3 else "single_transformer_blocks.1"
    z, found = generator.latents(range(1), 0), list[Tensor]()
    module = generator.network.get_submodule(f"{block}.attn")

    def keep(_module: object, _inputs: object, named: dict[str, Tensor]) -> None:
        found.append(named["encoder_hidden_states" if kind == SD3 else "hidden_states"].clone())

    first = block.replace(".1", ".0")
    with_handle = module.register_forward_pre_hook(keep, with_kwargs=True)
    generator.observe(z, ())
    generator.observe(z, (), [Edit(f"{first}@1", (2,), value=3.0)])
    with_handle.remove()
    plain, edited = found[0], found[generator.sampler.steps]
    texts = plain.shape[1] - (0 if kind == SD3 else 16)
    assert torch.equal(plain[:, :texts], edited[:, :texts])
    if kind != SD3:
        assert not torch.allclose(plain[:, texts:], edited[:, texts:])


@pytest.mark.parametrize("kind", EVERY)
def test_each_row_depends_on_itself_alone(saved: Callable[[str], Path], kind: str) -> None:
    generator = opened(saved(kind) / "model", step="1,2")
    layers = [f"{block}@2" for block in BLOCKS[kind]]
    whole = generator.observe(generator.latents(range(5), 7), layers)
    alone = generator.observe(generator.latents(range(3, 4), 7), layers)
    assert torch.allclose(whole.images[3:4], alone.images, atol=1e-5)
    for layer in layers:
        assert torch.allclose(whole.features[layer][3:4], alone.features[layer], atol=1e-4)
    again = opened(saved(kind) / "model", step="1,2")
    assert again.fingerprint == generator.fingerprint
    assert again.fingerprint != opened(saved(kind) / "model", steps=3).fingerprint
    assert not torch.equal(whole.images[0], whole.images[3]), "prompts are the same, noise is not"


@pytest.mark.parametrize("kind", [SD3, FLUX2, ALPHA, DIT])
def test_halves_are_read_and_edited(saved: Callable[[str], Path], kind: str) -> None:
    edit = Edit("transformer_blocks.0@1", (1,), value=4.0)
    images, features = {}, {}
    for half in ("cond", "uncond", "both"):
        generator = opened(saved(kind) / "model", half=half)
        z = generator.latents(range(2), 0)
        images[half] = generator.edited(z, [edit])
        features[half] = generator.observe(z, [edit.layer]).features[edit.layer]
    assert torch.equal(features["cond"], features["both"])
    assert not torch.equal(features["cond"], features["uncond"])
    assert all(not torch.allclose(images["cond"], images[half], atol=1e-6) for half in ("uncond", "both"))


def test_a_call_without_guidance_has_no_halves(saved: Callable[[str], Path]) -> None:
    assert opened(saved(FLUX) / "model").sampler.halves == 1
    with mistake("bad-value", "half=uncond", "not guided"):
        opened(saved(FLUX) / "model", half="uncond")


def test_gradients_pass_to_a_layer_of_joint_tokens(saved: Callable[[str], Path]) -> None:
    generator = opened(saved(FLUX) / "model")
    layer = "single_transformer_blocks.0.attn@1"
    z = generator.latents(range(1), 0)
    r = generator.observe(z, [layer]).features[layer].requires_grad_()
    (gradient,) = torch.autograd.grad(generator.render(r, layer, z).sum(), r)
    assert bool(gradient.abs().sum((0, 1)).bool().all())


@pytest.mark.parametrize("kind", [SD3, FLUX, FLUX2])
def test_images_are_encoded_to_what_draws_them(saved: Callable[[str], Path], kind: str) -> None:
    sampler = opened(saved(kind) / "model").sampler
    assert isinstance(sampler, PipelineSampler)
    x = drawn(sampler)
    with torch.no_grad():
        z = sampler.encode(sampler._decoded(x))
    assert z.shape == x.shape


def test_classes_have_names_and_numbers(saved: Callable[[str], Path]) -> None:
    directory = saved(DIT) / "model"
    named, numbered = (opened(directory, prompts=text) for text in ("white shark;thing 5", "3;5"))
    assert named.prompts == ("white shark", "thing 5")
    assert torch.equal(*(each.observe(each.latents(range(2), 0), ()).images for each in (named, numbered)))
    assert opened(directory, prompts=None, part="pipeline").prompts[:3] == ("0", "1", "2")
    for wrong in ("1000", "unicorn"):
        with mistake("bad-value", wrong, "0 to 999"):
            opened(directory, prompts=wrong)


@pytest.mark.parametrize("kind", [DIT, ALPHA])
def test_networks_may_have_the_name_of_their_first_release(copied: Callable[[str], Path], kind: str) -> None:
    directory = copied(kind)
    exact = opened(directory).fingerprint
    edit(directory / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    edit(directory / "transformer/config.json", _class_name="Transformer2DModel")
    assert opened(directory).fingerprint == exact


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
    (SD3, remove("transformer"), "bad-file", ["transformer"]),
    (SD3, index(text_encoder=None), "bad-file", ["text_encoder"]),
    (SD3, index(text_encoder=["transformers", "CLIPTextModel"]), "bad-model", ["CLIPTextModelWithProjection"]),
    (SD3, index(tokenizer_3=None), "bad-file", ["tokenizer_3"]),
    (SD3, remove("tokenizer_3/tokenizer.json"), "bad-file", ["tokenizer.json", "T5TokenizerFast"]),
    (SD3, tuned(in_channels=8), "bad-model", ["transformer", "latents of 4 channels"]),
    (SD3, tuned(num_layers=3), "bad-file", ["transformer_blocks.2"]),
    (SD3, tuned(attention_head_dim="many"), "bad-model", ["SD3Transformer2DModel"]),
    (
        FLUX,
        index(text_encoder_2=["transformers", "UMT5EncoderModel"]),
        "bad-model",
        ["text_encoder_2", "T5EncoderModel"],
    ),
    (FLUX, tuned(joint_attention_dim=20), "bad-file", ["context_embedder"]),
    (FLUX, index(scheduler=["diffusers", "DDIMScheduler"]), "bad-model", ["DDIMScheduler", "velocity"]),
    (
        FLUX2,
        index(text_encoder=["transformers", "Mistral3ForConditionalGeneration"]),
        "bad-model",
        ["Qwen3ForCausalLM"],
    ),
    (FLUX2, lambda d: edit(d / "text_encoder/config.json", num_hidden_layers=20), "bad-file", ["text_encoder"]),
    (FLUX2, index(vae=["diffusers", "AutoencoderKLWan"]), "bad-model", ["vae", "AutoencoderKLWan"]),
    (ALPHA, index(tokenizer=["transformers", "CLIPTokenizer"]), "bad-model", ["T5Tokenizer"]),
    (ALPHA, tuned(caption_channels=20), "bad-file", ["caption_projection"]),
    (DIT, tuned(num_embeds_ada_norm=10), "bad-file", ["class_embedder"]),
    (DIT, index(_class_name="Flux2Pipeline"), "bad-model", ["Flux2Pipeline", FLUX2, DIT]),
]


@pytest.mark.parametrize(("kind", "spoil", "code", "facts"), SPOILT, ids=lambda value: str(value)[:40])
def test_a_spoilt_pipeline_is_refused_in_one_line(
    copied: Callable[[str], Path], kind: str, spoil: Callable[[Path], None], code: str, facts: list[str]
) -> None:
    directory = copied(kind)
    spoil(directory)
    with mistake(code, *facts):
        opened(directory)


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
    saved: Callable[[str], Path], kind: str, options: dict[str, Any], code: str, facts: list[str]
) -> None:
    with mistake(code, *facts):
        opened(saved(kind) / "model", **options)


@pytest.mark.parametrize(("kind", "settings"), [(FLUX, {"guidance_embeds": False}), (FLUX2, {"distilled": True})])
def test_a_network_that_takes_no_guidance_is_given_none(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    directory = made(kind, tmp_path, **settings)
    assert opened(directory).fingerprint == opened(directory, guidance=0).fingerprint
    with mistake("bad-value", "guidance=3.0", "takes none"):
        opened(directory, guidance=3)


def test_as_many_tokens_of_text_as_of_the_image_are_refused(
    copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganatomy.models.generators.diffusers.families.sd3.WORDS", 4)
    with mistake("bad-value", "16 tokens", "size="):
        opened(copied(SD3))
