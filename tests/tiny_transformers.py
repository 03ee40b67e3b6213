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
    if name in ("oneformer", "clip", "clipseg", "sam3", "siglip"):
        save_tokenizer(directory)
    if name == "grounding-dino":
        save_word_pieces(directory)
    return model


def build(name: str) -> Any:
    """Build a model whose activations neither vanish nor explode."""
    import transformers

    kind, config = OPEN[name]() if name in OPEN else _settings(name)
    if name not in OPEN:
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


def save_word_pieces(directory: Path) -> None:
    """Write a vocabulary of word pieces that knows the letters, with marks where Grounding DINO expects them."""
    places = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    pieces = [places.get(i, f"[unused{i}]") for i in range(1030)]
    pieces += [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    (directory / "vocab.txt").write_text("\n".join(pieces) + "\n")


COMMON = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
LETTERS = 2 * len(string.ascii_lowercase) + 4
LETTER_TEXT = {**COMMON, "vocab_size": LETTERS, "max_position_embeddings": 24, "bos_token_id": LETTERS - 2}
LETTER_TEXT |= {"eos_token_id": LETTERS - 1, "pad_token_id": LETTERS - 1}
"""A text encoder for the letters of `save_tokenizer`."""


def _clipseg() -> tuple[str, Any]:
    import transformers

    config = transformers.CLIPSegConfig(
        text_config={**LETTER_TEXT, "num_hidden_layers": 3},
        vision_config={**COMMON, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": 8},
        projection_dim=12,
        extract_layers=[0, 1],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    return "CLIPSegForImageSegmentation", config


def _clip() -> tuple[str, Any]:
    import transformers

    vision = {**COMMON, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8}
    text = {**LETTER_TEXT, "num_hidden_layers": 2}
    return "CLIPModel", transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)


def _siglip() -> tuple[str, Any]:
    import transformers

    vision = {**COMMON, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8}
    text = {**LETTER_TEXT, "num_hidden_layers": 2, "projection_size": 16}
    return "SiglipModel", transformers.SiglipConfig(text_config=text, vision_config=vision)


def _sam3() -> tuple[str, Any]:
    import transformers

    grids = {"image_size": SIDE, "pretrain_image_size": 16, "patch_size": 4, "window_size": 4}
    backbone = {"model_type": "sam3_vit_model", **COMMON, **grids, "num_hidden_layers": 2, "global_attn_indexes": [1]}
    layers = {**COMMON, "num_layers": 1, "dropout": 0.0}
    text = {"model_type": "clip_text_model", **LETTER_TEXT, "num_hidden_layers": 2, "projection_dim": 8}
    config = transformers.Sam3Config(
        vision_config={"backbone_config": backbone, "fpn_hidden_size": 16},
        text_config=text,
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config={**layers, "num_queries": 5},
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2},
    )
    return "Sam3Model", config


def _grounding_dino() -> tuple[str, Any]:
    import transformers

    backbone = {"model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    text = {"model_type": "bert", **COMMON, "vocab_size": 1082, "num_hidden_layers": 1, "max_position_embeddings": 64}
    sizes = {"encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    config = transformers.GroundingDinoConfig(
        backbone_config={**backbone, "window_size": 2, "out_indices": [2, 3, 4]},
        text_config=text,
        d_model=64,  # two channels a group at least, or small images cannot be normalised
        num_queries=8,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_text_len=48,
        **sizes,
    )
    return "GroundingDinoForObjectDetection", config


def _sam2() -> tuple[str, Any]:
    import transformers

    blocks = {"blocks_per_stage": [1, 1, 2, 1], "global_attention_blocks": [3], "window_size_per_stage": [4, 4, 2, 2]}
    widths = {"hidden_size": 8, "embed_dim_per_stage": [8, 16, 24, 32], "num_attention_heads_per_stage": [1, 1, 2, 2]}
    places = {"image_size": [64, 64], "window_positional_embedding_background_size": [4, 4]}
    config = transformers.Sam2Config(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {"model_type": "sam2_hiera_det_model", **blocks, **widths, **places},
            "backbone_channel_list": [32, 24, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 16,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "iou_head_hidden_dim": 16,
        },
    )
    return "Sam2Model", config


OPEN = {
    "clip": _clip,
    "clipseg": _clipseg,
    "grounding-dino": _grounding_dino,
    "sam2": _sam2,
    "sam3": _sam3,
    "siglip": _siglip,
}
"""Models that segment, detect or describe what words or boxes ask for."""


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
