"""Models of transformers that are made in a moment: random weights, a few channels, five classes."""

import contextlib
import io
import json
import string
from pathlib import Path
from typing import Any

import torch

LABELS = {0: "wall", 1: "building;edifice", 2: "sky", 3: "door, double door", 4: "tree"}
SIDE = 32
SCORING = ("segformer", "upernet", "beit", "data2vec", "dpt", "mobilevit", "mobilenet_v2")
QUERYING = ("maskformer", "mask2former", "oneformer", "eomt")

STAGES = ["stage1", "stage2", "stage3", "stage4"]
VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16, "patch_size": 8}
BEIT = {**VIT, "image_size": SIDE, "out_indices": [1, 2, 3, 4], "use_relative_position_bias": True}
BEIT |= {"use_auxiliary_head": False}
QUERIES = {"num_queries": 6, "hidden_dim": 32, "num_attention_heads": 2, "encoder_feedforward_dim": 16}
QUERIES |= {"encoder_layers": 1, "decoder_layers": 2, "dim_feedforward": 16}
DETR = {"d_model": 32, "num_queries": 6}
DETR |= {f"{part}_{key}": n for part in ("encoder", "decoder") for key, n in (("layers", 1), ("ffn_dim", 16))}
TEXT = {f"text_encoder_{key}": n for key, n in (("width", 32), ("context_length", 12), ("num_layers", 1))}


def save(directory: Path, name: str, **preprocessor: Any) -> Any:
    """Save a model, with its tokenizer if it has one and a file on its images if there is something to say."""
    model = build(name)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        model.save_pretrained(directory)
    if preprocessor:
        (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    if name in ("oneformer", "clipseg"):
        save_tokenizer(directory)
    return model


def build(name: str) -> Any:
    """Build a model whose activations neither vanish nor explode."""
    import transformers

    kind, config = _clipseg() if name == "clipseg" else _settings(name)
    if name != "clipseg":
        config.num_labels, config.id2label = len(LABELS), LABELS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, kind)(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return model


def save_tokenizer(directory: Path) -> None:
    """Write a byte-pair vocabulary that knows the letters and two merges."""
    merges = ["t r", "tr e"]
    tokens = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    tokens += [merge.replace(" ", "") for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    (directory / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")


def _clipseg() -> tuple[str, Any]:
    import transformers

    common = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 3}
    words = len(string.ascii_lowercase) * 2 + 4
    ends = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    config = transformers.CLIPSegConfig(
        text_config={**common, "vocab_size": words, "max_position_embeddings": 24, **ends},
        vision_config={**common, "image_size": SIDE, "patch_size": 8},
        projection_dim=12,
        extract_layers=[0, 1],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    return "CLIPSegForImageSegmentation", config


def _settings(name: str) -> tuple[str, Any]:
    """Return the class of a model, and its config."""
    import transformers as t

    small = {"hidden_sizes": [4, 8, 8, 8], "depths": [1, 1, 1, 1]}
    swin = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2, "out_features": STAGES}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    makers = {
        "segformer": lambda: t.SegformerConfig(**small, decoder_hidden_size=8, num_attention_heads=[1, 1, 2, 2]),
        "upernet": lambda: t.UperNetConfig(
            backbone_config=t.ConvNextConfig(**small, out_features=STAGES),
            hidden_size=8,
            auxiliary_channels=4,
            auxiliary_in_channels=8,
            pool_scales=[1, 2],
        ),
        "beit": lambda: t.BeitConfig(**BEIT),
        "data2vec": lambda: t.Data2VecVisionConfig(**BEIT),
        "dpt": lambda: t.DPTConfig(
            **VIT,
            image_size=SIDE,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[4, 4, 8, 8],
            fusion_hidden_size=8,
            use_auxiliary_head=False,
        ),
        "mobilevit": lambda: t.MobileViTConfig(
            image_size=SIDE,
            hidden_sizes=[8, 8, 8],
            neck_hidden_sizes=[4, 4, 8, 8, 8, 8, 8],
            aspp_out_channels=8,
            num_attention_heads=2,
            atrous_rates=[1, 2, 3],
        ),
        "mobilenet_v2": lambda: t.MobileNetV2Config(image_size=SIDE, depth_multiplier=0.25, min_depth=4),
        "maskformer": lambda: t.MaskFormerConfig(
            backbone_config=t.SwinConfig(**swin),
            decoder_config=t.DetrConfig(**DETR, **heads),
            fpn_feature_size=32,
            mask_feature_size=32,
        ),
        "mask2former": lambda: t.Mask2FormerConfig(
            backbone_config=t.SwinConfig(**swin), mask_feature_size=32, feature_size=32, **QUERIES
        ),
        "oneformer": lambda: t.OneFormerConfig(
            backbone_config=t.SwinConfig(**swin), mask_dim=32, conv_dim=32, task_seq_len=12, **TEXT, **QUERIES
        ),
        "eomt": lambda: t.EomtConfig(**VIT, image_size=SIDE, num_queries=6, num_blocks=2, num_upscale_blocks=1),
    }
    kinds = {
        "upernet": "UperNet",
        "data2vec": "Data2VecVision",
        "dpt": "DPT",
        "mobilevit": "MobileViT",
        "mobilenet_v2": "MobileNetV2",
        "maskformer": "MaskFormer",
        "mask2former": "Mask2Former",
        "oneformer": "OneFormer",
    }
    task = {"maskformer": "Instance"}.get(name, "Universal" if name in QUERYING else "Semantic")
    return f"{kinds.get(name, name.capitalize())}For{task}Segmentation", makers[name]()
