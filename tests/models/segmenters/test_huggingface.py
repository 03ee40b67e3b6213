"""Models of transformers: their own answers, their own preprocessing, and all that can be wrong with their files."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from mistakes import mistake
from tiny_transformers import LABELS, QUERYING, SCORING, save
from torch import Tensor

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.core.tensor_types import Images
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.huggingface import HuggingFaceSegmenter, class_concepts
from ganatomy.models.segmenters.preprocessing import Preprocessing, read_preprocessing

NAMES = ["wall", "building", "sky", "door", "tree"]
PLAIN = {"size": {"height": 64, "width": 64}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
PLAIN |= {"do_normalize": True, "do_flip_channel_order": False}


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Wait for the package, which takes seconds, before the tests."""
    importlib.import_module("transformers.models.segformer.modeling_segformer")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """Return the directory of a model and the model, which are made once."""
    made: dict[str, tuple[Path, Any]] = {}

    def find(name: str) -> tuple[Path, Any]:
        if name not in made:
            directory = tmp_path_factory.mktemp(name)
            made[name] = directory, save(directory, name, **PLAIN)
        return made[name]

    return find


@pytest.fixture
def segformer(tmp_path: Path) -> Path:
    """A directory to spoil."""
    save(tmp_path, "segformer", **PLAIN)
    return tmp_path


@pytest.fixture
def images() -> Images:
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return F.interpolate(coarse, (64, 64), mode="bicubic").clamp(-1, 1)


def change(directory: Path, file: str, **entries: Any) -> None:
    path = directory / file
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **entries}))


def prepared(images: Images) -> Tensor:
    mean, std = torch.tensor(PLAIN["image_mean"]), torch.tensor(PLAIN["image_std"])
    return ((images + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@pytest.mark.parametrize("name", SCORING)
def test_scores_are_those_of_the_model(saved: Callable, images: Images, name: str) -> None:
    directory, model = saved(name)
    segmenter, given = open_segmenter(f"hf:{directory}"), prepared(images)
    if name == "data2vec":  # cannot do without the size that it was built for
        segmenter = open_segmenter(f"hf:{directory}?size=32")
        given = prepared(F.interpolate(images, (32, 32), mode="bilinear", antialias=True))
    assert list(segmenter.vocabulary) == [NOTHING, *(Concept(word, "object") for word in NAMES)]
    with torch.no_grad():
        logits = F.interpolate(model(pixel_values=given).logits, (64, 64), mode="bilinear")
    assert torch.equal(segmenter(images)[:, 0], logits.argmax(1) + 1)
    torch.testing.assert_close(segmenter.score(images, 3), logits.softmax(1)[:, 2])


@pytest.mark.parametrize("name", QUERYING)
def test_queries_are_summed_as_the_models_own_code_does(saved: Callable, images: Images, name: str) -> None:
    """Images of the masks' size leave no resizing in which the two could differ."""
    directory, model = saved(name)
    side = 32 if name == "eomt" else 64
    small = F.interpolate(images, (side // 4, side // 4))
    segmenter = open_segmenter(f"hf:{directory}?size={side}")
    task = {"task_inputs": task_tokens(directory)} if name == "oneformer" else {}
    with torch.no_grad():
        given = prepared(F.interpolate(small, (side, side), mode="bilinear"))
        out = model(pixel_values=given, **task)
    assert out.masks_queries_logits.shape[2:] == small.shape[2:]
    family = "maskformer" if name == "mask2former" else name  # whose code resizes twice on the way
    module = importlib.import_module(f"transformers.models.{family}.image_processing_pil_{family}")
    own = next(kind for key, kind in vars(module).items() if key.endswith("ImageProcessorPil"))()
    expected = torch.stack(own.post_process_semantic_segmentation(out, target_sizes=[tuple(small.shape[2:])] * 2))
    assert torch.equal(segmenter(small)[:, 0], expected + 1)
    scores = torch.stack([segmenter.score(small, concept) for concept in range(1, 6)])
    torch.testing.assert_close(scores.sum(0), torch.ones_like(scores[0]))
    assert torch.equal(scores.argmax(0), expected)


def task_tokens(directory: Path) -> Tensor:
    """Write "the task is semantic" as OneFormer reads it: letters, of which the last of a word is marked; then 0."""
    numbers = json.loads((directory / "vocab.json").read_text())
    words = ["the", "task", "is", "semantic"]
    letters = [numbers[letter] for word in words for letter in [*word[:-1], f"{word[-1]}</w>"]]
    tokens = [numbers["<|startoftext|>"], *letters[:10], numbers["<|endoftext|>"]]
    return torch.tensor([tokens]).expand(2, -1)


@pytest.mark.parametrize(
    ("family", "kind", "settings"),
    [
        ("segformer", "Segformer", {"size": {"height": 30, "width": 20}}),
        ("beit", "Beit", {"size": {"height": 64, "width": 80}, "resample": 3}),
        ("maskformer", "MaskFormer", {"size": {"shortest_edge": 20, "longest_edge": 60}, "size_divisor": 16}),
        ("maskformer", "MaskFormer", {"size": {"shortest_edge": 40, "longest_edge": 44}}),
        ("dpt", "DPT", {"size": {"height": 32, "width": 32}, "do_rescale": False, "do_normalize": False}),
        ("mobilevit", "MobileViT", {"do_resize": False, "do_center_crop": False}),
        ("grounding-dino", "GroundingDino", {"size": {"shortest_edge": 50, "longest_edge": 70}}),
        ("grounding-dino", "GroundingDino", {"size": {"shortest_edge": 60, "longest_edge": 70}}),
    ],
)
def test_images_are_prepared_as_by_the_models_own_code(
    tmp_path: Path, family: str, kind: str, settings: dict[str, Any]
) -> None:
    """But for its rounding of resized images to whole numbers; no value here is cut off at black or white."""
    folder = family.replace("-", "_")
    module = importlib.import_module(f"transformers.models.{folder}.image_processing_pil_{folder}")
    own = getattr(module, f"{kind}ImageProcessorPil")(**settings)
    own.save_pretrained(tmp_path)
    coarse = np.random.default_rng(0).integers(90, 160, (9, 11, 3), dtype=np.uint8)
    image = coarse.repeat(4, 0).repeat(4, 1)
    expected = own(images=image, return_tensors="pt")["pixel_values"]
    images = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    made = read_preprocessing(tmp_path, {"model_type": family})(images)
    assert made.shape == expected.shape
    step = (expected.max() - expected.min()) / 70
    assert float((made - expected).abs().max()) <= 1.1 * float(step)


def test_sizes_of_older_files(tmp_path: Path) -> None:
    def read(kind: str, override: int | None = None, **entries: Any) -> Preprocessing:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(entries))
        return read_preprocessing(tmp_path, {"model_type": kind}, override)

    assert read("segformer", size=512).fixed == (512, 512)
    assert read("maskformer", size=640, max_size=2560)[1:3] == (640, 2560)
    assert read("mobilevit", size=544, crop_size=512, do_center_crop=True).fixed == (512, 512)
    assert read("eomt", size={"shortest_edge": 512, "longest_edge": None}).fixed == (512, 512)
    assert read("detr", size=60, max_size=70).size(36, 44) == (57, 70)
    assert read("detr", size=60, max_size=70).size(71, 16) == (71, 16), "the shorter side is 16 already"
    assert read("beit", size=[384, 256]).fixed == (384, 256)
    assert read("segformer").fixed == (512, 512)
    assert read("segformer", 96, size={"shortest_edge": 32, "longest_edge": 40}).size(50, 100) == (96, 192)
    for size in (
        {"max_height": 3, "max_width": 4},
        "large",
        {"height": 0, "width": 3},
        {"shortest_edge": 2.5},
        {"shortest_edge": 9, "longest_edge": "x"},
    ):
        with mistake("bad-file", "preprocessor_config.json"):
            read("segformer", size=size)
    with mistake("bad-file", "preprocessor_config.json", [0.5]):
        read("segformer", image_mean=[0.5])
    for size in (0, 8193):
        with mistake("bad-value", f"size={size}"):
            read("segformer", size)


def test_preprocessing_where_no_file_says_it(tmp_path: Path) -> None:
    assert read_preprocessing(tmp_path, {"model_type": "dpt", "image_size": 384}) == Preprocessing(
        fixed=(384, 384), white=255 * (1 / 255), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    assert read_preprocessing(tmp_path, {"model_type": "mobilevit"}).flipped
    change(tmp_path, "processor_config.json", image_processor={"size": 48, "image_mean": 0.25, "resample": 3})
    newer = read_preprocessing(tmp_path, {"model_type": "segformer"})
    assert (newer.fixed, newer.mean, newer.filter) == ((48, 48), (0.25, 0.25, 0.25), "bicubic")


def test_images_of_a_long_batch_go_through_in_pieces(
    saved: Callable, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = open_segmenter(f"hf:{saved('segformer')[0]}")
    whole = segmenter(images)
    seen: list[int] = []
    logits = HuggingFaceSegmenter.logits
    monkeypatch.setattr(HuggingFaceSegmenter, "logits", lambda self, part: seen.append(len(part)) or logits(self, part))
    monkeypatch.setattr("ganatomy.models.segmenters.huggingface.PIXELS", 64 * 64)
    assert torch.equal(segmenter(images), whole)
    assert seen == [1, 1]


@pytest.mark.parametrize("name", ["segformer", "maskformer"])
def test_every_tensor_is_made_where_the_images_are(saved: Callable, images: Images, name: str) -> None:
    segmenter = open_segmenter(f"hf:{saved(name)[0]}")
    assert isinstance(segmenter, HuggingFaceSegmenter)
    segmenter._net.to("meta")
    assert segmenter.logits(images.to("meta")).is_meta


def test_names_of_classes() -> None:
    names = ["background", "door, double door", "screen", "screen, silver", "a;b", "N/A", "N/A", "", "__ignore__"]
    config = SimpleNamespace(id2label=dict(enumerate(names)), num_labels=10)
    concepts = class_concepts(config, "material")
    made = ["door", "screen", "screen, silver", "a", "N/A (5)", "N/A (6)", "class 7", NOTHING, "class 9"]
    assert concepts == [NOTHING, *(name if name == NOTHING else Concept(str(name), "material") for name in made)]


def test_the_background_is_nothing(segformer: Path, images: Images) -> None:
    plain = open_segmenter(f"hf:{segformer}")(images)
    change(segformer, "config.json", id2label={**LABELS, 2: "Background"})
    segmenter = open_segmenter(f"hf:{segformer}?category=part")
    assert [str(concept) for concept in segmenter.vocabulary] == ["nothing", "wall", "building", "door", "tree"]
    assert segmenter.planes == ("part",)
    assert bool((plain == 3).any())
    assert torch.equal(segmenter(images), torch.tensor([0, 1, 2, 0, 3, 4])[plain])
    change(segformer, "config.json", id2label={0: "void"})
    weights = safetensors.torch.load_file(segformer / "model.safetensors")
    for name in ("decode_head.classifier.weight", "decode_head.classifier.bias"):
        weights[name] = weights[name][:1].clone()
    safetensors.torch.save_file(weights, segformer / "model.safetensors")
    with mistake("bad-file", segformer, "config.json", "background"):
        open_segmenter(f"hf:{segformer}")


@pytest.mark.parametrize(
    ("entries", "fact"),
    [
        ({"id2label": {1: "a", 2: "b", 3: "c", 4: "d", 5: "e"}}, "lacks the ids 0 and has the ids 5"),
        ({"id2label": {0: "a", 1: "b", 2: "c", 3: "d", 7: "e"}}, "lacks the ids 4 and has the ids 7"),
        ({"id2label": {0: "a", 1: "b", 2: "c", 3: "d"}, "num_labels": 5}, "4 classes, lacks the ids 4"),
        ({"id2label": LABELS, "num_labels": 4}, "5 classes, has the ids 4"),
        ({"id2label": {"0": "a", "00": "b", "1": "c"}}, "3 classes, lacks the ids 2"),
        ({"id2label": {"sky": 0, "tree": 1}}, "sky, tree"),
        ({"id2label": ["sky", "tree"]}, "list"),
    ],
)
def test_names_whose_ids_are_not_those_of_the_scores(segformer: Path, entries: dict[str, Any], fact: str) -> None:
    change(segformer, "config.json", **entries)
    with mistake("bad-file", "config.json", "id2label", fact):
        open_segmenter(f"hf:{segformer}")


def test_a_head_with_other_channels_than_names(segformer: Path, images: Images) -> None:
    segmenter = open_segmenter(f"hf:{segformer}")
    assert isinstance(segmenter, HuggingFaceSegmenter)
    segmenter._concepts = segmenter._concepts[:4]
    with mistake("bad-model", "5 classes", "id2label", "config.json", 4):
        segmenter(images)


def test_classes_without_names_keep_their_numbers(segformer: Path) -> None:
    content = json.loads((segformer / "config.json").read_text())
    del content["id2label"], content["label2id"]
    (segformer / "config.json").write_text(json.dumps({**content, "num_labels": 5}))
    assert [str(concept) for concept in open_segmenter(f"hf:{segformer}").vocabulary[1:]] == [
        f"LABEL_{i}" for i in range(5)
    ]


def test_what_changes_labels_changes_the_fingerprint(segformer: Path) -> None:
    def opened(**options: Any) -> str:
        return open_segmenter(f"hf:{segformer}?" + "&".join(f"{k}={v}" for k, v in options.items())).fingerprint

    before = opened()
    assert opened(dtype="float32") == before
    change(segformer, "config.json", transformers_version="4.0", _name_or_path="elsewhere")
    assert opened() == before
    made = {before, opened(size=32), opened(dtype="bfloat16"), opened(category="part")}
    change(segformer, "preprocessor_config.json", image_mean=[0, 0, 0])
    made.add(opened())
    change(segformer, "config.json", layer_norm_eps=1e-3)
    made.add(opened())
    change(segformer, "config.json", id2label={**LABELS, 4: "bush"})
    made.add(opened())
    assert len(made) == 7


def respell(directory: Path, edit: Callable[[dict[str, Tensor]], None]) -> None:
    weights = safetensors.torch.load_file(directory / "model.safetensors")
    edit(weights)
    safetensors.torch.save_file(weights, directory / "model.safetensors")


def test_a_tensor_that_lacks_is_not_made_up(segformer: Path) -> None:
    respell(segformer, lambda weights: weights.pop("decode_head.classifier.weight"))
    before = torch.get_rng_state()
    with mistake("bad-file", "decode_head.classifier.weight"):
        open_segmenter(f"hf:{segformer}")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tensor_of_another_shape(segformer: Path) -> None:
    change(segformer, "config.json", id2label={0: "one", 1: "two"})
    with mistake("bad-file", "decode_head.classifier.", "shape [5", "config.json", "[2"):
        open_segmenter(f"hf:{segformer}")


def test_a_tensor_that_nothing_depends_on_may_lack(tmp_path: Path, images: Images) -> None:
    """As in the published DPT files, whose first fusion layer has no use for half of its weights."""
    save(tmp_path, "dpt", **{**PLAIN, "size": 32})
    whole = open_segmenter(f"hf:{tmp_path}")
    unused = "fusion_stage.layers.0.residual_layer1"
    respell(tmp_path, lambda weights: [weights.pop(name) for name in list(weights) if unused in name])
    torch.manual_seed(1)
    first = open_segmenter(f"hf:{tmp_path}")
    assert torch.equal(first(images), whole(images))
    assert open_segmenter(f"hf:{tmp_path}").fingerprint == first.fingerprint != whole.fingerprint


def test_older_files_of_tensors(segformer: Path, images: Images) -> None:
    labels = open_segmenter(f"hf:{segformer}")(images)
    weights = safetensors.torch.load_file(segformer / "model.safetensors")
    (segformer / "model.safetensors").unlink()
    torch.save(weights, segformer / "pytorch_model.bin")
    assert torch.equal(open_segmenter(f"hf:{segformer}")(images), labels)
    torch.save({**weights, "code": importlib.import_module}, segformer / "pytorch_model.bin")
    with mistake("bad-file", segformer / "pytorch_model.bin", "importlib.import_module"):
        open_segmenter(f"hf:{segformer}")


def test_a_checkpoint_names_no_code(segformer: Path, images: Images) -> None:
    labels = open_segmenter(f"hf:{segformer}")(images)
    (segformer / "evil.py").write_text("raise SystemExit('it ran')")
    change(
        segformer,
        "config.json",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForSemanticSegmentation": "evil.Model"},
        attn_implementation="someone/kernel",
        _attn_implementation="someone/kernel",
    )
    assert torch.equal(open_segmenter(f"hf:{segformer}")(images), labels)
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    ("entries", "fact"),
    [
        ({"model_type": "bert"}, "bert"),
        ({"model_type": "clipseg"}, "clipseg:"),
        ({"model_type": "sam3"}, "sam3:"),
        ({"model_type": "no such"}, "'no such'"),
        ({"model_type": None}, "model_type"),
        ({"quantization_config": {}}, "quantised"),
    ],
)
def test_configs_that_are_no_segmentation(segformer: Path, entries: dict[str, Any], fact: str) -> None:
    change(segformer, "config.json", **entries)
    with mistake("bad-file", fact):
        open_segmenter(f"hf:{segformer}")


def test_settings_that_fit_nothing(segformer: Path) -> None:
    change(segformer, "config.json", hidden_sizes=[4, 8])
    with pytest.raises((BadModel, BadFile)) as said:
        open_segmenter(f"hf:{segformer}")
    assert "\n" not in str(said.value)


def test_options_that_are_wrong(segformer: Path) -> None:
    for options, fact in (("category=objects", "object"), ("dtype=int8", "int8")):
        with mistake("unknown-name", fact):
            open_segmenter(f"hf:{segformer}?{options}")
    with mistake("bad-value", "size='big'", "int"):
        open_segmenter(f"hf:{segformer}?size=big")


def test_a_size_that_the_model_cannot_read(saved: Callable, images: Images) -> None:
    segmenter = open_segmenter(f"hf:{saved('data2vec')[0]}")
    with mistake("bad-model", "64 x 64", 32):
        segmenter(images)


def test_a_model_that_returns_nan(segformer: Path, images: Images) -> None:
    segmenter = open_segmenter(f"hf:{segformer}?dtype=bfloat16")
    assert isinstance(segmenter, HuggingFaceSegmenter)
    next(segmenter._net.parameters()).fill_(torch.nan)
    with mistake("bad-model", "SegformerForSemanticSegmentation", "NaN", "torch.bfloat16"):
        segmenter(images)


def test_oneformer_needs_its_tokenizer(tmp_path: Path) -> None:
    save(tmp_path, "oneformer")
    (tmp_path / "merges.txt").unlink()
    with mistake("bad-file", "tokenizer.json", "vocab.json", "merges.txt"):
        open_segmenter(f"hf:{tmp_path}")


def test_opening_leaves_no_trace(segformer: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    respell(segformer, lambda weights: weights.update(extra=torch.zeros(1)))
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_rng_state()
    segmenter = open_segmenter(f"hf:{segformer}")
    after = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    segmenter(torch.zeros(1, 3, 8, 8))
    assert capfd.readouterr() == ("", "")


def test_without_the_package(segformer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with mistake("bad-value", "pip install 'ganatomy[hf]'"):
        open_segmenter(f"hf:{segformer}")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with mistake("bad-value", "pip install 'ganatomy[hf]'"):
        open_segmenter("hf:org/model")
